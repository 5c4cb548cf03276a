//! Tests with peers that disappear, and with a network whose address or link changes while the board runs.

use std::future::pending;
use std::time::Duration;

use embassy_net::ConfigV4;
use embedded_io_async::Write as _;
use tokio::time::{Instant, timeout};
use waft::identity::Identity as Keys;
use waft_core::limits::MESSAGE_MAX;
use waft_core::wire::frame::{Header, Kind};
use waft_core::wire::message::{FromSender, Hello};
use waft_core::wire::preface::{LEN, VERSION, preface};
use waft_receiver::embassy::config;
use waft_receiver::identity::{Address, Network};

use crate::board::{BOARD, Laptop, boot};
use crate::server::DATA;
use crate::strangers::{key, shake_hands};
use crate::support::board;

/// The first byte of the answer to a preface, if any.
async fn answer(laptop: &Laptop, at: [u8; 4]) -> Option<u8> {
    let mut socket = laptop.connect_to(at).await.ok()?;
    socket.write_all(&preface()).await.ok()?;
    let mut said = [0; LEN];
    let read = timeout(Duration::from_secs(5), socket.read(&mut said)).await.ok()?;
    let first = read.ok().filter(|count| *count > 0).map(|_| said[0]);
    socket.abort();
    let _ = timeout(Duration::from_millis(50), socket.flush()).await;
    first
}

#[tokio::test(start_paused = true)]
async fn the_console_and_the_sockets_follow_the_address() {
    let identity = board(&Keys::generate(), &[&Keys::generate()]);
    boot(&identity, async |mut fixture| {
        fixture.user.sees("Listening at 192.168.7.2:12346.").await;
        assert!(answer(&fixture.laptop, BOARD).await.is_some());
        let moved = |last| {
            let address = Address::Static { address: [192, 168, 7, last], prefix: 24, gateway: None, dns: None };
            config(Some(&Network { hostname: "kitchen".try_into().unwrap(), address, wifi: None })).ipv4
        };
        fixture.board.set_config_v4(moved(9));
        fixture.user.sees("Listening at 192.168.7.9:12346.").await;
        assert!(answer(&fixture.laptop, [192, 168, 7, 9]).await.is_some());
        // The lease is lost, and the board gets an address again.
        fixture.board.set_config_v4(ConfigV4::None);
        fixture.user.sees("No network").await;
        fixture.user.types("status").await;
        fixture.user.sees("Address: none").await;
        fixture.board.set_config_v4(moved(10));
        fixture.user.sees("Listening at 192.168.7.10:12346.").await;
        assert!(answer(&fixture.laptop, [192, 168, 7, 10]).await.is_some());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_cable_may_be_unplugged() {
    let identity = board(&Keys::generate(), &[&Keys::generate()]);
    boot(&identity, async |mut fixture| {
        fixture.user.sees("Listening at 192.168.7.2:12346.").await;
        fixture.laptop.port.plug(false);
        fixture.user.sees("No network: the cable is unplugged").await;
        fixture.laptop.port.plug(true);
        fixture.user.sees("Listening at 192.168.7.2:12346.").await;
        assert!(answer(&fixture.laptop, BOARD).await.is_some());
    })
    .await;
}

/// This happens while the board waits for the code, which may take two minutes.
#[tokio::test(start_paused = true)]
async fn a_sender_that_lost_its_power_is_noticed() {
    let (sender, kitchen) = (Keys::generate(), Keys::generate());
    let identity = board(&kitchen, &[&sender]);
    boot(&identity, async |mut fixture| {
        let socket = fixture.laptop.connect().await.unwrap();
        let sending = fixture.laptop.carried(socket, async |stream| {
            let mut server = shake_hands(stream, &sender, &key(&sender)).await.unwrap();
            server.finish();
            let mut buffer = [0; MESSAGE_MAX];
            let hello = FromSender::Hello(Hello { min: VERSION, max: VERSION, nonce: [1; 32], salt: [2; 32] });
            let payload = postcard::to_slice(&hello, &mut buffer).unwrap();
            server.sealed(DATA, &[&Header::encode(Kind::Message, payload.len()), &*payload].concat()).await;
            pending::<()>().await
        });
        let watching = async {
            fixture.user.sees("laptop0 connected").await;
            fixture.laptop.port.die();
            let begun = Instant::now();
            fixture.user.sees("No new folder from laptop0: the connection broke").await;
            begun.elapsed()
        };
        tokio::select! {
            () = sending => unreachable!("it waits for ever"),
            took = watching => assert!(took < Duration::from_secs(30), "{took:?}"),
        }
    })
    .await;
}
