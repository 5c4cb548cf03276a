//! A socket at which a board takes as long for a handshake as a microcontroller.
//!
//! What a board computes shows in what it does with the connection: a key pair before it writes the ClientHello, the
//! agreement behind the ServerHello, the check of a signature behind the first encrypted record, and a signature
//! before it answers that one.

use std::net::{IpAddr, SocketAddrV4};
use std::time::Duration;

use embassy_net::tcp::Error;
use embedded_io_async::{ErrorType, Read, Write};
use waft_receiver::board::{Listened, Socket};
use waft_receiver::embassy::TcpPort;
use waft_receiver::tls::guard::Tcp;

use crate::clock::work;

/// An STM32H563 at 250 MHz, and 1.2 cycles an instruction: 5.4, 5.4, 11.1 and 6.5 million instructions.
const KEY_PAIR: Duration = Duration::from_millis(26);
const AGREEMENT: Duration = Duration::from_millis(26);
const CHECK: Duration = Duration::from_millis(53);
const SIGNATURE: Duration = Duration::from_millis(31);

const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

/// A board's TCP, on a processor that takes its time.
pub(crate) struct Chip {
    tcp: TcpPort<'static>,
    next: Step,
}

/// What comes next in a handshake.
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

    /// Goes on to `next` behind `step`, once that took so long.
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
        // Of a record, its header is read first.
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
    type Address = SocketAddrV4;

    async fn listen(&mut self, known: Option<SocketAddrV4>) -> Listened<SocketAddrV4> {
        self.next = Step::ClientHello;
        self.tcp.listen(known).await
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
