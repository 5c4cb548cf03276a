//! A board's console as a pipe, and the user at its other end.

use std::time::Duration;

use embedded_io_async::{ErrorType, Read, Write};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// A byte that the pipe turns into a read error, as a serial port does with a break.
pub(crate) const BROKEN: u8 = 0x1A;

/// The board's end of its console.
pub(crate) struct Pipe(pub(crate) DuplexStream);

impl ErrorType for Pipe {
    type Error = std::io::Error;
}

impl Read for Pipe {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        match self.0.read(buffer).await {
            Ok(1) if buffer[0] == BROKEN => Err(std::io::ErrorKind::InvalidData.into()),
            read => read,
        }
    }
}

impl Write for Pipe {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.flush().await
    }
}

/// The user at the console.
pub(crate) struct User {
    console: DuplexStream,
    seen: String,
}

impl User {
    /// A user at the other end of a board's console.
    pub(crate) fn new(console: DuplexStream) -> Self {
        Self { console, seen: String::new() }
    }

    /// Reads until `text` appears. Returns everything up to the end of its line.
    pub(crate) async fn sees(&mut self, text: &str) -> String {
        let reading = async {
            loop {
                if let Some(at) = self.seen.find(text)
                    && let Some(end) = self.seen[at..].find('\n')
                {
                    let rest = self.seen.split_off(at + end + 1);
                    return std::mem::replace(&mut self.seen, rest);
                }
                let mut bytes = [0; 1000];
                let count = self.console.read(&mut bytes).await.unwrap();
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), reading).await {
            Ok(seen) => seen,
            Err(_) => panic!("never saw {text:?}, but {:?}", self.seen),
        }
    }

    /// Reads the next code that is shown.
    pub(crate) async fn reads_code(&mut self) -> String {
        let seen = self.sees("Code:").await;
        let line = seen.lines().last().unwrap();
        line.chars().filter(char::is_ascii_digit).collect()
    }

    pub(crate) async fn types(&mut self, line: &str) {
        self.presses(format!("{line}\r\n")).await;
    }

    /// Types bytes without ending the line.
    pub(crate) async fn presses(&mut self, keys: impl AsRef<[u8]>) {
        self.console.write_all(keys.as_ref()).await.unwrap();
    }
}
