//! A connection within this process, for the tests of what runs on one.

use std::net::Ipv4Addr;

use tokio::net::{TcpListener, TcpStream};

/// Two ends of a TCP connection: who dialled, who listened.
pub(crate) async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}
