//! TCP connections within this process, for tests.

use std::net::Ipv4Addr;

use tokio::net::{TcpListener, TcpStream};

/// The two ends of a TCP connection: first the one that connected, then the accepted one.
pub(crate) async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}
