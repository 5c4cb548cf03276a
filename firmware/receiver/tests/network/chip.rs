//! A board's socket that takes as much time for a handshake as a microcontroller.
//!
//! It infers what the board computes from the data on the connection: a key pair before the ClientHello, the key
//! agreement after the ServerHello, the check of a signature after the first encrypted record, and a signature before
//! the answer to that record.

use std::net::IpAddr;
use std::time::Duration;

use embassy_net::tcp::Error;
use embedded_io_async::{ErrorType, Read, Write};
use waft_receiver::board::{ListenEvent, Socket, Watch};
use waft_receiver::embassy::{Endpoint, TcpPort};
use waft_receiver::tls::guard::Tcp;

use crate::clock::work;

/// For an STM32H563 at 250 MHz with 1.2 cycles per instruction: 5.4, 5.4, 11.1 and 6.5 million instructions.
const KEY_PAIR: Duration = Duration::from_millis(26);
const AGREEMENT: Duration = Duration::from_millis(26);
const CHECK: Duration = Duration::from_millis(53);
const SIGNATURE: Duration = Duration::from_millis(31);

const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

/// A board's TCP socket, on a slow processor.
pub(crate) struct Chip {
    tcp: TcpPort<'static>,
    next: Step,
}

/// The next step of a handshake that takes time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    ClientHello,
    ServerHello,
    Proof,
    Answer,
    Nothing,
}

impl Chip {
    pub(crate) fn new(tcp: TcpPort<'static>) -> Self {
        Self { tcp, next: Step::ClientHello }
    }

    /// If the next step is `step`, spends `duration` on it and continues with `next`.
    fn compute(&mut self, step: Step, next: Step, duration: Duration) {
        if self.next == step {
            work(duration);
            self.next = next;
        }
    }
}

impl ErrorType for Chip {
    type Error = Error;
}

impl Read for Chip {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let count = self.tcp.read(buffer).await?;
        // The header of a record is read separately, before its content.
        match buffer[..count] {
            [HANDSHAKE, 3, ..] => self.compute(Step::ServerHello, Step::Proof, AGREEMENT),
            [DATA, 3, ..] => self.compute(Step::Proof, Step::Answer, CHECK),
            _ => {}
        }
        Ok(count)
    }
}

impl Write for Chip {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        if bytes.first() == Some(&HANDSHAKE) {
            self.compute(Step::ClientHello, Step::ServerHello, KEY_PAIR);
        }
        if bytes.first() == Some(&DATA) {
            self.compute(Step::Answer, Step::Nothing, SIGNATURE);
        }
        self.tcp.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.tcp.flush().await
    }
}

impl Tcp for Chip {
    async fn readable(&mut self) -> Result<(), Error> {
        self.tcp.readable().await
    }
}

impl Socket for Chip {
    type Address = Endpoint;

    async fn listen(&mut self, watch: Watch<Endpoint>) -> ListenEvent<Endpoint> {
        self.next = Step::ClientHello;
        self.tcp.listen(watch).await
    }

    async fn establish(&mut self) -> bool {
        self.tcp.establish().await
    }

    fn source(&self) -> Option<IpAddr> {
        self.tcp.source()
    }

    async fn close(&mut self) {
        self.tcp.close().await;
    }

    fn abort(&mut self) {
        self.tcp.abort();
    }
}
