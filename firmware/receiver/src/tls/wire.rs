//! A guarded connection that two parts share: TLS reads and writes it, and the link around TLS waits on it.

use core::cell::RefCell;

use embassy_futures::yield_now;
use embedded_io_async::{ErrorType, Read, Write};
use embedded_tls::TlsError;

use super::error::LinkError;
use super::guard::{Guard, GuardError, Tcp};

/// A guarded connection. It is shared because embedded-tls gives no access to the connection that it owns.
#[derive(Debug)]
pub struct Wire<T>(RefCell<Guard<T>>);

// No borrow overlaps another one: all calls go through a link that is itself borrowed mutably.
#[allow(clippy::await_holding_refcell_ref)]
impl<T: Tcp> Wire<T> {
    /// Guards a connection that is about to send the ClientHello.
    pub fn new(tcp: T) -> Self {
        Self(RefCell::new(Guard::new(tcp)))
    }

    /// Returns the connection.
    pub fn into_inner(self) -> T {
        self.0.into_inner().into_inner()
    }

    pub(super) fn tls_half(&self) -> TlsHalf<'_, T> {
        TlsHalf(self)
    }

    pub(super) fn finish_handshake(&self) {
        self.0.borrow_mut().finish_handshake();
    }

    pub(super) async fn readable(&self) -> Result<(), T::Error> {
        self.0.borrow_mut().readable().await
    }

    /// Translates an error of embedded-tls on this connection.
    pub(super) fn translate(&self, error: TlsError) -> LinkError {
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

/// The half of a [`Wire`] that TLS owns.
pub(super) struct TlsHalf<'a, T>(&'a Wire<T>);

impl<T: Tcp> ErrorType for TlsHalf<'_, T> {
    type Error = GuardError<T::Error>;
}

impl<T: Tcp> TlsHalf<'_, T> {
    /// Lets other tasks run during the handshake, which does an operation on the elliptic curve between two calls.
    async fn yield_in_handshake(&self) {
        if !self.0.0.borrow().is_open() {
            yield_now().await;
        }
    }
}

#[allow(clippy::await_holding_refcell_ref)]
impl<T: Tcp> Read for TlsHalf<'_, T> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        self.yield_in_handshake().await;
        self.0.0.borrow_mut().read(buffer).await
    }
}

#[allow(clippy::await_holding_refcell_ref)]
impl<T: Tcp> Write for TlsHalf<'_, T> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.yield_in_handshake().await;
        self.0.0.borrow_mut().write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.0.0.borrow_mut().flush().await
    }
}
