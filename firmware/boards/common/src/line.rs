//! The serial line of the console, on top of a chip's driver with a ring buffer. What was read is wiped from the ring
//! buffer, because the user may have typed a key. An error of the line does not end the input.

use core::sync::atomic::{AtomicU8, Ordering};

use embedded_io_async::{BufRead, ErrorType, Read, Write};

/// The driver of a serial line, and the memory of the ring buffer in which it collects input.
#[derive(Debug)]
pub struct Line<'r, D> {
    driver: D,
    ring: &'r [AtomicU8],
}

impl<'r, D: BufRead> Line<'r, D> {
    /// `ring` is the memory of the driver's ring buffer for input.
    pub fn new(driver: D, ring: &'r [AtomicU8]) -> Self {
        Self { driver, ring }
    }
}

impl<D: ErrorType> ErrorType for Line<'_, D> {
    type Error = D::Error;
}

impl<D: BufRead> Read for Line<'_, D> {
    /// Cancel-safe, because the driver's `fill_buf` is.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        let input = match self.driver.fill_buf().await {
            Ok(input) => input,
            Err(error) => {
                // The driver of embassy-rp stops receiving after an error, until a reader consumes something.
                self.driver.consume(0);
                return Err(error);
            }
        };
        let count = input.len().min(buffer.len());
        buffer[..count].copy_from_slice(&input[..count]);
        // These bytes belong to the reader until they are consumed.
        let from = input.as_ptr().addr() - self.ring.as_ptr().addr();
        self.ring[from..from + count].iter().for_each(|byte| byte.store(0, Ordering::Relaxed));
        self.driver.consume(count);
        Ok(count)
    }
}

impl<D: Write> Write for Line<'_, D> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.driver.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.driver.flush().await
    }
}
