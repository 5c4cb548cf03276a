//! Tests of the serial line, with a driver that keeps input in its ring buffer as those of Embassy do: what was read is
//! wiped, and input continues after an error.

use std::sync::atomic::{AtomicU8, Ordering};

use embassy_futures::block_on;
use embedded_io_async::{BufRead, ErrorKind, ErrorType, Read};
use waft_board::line::Line;

const LENGTH: usize = 8;

/// A driver with a ring buffer, from which it reads the bytes from `start`, `filled` bytes in all. As the one of
/// embassy-rp, it receives nothing after an error until something is consumed.
struct Driver<'r> {
    ring: &'r [AtomicU8; LENGTH],
    start: usize,
    filled: usize,
    error: Option<ErrorKind>,
    is_stopped: bool,
}

impl Driver<'_> {
    fn receive(&mut self, bytes: &[u8]) {
        assert!(!self.is_stopped, "the driver receives nothing");
        for byte in bytes {
            self.ring[(self.start + self.filled) % LENGTH].store(*byte, Ordering::Relaxed);
            self.filled += 1;
        }
        assert!(self.filled <= LENGTH);
    }

    fn fail(&mut self) {
        (self.error, self.is_stopped) = (Some(ErrorKind::Other), true);
    }
}

impl ErrorType for Driver<'_> {
    type Error = ErrorKind;
}

impl Read for Driver<'_> {
    async fn read(&mut self, _: &mut [u8]) -> Result<usize, ErrorKind> {
        unreachable!("this would leave the bytes in the ring buffer")
    }
}

impl BufRead for Driver<'_> {
    async fn fill_buf(&mut self) -> Result<&[u8], ErrorKind> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let length = self.filled.min(LENGTH - self.start);
        // SAFETY: the bytes are in the ring buffer, and no other thread changes them.
        Ok(unsafe { std::slice::from_raw_parts(self.ring.as_ptr().cast::<u8>().add(self.start), length) })
    }

    fn consume(&mut self, count: usize) {
        self.start = (self.start + count) % LENGTH;
        self.filled -= count;
        self.is_stopped = false;
    }
}

#[test]
fn what_was_read_is_wiped_and_nothing_else() {
    let ring = [const { AtomicU8::new(0) }; LENGTH];
    let content = || ring.each_ref().map(|byte| byte.load(Ordering::Relaxed));
    let mut driver = Driver { ring: &ring, start: 5, filled: 0, error: None, is_stopped: false };
    driver.receive(b"secret");
    assert_eq!(&content(), b"ret\0\0sec");
    let mut line = Line::new(driver, &ring);
    let mut buffer = [0; 2];
    for (read, left) in
        [("se", b"ret\0\0\0\0c"), ("c", b"ret\0\0\0\0\0"), ("re", b"\0\0t\0\0\0\0\0"), ("t", &[0; LENGTH])]
    {
        let count = block_on(line.read(&mut buffer)).unwrap();
        assert_eq!((&buffer[..count], &content()), (read.as_bytes(), left));
    }
}

#[test]
fn input_continues_after_an_error() {
    let ring = [const { AtomicU8::new(0) }; LENGTH];
    let mut driver = Driver { ring: &ring, start: 0, filled: 0, error: None, is_stopped: false };
    driver.fail();
    let mut line = Line::new(&mut driver, &ring);
    let mut buffer = [0; 2];
    assert_eq!(Err(ErrorKind::Other), block_on(line.read(&mut buffer)));
    driver.receive(b"k");
    let mut line = Line::new(&mut driver, &ring);
    assert_eq!(Ok(1), block_on(line.read(&mut buffer)));
    assert_eq!(b'k', buffer[0]);
}
