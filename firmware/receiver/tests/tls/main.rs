//! A board's TLS against real and hostile senders. PROTOCOL.md, section 3.

mod attack;
mod handshake;
mod opened;
mod openssl;
mod rustls;
mod server;
mod support;
