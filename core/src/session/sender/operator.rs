//! The interface between a sender's session and its user: the question for the code, and the events that the session
//! reports.

use crate::code::AuthCode;
use crate::wire::message::Stage;

/// The user interface of a sender. A host implements it, and the session calls it.
pub trait Operator {
    /// Asks the user for the code that the receiver shows. `left` is `None` at first, and after a wrong code the number
    /// of tries that are left. Returns `None` if the user gives up. The session drops this future when the connection
    /// ends.
    async fn code(&mut self, left: Option<u8>) -> Option<AuthCode>;
    /// Reports an event.
    fn event(&mut self, event: Event);
    /// Completes when the user interrupts the session. The default never completes. While the session waits for
    /// [`code`](Self::code), it does not poll this: `code` returns `None` instead. Cancel-safe.
    async fn interrupted(&mut self) {
        core::future::pending().await
    }
}

/// An event at a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The receiver sent its `Greeting`, which states its bounds.
    Greeted {
        /// The number of bytes that are free at the receiver.
        free: u64,
        /// Whether the key mode will be *sealed*, in which no user has to type the key.
        sealed: bool,
    },
    /// The receiver accepted the code.
    CodeAccepted,
    /// The offer was sent.
    Offered {
        /// Whether the key mode is *sealed*, in which no user has to type the key.
        sealed: bool,
    },
    /// The receiver sent `Working`: it is still busy with this stage.
    Working(Stage),
    /// The receiver has proved that it has the key. The chunks of the archive begin at `offset`.
    Accepted {
        /// The number of bytes of the archive that the receiver already holds.
        offset: u64,
    },
    /// So many bytes of the archive do not cross, because the receiver has the same files. Reported once for each range of
    /// such bytes.
    LeftOut(u64),
    /// The number of bytes of the archive that were written to the connection so far, including those before `offset`.
    Sent(u64),
    /// The number of bytes of the archive that are stored durably at the receiver so far.
    Durable(u64),
}
