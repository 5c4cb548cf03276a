//! The console: UART0, a serial line for the operator of the board.
//!
//! Received bytes wait in a pipe. While the pipe is full, the receive interrupt is disabled and the UART holds up the
//! line, so no byte is lost.

use core::convert::Infallible;
use core::fmt::{self, Write as _};
use core::future::poll_fn;
use core::task::Poll;

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;
use embassy_sync::waitqueue::AtomicWaker;
use embedded_io_async::{ErrorType, Read, Write};

use super::interrupts::Interrupt;
use super::registers::UART0;
use super::uart::{Uart, UartInterrupt};

const UART: Uart = Uart(UART0);

/// Bytes that wait to be read.
const INPUT_MAX: usize = 64;

static INPUT: Pipe<CriticalSectionRawMutex, INPUT_MAX> = Pipe::new();
static WRITABLE: AtomicWaker = AtomicWaker::new();

/// The console as a stream of bytes. Reads are cancel-safe.
#[derive(Debug)]
pub struct Console(());

impl Console {
    /// Starts the UART and its interrupts. There is only one console: call this once.
    pub fn start() -> Self {
        UART.start();
        critical_section::with(|_| on_received());
        Interrupt::Uart0Received.enable();
        Interrupt::Uart0Sent.enable();
        Self(())
    }
}

/// Prints at once, by polling the UART, even if a task is writing. For use before tasks run and after a failure.
pub fn print_blocking(text: fmt::Arguments<'_>) {
    struct Blocking;
    impl fmt::Write for Blocking {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            UART.write_all(text.as_bytes());
            Ok(())
        }
    }
    UART.start();
    // `Blocking` accepts every byte.
    let _ = Blocking.write_fmt(text);
}

impl ErrorType for Console {
    type Error = Infallible;
}

impl Read for Console {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let count = INPUT.read(buffer).await;
        critical_section::with(|_| {
            if INPUT.is_empty() {
                // The user may have typed a key: what was read must not stay in the pipe's memory.
                INPUT.clear();
                let _ = INPUT.try_write(&[0; INPUT_MAX]);
                INPUT.clear();
            }
            // The read made room in the pipe: receive a byte that had none.
            on_received();
        });
        Ok(count)
    }
}

impl Write for Console {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        poll_fn(|context| {
            WRITABLE.register(context.waker());
            let write = || bytes.iter().take_while(|byte| UART.try_write(**byte)).count();
            let mut count = write();
            if count == 0 && !bytes.is_empty() {
                critical_section::with(|_| UART.set_enabled(UartInterrupt::Sent, true));
                // Room that came before the interrupt was enabled raises no interrupt.
                count = write();
            }
            if count == 0 && !bytes.is_empty() { Poll::Pending } else { Poll::Ready(Ok(count)) }
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Moves received bytes into the pipe, as far as there is room. Call it only as the interrupt handler or with
/// interrupts disabled.
///
/// An interrupt that was not cleared is raised again even after it is disabled, and a byte that arrives while the
/// interrupt is disabled raises none. So this function enables and clears the interrupt before it reads bytes, and
/// clears it again after it disables it.
pub(crate) extern "C" fn on_received() {
    UART.set_enabled(UartInterrupt::Received, true);
    UART.clear(UartInterrupt::Received);
    while INPUT.free_capacity() > 0 {
        let Some(byte) = UART.read() else { return };
        let _ = INPUT.try_write(&[byte]);
    }
    UART.set_enabled(UartInterrupt::Received, false);
    UART.clear(UartInterrupt::Received);
}

pub(crate) extern "C" fn on_sent() {
    UART.clear(UartInterrupt::Sent);
    UART.set_enabled(UartInterrupt::Sent, false);
    WRITABLE.wake();
}
