//! The receiver of a board behind the TCP of real boards, on a network in memory, where every refusal is visible:
//! strangers in numbers, peers that vanish, addresses that change. Time is simulated: see `clock`.

mod board;
mod chip;
mod clock;
#[path = "../flash/nor.rs"]
#[allow(dead_code)]
mod nor;
mod peers;
#[path = "../run/person.rs"]
#[allow(dead_code)]
mod person;
#[path = "../tls/server.rs"]
#[allow(dead_code)]
mod server;
mod strangers;
#[path = "../tls/support.rs"]
#[allow(dead_code)]
mod support;
mod wire;
