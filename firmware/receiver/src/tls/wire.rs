//! A guarded connection in two hands: TLS reads and writes it, the link around TLS waits on it.

use core::cell::RefCell;

use embassy_futures::yield_now;
use embedded_io_async::{ErrorType, Read, Write};
use embedded_tls::TlsError;

use super::error::LinkError;
use super::guard::{Guard, GuardError, Tcp};

/// A guarded connection, which TLS and the link around it use in turn: embedded-tls gives nobody its connection back.
#[derive(Debug)]
pub struct Wire<T>(RefCell<Guard<T>>);

// Nothing borrows while another waits: all go through a link that is borrowed mutably itself.
#[allow(clippy::await_holding_refcell_ref)]
impl<T: Tcp> Wire<T> {
    /// Guards a connection from the ClientHello on.
    pub fn new(tcp: T) -> Self {
        Self(RefCell::new(Guard::new(tcp)))
    }

    /// The connection.
    pub fn into_inner(self) -> T {
        self.0.into_inner().into_inner()
    }

    pub(super) fn end(&self) -> End<'_, T> {
        End(self)
    }

    pub(super) fn opened(&self) {
        self.0.borrow_mut().opened();
    }

    pub(super) async fn readable(&self) -> Result<(), T::Error> {
        self.0.borrow_mut().readable().await
    }

    /// What an error of embedded-tls on this connection means.
    pub(super) fn explain(&self, error: TlsError) -> LinkError {
        if let Some(violation) = self.0.borrow().violation() {
            return LinkError::Record(violation);
        }
        match error {
            TlsError::Io(kind) => LinkError::Tcp(kind),
            TlsError::IoError | TlsError::ConnectionClosed | TlsError::MissingHandshake => LinkError::Closed,
            TlsError::HandshakeAborted(..) | TlsError::InternalError => LinkError::Alert,
            _ => LinkError::Tls,
        }
    }
}

/// TLS's hold on a [`Wire`].
pub(super) struct End<'a, T>(&'a Wire<T>);

impl<T: Tcp> ErrorType for End<'_, T> {
    type Error = GuardError<T::Error>;
}

impl<T: Tcp> End<'_, T> {
    /// Lets other tasks run. In the handshake there is a computation with the elliptic curve between any two calls.
    async fn pause(&self) {
        if !self.0.0.borrow().is_open() {
            yield_now().await;
        }
    }
}

#[allow(clippy::await_holding_refcell_ref)]
impl<T: Tcp> Read for End<'_, T> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        self.pause().await;
        self.0.0.borrow_mut().read(buffer).await
    }
}

#[allow(clippy::await_holding_refcell_ref)]
impl<T: Tcp> Write for End<'_, T> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.pause().await;
        self.0.0.borrow_mut().write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.0.borrow_mut().flush().await
    }
}
