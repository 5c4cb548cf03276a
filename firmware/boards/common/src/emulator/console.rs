//! The console: a serial line for the operator of the board.
//!
//! Received bytes wait in a pipe. While the pipe is full, the receive interrupt is disabled and the UART holds up the
//! line, so no byte is lost.

use core::convert::Infallible;
use core::fmt::{self, Write as _};
use core::future::poll_fn;
use core::marker::PhantomData;
use core::task::Poll;

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;
use embassy_sync::waitqueue::AtomicWaker;
use embedded_io_async::{ErrorType, Read, Write};

use super::{Uart, UartInterrupt};

/// Bytes that wait to be read.
const INPUT_MAX: usize = 64;

static INPUT: Pipe<CriticalSectionRawMutex, INPUT_MAX> = Pipe::new();
static WRITABLE: AtomicWaker = AtomicWaker::new();

/// The console as a stream of bytes, on the UART [`Uart::CONSOLE`]. Reads are cancel-safe.
#[derive(Debug)]
pub struct Console<U>(PhantomData<U>);

impl<U: Uart> Console<U> {
    /// Starts the UART and its interrupts. There is only one console: call this once.
    pub fn start() -> Self {
        U::CONSOLE.start();
        critical_section::with(|_| on_received::<U>());
        U::CONSOLE.unmask();
        Self(PhantomData)
    }
}

/// Prints at once, by polling the UART, even if a task is writing. For use before tasks run and after a failure.
pub fn print_blocking<U: Uart>(text: fmt::Arguments<'_>) {
    struct Blocking<U>(U);
    impl<U: Uart> fmt::Write for Blocking<U> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write_all(text.as_bytes());
            Ok(())
        }
    }
    U::CONSOLE.start();
    // `Blocking` accepts every byte.
    let _ = Blocking(U::CONSOLE).write_fmt(text);
}

impl<U> ErrorType for Console<U> {
    type Error = Infallible;
}

impl<U: Uart> Read for Console<U> {
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
            on_received::<U>();
        });
        Ok(count)
    }
}

impl<U: Uart> Write for Console<U> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        poll_fn(|context| {
            WRITABLE.register(context.waker());
            let write = || bytes.iter().take_while(|byte| U::CONSOLE.try_write(**byte)).count();
            let mut count = write();
            if count == 0 && !bytes.is_empty() {
                critical_section::with(|_| U::CONSOLE.set_enabled(UartInterrupt::Sent, true));
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
pub extern "C" fn on_received<U: Uart>() {
    let uart = U::CONSOLE;
    uart.set_enabled(UartInterrupt::Received, true);
    uart.clear(UartInterrupt::Received);
    while INPUT.free_capacity() > 0 {
        let Some(byte) = uart.read() else { return };
        let _ = INPUT.try_write(&[byte]);
    }
    uart.set_enabled(UartInterrupt::Received, false);
    uart.clear(UartInterrupt::Received);
}

/// Wakes the task that waits until it can write. Call it as the interrupt handler.
pub extern "C" fn on_sent<U: Uart>() {
    let uart = U::CONSOLE;
    uart.clear(UartInterrupt::Sent);
    uart.set_enabled(UartInterrupt::Sent, false);
    WRITABLE.wake();
}
