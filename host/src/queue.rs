//! A bounded queue of pieces between a session and the thread that works on them: what one stage of a transfer hands to
//! the next.
//!
//! A transfer is a pipeline whose stages run on different threads, so that it takes as long as its slowest stage and not
//! as long as all of them together:
//!
//! ```text
//! sender:   read, hash | compress, seal, TLS, TCP          (folder::source, session)
//! receiver: TCP, TLS, open, decompress | hash, write       (session, store)
//! ```
//!
//! The bound limits memory: a stage that is faster than the next one waits. The side that takes pieces takes all that
//! are there at once, so that the other side, if it waits, is woken once for all of them and then has room for as many.
//! Waking a thread costs more than copying a piece. Buffers are returned and used again.

use std::sync::mpsc as thread_channel;

use tokio::sync::mpsc;

/// Creates a queue that holds up to `bound` pieces. As many again can be with the side that takes them.
pub(crate) fn queue<T: Default>(bound: usize) -> (Input<T>, Output<T>) {
    let (sender, receiver) = mpsc::channel(bound);
    let (give_back, spent) = thread_channel::channel();
    let output = Output { pieces: receiver, taken: Vec::with_capacity(bound), bound, spent: give_back };
    (Input { pieces: sender, spent }, output)
}

/// The other end of the queue was dropped: nothing takes the piece.
#[derive(Debug)]
pub(crate) struct Closed;

/// The end of a queue that takes pieces in. When it is dropped, the output ends after the last piece.
pub(crate) struct Input<T> {
    pieces: mpsc::Sender<T>,
    /// Pieces that come back so that their buffers can be used again.
    spent: thread_channel::Receiver<T>,
}

impl<T: Default> Input<T> {
    /// A piece whose buffer can be filled: one that came back, with its old content, or else a new one.
    pub(crate) fn buffer(&self) -> T {
        self.spent.try_recv().unwrap_or_default()
    }

    /// Adds a piece, once there is room for it. If this future is dropped, the piece is lost.
    pub(crate) async fn send(&self, piece: T) -> Result<(), Closed> {
        self.pieces.send(piece).await.map_err(|_| Closed)
    }

    /// Adds a piece, as [`send`](Self::send) does. Blocks the thread until there is room.
    pub(crate) fn blocking_send(&self, piece: T) -> Result<(), Closed> {
        self.pieces.blocking_send(piece).map_err(|_| Closed)
    }
}

/// The end of a queue from which pieces are taken. When it is dropped, the input reports [`Closed`].
pub(crate) struct Output<T> {
    pieces: mpsc::Receiver<T>,
    /// Pieces that were taken together, the next one last.
    taken: Vec<T>,
    bound: usize,
    spent: thread_channel::Sender<T>,
}

impl<T> Output<T> {
    /// The next piece; `None` after the last. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<T> {
        if self.taken.is_empty() {
            self.pieces.recv_many(&mut self.taken, self.bound).await;
            self.taken.reverse();
        }
        self.taken.pop()
    }

    /// The next piece, as [`next`](Self::next) returns it. Blocks the thread until there is one.
    pub(crate) fn blocking_next(&mut self) -> Option<T> {
        if self.taken.is_empty() {
            self.pieces.blocking_recv_many(&mut self.taken, self.bound);
            self.taken.reverse();
        }
        self.taken.pop()
    }

    /// Gives a piece back, so that the input can use its buffer again.
    pub(crate) fn give_back(&self, piece: T) {
        // If the input was dropped, nothing needs the buffer any more.
        let _ = self.spent.send(piece);
    }
}

#[cfg(test)]
mod tests;
