//! A web server on the emulated board: it serves the received folder over HTTP.
//!
//! ```text
//! boot       the receiver, as in the plain program: receives the folder by waft, over mutual TLS
//! serve      HTTP, one task per connection: serves the folder to browsers, without authentication
//! ```

#![no_std]
#![no_main]

mod site;

use embassy_executor::Spawner;
use embassy_net::{Stack, StackResources};
use picoserve::routing::get_service;
use picoserve::time::Duration;
use picoserve::{Config, Router, Server, Timeouts};
use static_cell::StaticCell;
use waft_board::boot::BoardSlots;
use waft_board::net::ALL_SOCKETS;
use waft_board::retained::Retained;
use waft_board::tasks::receive;
use waft_mps2::board::{self, Prepared};
use waft_mps2::drivers::console::Console;
use waft_mps2::drivers::executor;
use waft_mps2::drivers::nor::Nor;
use waft_mps2::drivers::watchdog::Watchdog;

use site::{EveryPath, Site};

include!(concat!(env!("OUT_DIR"), "/map.rs"));

waft_mps2::tasks!();

/// The TCP port of web servers.
const HTTP: u16 = 80;
/// The most connections at a time. A browser opens up to six to one server.
const SERVERS: usize = 8;
/// How long a client that stops reading or writing may hold its connection and the lease on the folder.
const TIMEOUT: Duration = Duration::from_secs(5);
/// One request per connection: clients take turns, and a read error of the flash ends the connection.
const CONFIG: Config = Config::new(Timeouts {
    start_read_request: TIMEOUT,
    persistent_start_read_request: TIMEOUT,
    read_request: TIMEOUT,
    write: TIMEOUT,
});

/// The longest request line with headers, in bytes. Browsers send about 700.
const REQUEST: usize = 2 << 10;
const RECEIVE: usize = 1 << 10;
const SEND: usize = 2 << 10;

#[cortex_m_rt::entry]
fn main() -> ! {
    let retained = board::start();
    let prepared = board::prepare(&MAP);
    executor::run(|spawner| spawner.spawn(boot(spawner, retained, prepared).expect("it is spawned once")))
}

#[embassy_executor::task]
async fn boot(spawner: Spawner, retained: Retained, prepared: Prepared) -> ! {
    static RESOURCES: StaticCell<StackResources<{ ALL_SOCKETS + SERVERS }>> = StaticCell::new();
    spawner.spawn(feed(Watchdog).expect("it is spawned once"));
    let started = board::boot(board::config(retained), prepared, &MAP, RESOURCES.init(StackResources::new())).await;
    spawner.spawn(network(started.runner).expect("it is spawned once"));
    for id in 0..SERVERS {
        spawner.spawn(serve(id, started.stack, started.slots).expect("the pool has one task for each"));
    }
    receive(started.receiver, started.sockets, Console::start()).await
}

/// Serves one connection after another. Never returns.
#[embassy_executor::task(pool_size = SERVERS)]
async fn serve(id: usize, stack: Stack<'static>, slots: &'static BoardSlots<Nor>) -> ! {
    let site = Router::from_service(EveryPath(get_service(Site::new(slots))));
    let (mut request, mut receive, mut send) = ([0; REQUEST], [0; RECEIVE], [0; SEND]);
    let server = Server::new(&site, &CONFIG, &mut request);
    server.listen_and_serve(id, stack, HTTP, &mut receive, &mut send).await.into_never()
}
