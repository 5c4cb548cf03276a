//! Tests of a board's whole receiver on real sockets against the real sender: console output, untrusted peers, and the
//! state after a reset.

#[path = "../flash/archive.rs"]
#[allow(dead_code)]
mod archive;
mod board;
mod console;
#[cfg(target_os = "linux")]
mod expiry;
mod hardware;
mod laptop;
#[path = "../flash/nor.rs"]
#[allow(dead_code)]
mod nor;
mod operator;
mod pairing;
mod passphrase;
mod proxy;
mod review;
mod settings;
mod strangers;
#[path = "../tls/support.rs"]
#[allow(dead_code)]
mod support;
mod transfers;
mod trusted;
mod user;
mod wifi;
