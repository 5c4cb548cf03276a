//! Tests of a board's receiver with the TCP stack of real boards, on a simulated network where every refusal is
//! visible: many untrusted peers, peers that disappear, and changing addresses. Time is simulated: see `clock`.

mod announce;
mod board;
mod chip;
mod clock;
#[path = "../flash/nor.rs"]
#[allow(dead_code)]
mod nor;
mod peers;
#[path = "../tls/server.rs"]
#[allow(dead_code)]
mod server;
mod strangers;
#[path = "../tls/support.rs"]
#[allow(dead_code)]
mod support;
#[path = "../run/user.rs"]
#[allow(dead_code)]
mod user;
mod wire;
