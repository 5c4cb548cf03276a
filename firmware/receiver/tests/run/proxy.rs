//! A proxy whose connection to a board dies: it forwards nothing more, but does not close.

use std::future::pending;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A proxy between a sender and the board.
pub(crate) struct StallingProxy {
    listener: TcpListener,
    board: SocketAddr,
    forth: u64,
    /// The address to which the sender connects.
    pub(crate) address: SocketAddr,
    /// Notified when the connection dies.
    pub(crate) died: Notify,
}

impl StallingProxy {
    /// Creates a proxy that forwards `forth` bytes from the sender.
    pub(crate) async fn new(board: SocketAddr, forth: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, board, forth, address, died: Notify::new() }
    }

    /// Forwards one connection until it dies, and keeps it open afterwards.
    pub(crate) async fn carry(&self) {
        let (mut sender, _) = self.listener.accept().await.unwrap();
        let mut board = TcpStream::connect(self.board).await.unwrap();
        let ((from_sender, mut to_sender), (mut from_board, mut to_board)) = (sender.split(), board.split());
        let mut forwarded = from_sender.take(self.forth);
        tokio::select! {
            _ = copy(&mut forwarded, &mut to_board) => {}
            _ = copy(&mut from_board, &mut to_sender) => {}
        }
        self.died.notify_one();
        pending().await
    }
}
