//! The formats that cross the network around the chunks: the preface before TLS, frames and messages inside it.
//!
//! PROTOCOL.md, sections 2, 4 and 5.

pub mod frame;
mod kibibytes;
pub mod message;
pub mod preface;
