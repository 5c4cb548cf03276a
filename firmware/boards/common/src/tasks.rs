//! The tasks of every board.
//!
//! Embassy's tasks cannot be generic, so a macro defines them for the types of a board.

use embassy_time::Timer;
use embedded_io_async::{Read, Write};
use embedded_storage_async::nor_flash::NorFlash;
#[cfg(feature = "announce")]
use static_cell::ConstStaticCell;
#[cfg(feature = "announce")]
use waft_receiver::announce::{Announcing, Buffers};
use waft_receiver::console::Console;

use crate::boot::{BoardReceiver, MeasureLoad};
use crate::net::Sockets;
use crate::retained;

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

/// Receives folders, with the console as the operator: it shows the code, and asks for the key. With the feature `announce`
/// the board also announces itself on its network. Call it once, at the end of the task that started the board: then the
/// memory that only the start needs is used again.
pub async fn receive<F: NorFlash + 'static, L: MeasureLoad>(
    receiver: &'static mut BoardReceiver<F, L>,
    sockets: &'static mut Sockets,
    console: impl Read + Write,
) -> ! {
    let operator = Console::new(console);
    #[cfg(feature = "announce")]
    let operator = {
        static BUFFERS: ConstStaticCell<Buffers> = ConstStaticCell::new(Buffers::new());
        let [first, ..] = sockets;
        Announcing::new(operator, first.stack(), BUFFERS.take())
    };
    let mut operator = operator;
    receiver.run(sockets, &mut operator).await
}

/// Defines the tasks of a board:
///
/// | task | |
/// |---|---|
/// | `feed` | feeds the watchdog, which a hanging executor does not; spawn it first |
/// | `network` | moves frames between the Ethernet device and TCP/IP |
///
/// The task that started the board ends with [`receive`]. An application with an operator or a review of its own calls
/// [`Receiver::run`](waft_receiver::Receiver::run) or [`Receiver::run_reviewed`](waft_receiver::Receiver::run_reviewed) there. With the feature `announce`, it wraps its operator
/// in `Announcing`, as `receive` does.
///
/// The crate that calls the macro depends on `embassy-executor`.
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
}
