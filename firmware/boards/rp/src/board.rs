//! The chosen board: its pins and its network device.
//!
//! Each board is one file that defines the same items: the size of its flash, the types of its network device before and
//! after the start, and the function `parts`; with Wi-Fi, also the type of what joins networks. What all of them have is
//! here.

#[cfg(feature = "pico-2-w")]
mod pico_2_w;
#[cfg(feature = "w5500-evb-pico2")]
mod w5500_evb_pico2;

use core::sync::atomic::AtomicU8;

use cortex_m::peripheral::SCB;
use embassy_executor::Spawner;
use embassy_rp::peripherals::{FLASH, PIN_0, PIN_1, TRNG, UART0};
use embassy_rp::uart::{self, BufferedUart};
use embassy_rp::{Peri, bind_interrupts, pac};
use embassy_time::Timer;
use embedded_io_async::Write;
use static_cell::ConstStaticCell;
use waft_board::line::Line;

use crate::watchdog::Watchdog;

#[cfg(feature = "pico-2-w")]
pub(crate) use pico_2_w::{Ethernet, FLASH_SIZE, Link, NetworkDevice, RX_SIZE, parts};
#[cfg(feature = "w5500-evb-pico2")]
pub(crate) use w5500_evb_pico2::{Ethernet, FLASH_SIZE, NetworkDevice, RX_SIZE, parts};

bind_interrupts!(struct Interrupts {
    UART0_IRQ => uart::BufferedInterruptHandler<UART0>;
});

/// Seconds after which a board whose network device does not answer restarts, to try again.
const RETRY_SECONDS: u64 = 60;

/// The serial line at the pins GP0 (sends) and GP1 (receives).
pub(crate) type Console = Line<'static, BufferedUart>;

/// The devices of the board. None of them has been waited for.
pub(crate) struct Parts {
    pub(crate) watchdog: Watchdog,
    pub(crate) console: Console,
    pub(crate) trng: Peri<'static, TRNG>,
    pub(crate) flash: Peri<'static, FLASH>,
    pub(crate) device: NetworkDevice,
}

/// What the start of the network device gives.
pub(crate) struct Network {
    pub(crate) ethernet: Ethernet,
    /// What joins networks.
    #[cfg(feature = "wifi")]
    pub(crate) link: Link,
}

/// Starts the console, with 115200 baud.
fn console(device: Peri<'static, UART0>, tx: Peri<'static, PIN_0>, rx: Peri<'static, PIN_1>) -> Console {
    static TX: ConstStaticCell<[u8; 512]> = ConstStaticCell::new([0; 512]);
    static RX: [AtomicU8; 256] = [const { AtomicU8::new(0) }; 256];

    // SAFETY: this is called once, so that no other driver gets this memory. `Line` changes only bytes that the driver
    // has handed to it as its reader, and through atomics, which may be changed through shared references.
    let ring = unsafe { core::slice::from_raw_parts_mut(RX.as_ptr().cast_mut().cast::<u8>(), RX.len()) };
    let driver = BufferedUart::new(device, tx, rx, Interrupts, TX.take(), ring, uart::Config::default());
    // Where nothing is connected, an open pin would read noise as input.
    pac::PADS_BANK0.gpio(1).modify(|pad| pad.set_pue(true));
    Line::new(driver, &RX)
}

/// Prints a line that the board has to say before the receiver runs.
async fn print(console: &mut Console, line: &str) {
    // A write error cannot be reported anywhere.
    for part in ["\r\n", line, "\r\n"] {
        let _ = console.write_all(part.as_bytes()).await;
    }
    let _ = console.flush().await;
}

/// Restarts the board in a minute, because its network device does not answer. Until then the console works.
fn retry_later(spawner: Spawner) {
    #[embassy_executor::task]
    async fn restart() -> ! {
        Timer::after_secs(RETRY_SECONDS).await;
        SCB::sys_reset()
    }
    spawner.spawn(restart().expect("it is spawned once"));
}
