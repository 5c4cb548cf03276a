//! The tasks of every board.
//!
//! Embassy's tasks cannot be generic, so a macro defines them for the types of a board.

use embassy_time::Timer;
use embedded_io_async::{Read, Write};
use waft_receiver::console::Console;

use crate::net::Sockets;
use crate::retained;

/// The operator at a console.
#[cfg(not(feature = "announce"))]
pub type ConsoleOperator<C> = Console<C>;
/// The operator at a console, which also announces the board on its network.
#[cfg(feature = "announce")]
pub type ConsoleOperator<C> = waft_receiver::announce::Announcing<'static, Console<C>>;

/// The operator of a board with this console. Call it once.
pub fn operator<C: Read + Write>(console: C, sockets: &Sockets) -> ConsoleOperator<C> {
    let console = Console::new(console);
    #[cfg(not(feature = "announce"))]
    {
        let _ = sockets;
        console
    }
    #[cfg(feature = "announce")]
    {
        use waft_receiver::announce::{Announcing, Buffers};

        static BUFFERS: static_cell::ConstStaticCell<Buffers> = static_cell::ConstStaticCell::new(Buffers::new());
        let [first, ..] = sockets;
        Announcing::new(console, first.stack(), BUFFERS.take())
    }
}

/// A watchdog that resets the chip when nothing feeds it.
pub trait Watchdog {
    /// Restarts the timeout.
    fn feed(&mut self);
}

/// Seconds between two feedings.
const FEED_SECONDS: u64 = 2;

/// Feeds the watchdog. A board that still runs after the first pause does not fail in a row.
pub async fn feed(watchdog: &mut impl Watchdog) -> ! {
    loop {
        Timer::after_secs(FEED_SECONDS).await;
        watchdog.feed();
        retained::clear_failures();
    }
}

/// Defines the tasks of a board:
///
/// | task | |
/// |---|---|
/// | `feed` | feeds the watchdog, which a hanging executor does not; spawn it first |
/// | `network` | moves frames between the Ethernet device and TCP/IP |
/// | `receive` | the receiver: sockets, sessions, store, console; only if `console` is given |
///
/// An application with an operator or a review of its own leaves `console` out, and runs the receiver in a task that calls
/// [`Receiver::run`](waft_receiver::Receiver::run) or [`Receiver::run_reviewed`](waft_receiver::Receiver::run_reviewed).
///
/// Call it in the program: an image is smaller if the receiver is compiled with the program, not with a library. The crate
/// depends on `embassy-executor`.
#[macro_export]
macro_rules! tasks {
    (ethernet: $ethernet:ty, watchdog: $watchdog:ty $(,)?) => {
        /// Feeds the watchdog.
        #[embassy_executor::task]
        pub async fn feed(mut watchdog: $watchdog) -> ! {
            $crate::tasks::feed(&mut watchdog).await
        }

        /// Moves frames between the Ethernet device and TCP/IP.
        #[embassy_executor::task]
        pub async fn network(mut runner: $crate::net::Runner<$ethernet>) -> ! {
            runner.run().await
        }
    };
    (flash: $flash:ty, load: $load:ty, ethernet: $ethernet:ty, console: $console:ty, watchdog: $watchdog:ty $(,)?) => {
        $crate::tasks! { ethernet: $ethernet, watchdog: $watchdog }

        /// Runs the receiver.
        #[embassy_executor::task]
        pub async fn receive(
            receiver: &'static mut $crate::boot::BoardReceiver<$flash, $load>,
            sockets: &'static mut $crate::net::Sockets,
            console: $console,
        ) -> ! {
            receiver.run(sockets, &mut $crate::tasks::operator(console, sockets)).await
        }
    };
}
