//! The console: UART0, for the person at the board.
//!
//! What comes in waits in a pipe; while that is full the interrupt is off and the line is held up, so that nothing gets
//! lost.

use core::convert::Infallible;
use core::fmt::{self, Write as _};
use core::future::poll_fn;
use core::task::Poll;

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;
use embassy_sync::waitqueue::AtomicWaker;
use embedded_io_async::{ErrorType, Read, Write};

use crate::interrupts::Interrupt;
use crate::registers::UART0;
use crate::uart::{Call, Uart};

const UART: Uart = Uart(UART0);

static TYPED: Pipe<CriticalSectionRawMutex, 64> = Pipe::new();
static SENT: AtomicWaker = AtomicWaker::new();

/// The console as a stream of bytes. Reads are cancel-safe.
#[derive(Debug)]
pub struct Console(());

impl Console {
    /// Turns the console on. There is one.
    pub fn start() -> Self {
        UART.start();
        critical_section::with(|_| on_received());
        Interrupt::Uart0Received.enable();
        Interrupt::Uart0Sent.enable();
        Self(())
    }
}

/// Writes at once, whoever else is writing: before tasks run, and when they never will again.
pub fn say_now(text: fmt::Arguments<'_>) {
    struct Now;
    impl fmt::Write for Now {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            UART.put_all(text.as_bytes());
            Ok(())
        }
    }
    UART.start();
    // `Now` takes everything.
    let _ = Now.write_fmt(text);
}

impl ErrorType for Console {
    type Error = Infallible;
}

impl Read for Console {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let count = TYPED.read(buffer).await;
        // A byte that found no room is still there.
        critical_section::with(|_| on_received());
        Ok(count)
    }
}

impl Write for Console {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        poll_fn(|context| {
            SENT.register(context.waker());
            let put = || bytes.iter().take_while(|byte| UART.put(**byte)).count();
            let mut count = put();
            if count == 0 && !bytes.is_empty() {
                critical_section::with(|_| UART.let_call(Call::Sent, true));
                // Room that there was before that calls for nobody.
                count = put();
            }
            if count == 0 && !bytes.is_empty() { Poll::Pending } else { Poll::Ready(Ok(count)) }
        })
        .await
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Takes what came, as far as there is room. Only with interrupts off, or as the handler.
///
/// A call that was not heard comes again for ever, even when it is turned off; and a byte that came while it was off
/// calls for nobody. So it is on and heard before bytes are taken, and heard once more when it is off.
pub(crate) extern "C" fn on_received() {
    UART.let_call(Call::Received, true);
    UART.heard(Call::Received);
    while TYPED.free_capacity() > 0 {
        let Some(byte) = UART.take() else { return };
        let _ = TYPED.try_write(&[byte]);
    }
    UART.let_call(Call::Received, false);
    UART.heard(Call::Received);
}

pub(crate) extern "C" fn on_sent() {
    UART.heard(Call::Sent);
    UART.let_call(Call::Sent, false);
    SENT.wake();
}
