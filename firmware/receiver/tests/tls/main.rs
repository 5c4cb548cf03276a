//! A board's TLS against real and hostile senders. PROTOCOL.md, section 3.

mod hostile;
mod rustls;
mod server;
mod support;
