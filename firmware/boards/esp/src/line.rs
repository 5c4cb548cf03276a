//! The serial line of the console. Noise on the line, a break, or a burst of characters that was too fast is no end of the
//! console: such an error is skipped, and the next character is read.

use core::fmt::Debug;

use embassy_futures::yield_now;
use embedded_io_async::{ErrorType, Read, Write};

/// The driver of a serial line.
#[derive(Debug)]
pub struct Line<D>(D);

impl<D> Line<D> {
    /// A line on this driver, whose reads are cancel-safe.
    pub fn new(driver: D) -> Self {
        Self(driver)
    }
}

impl<D: ErrorType> ErrorType for Line<D> {
    type Error = D::Error;
}

impl<D: Read> Read for Line<D> {
    /// Cancel-safe, because the driver's read is. Reads again after an error, as often as necessary; other tasks run in
    /// between.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        loop {
            if let Ok(count) = self.0.read(buffer).await {
                return Ok(count);
            }
            yield_now().await;
        }
    }
}

impl<D: Write> Write for Line<D> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.flush().await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use embassy_futures::block_on;
    use embedded_io_async::ErrorKind;

    use super::*;

    struct Driver(VecDeque<Result<u8, ErrorKind>>);

    impl ErrorType for Driver {
        type Error = ErrorKind;
    }

    impl Read for Driver {
        async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
            buffer[0] = self.0.pop_front().expect("nothing reads more")?;
            Ok(1)
        }
    }

    #[test]
    fn characters_follow_errors() {
        let script = [Err(ErrorKind::Other), Ok(b'a'), Err(ErrorKind::Other), Err(ErrorKind::InvalidData), Ok(b'b')];
        let mut line = Line::new(Driver(script.into()));
        let mut buffer = [0; 4];
        for expected in [b'a', b'b'] {
            assert_eq!((block_on(line.read(&mut buffer)), buffer[0]), (Ok(1), expected));
        }
    }
}
