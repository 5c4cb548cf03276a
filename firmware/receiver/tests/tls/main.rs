//! Tests of a board's TLS against real and hostile senders. PROTOCOL.md, section 3.

mod after_handshake;
mod attack;
mod handshake;
mod openssl;
mod rustls;
mod server;
mod support;
