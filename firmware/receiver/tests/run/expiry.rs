//! Tests how long a board keeps data of a session in RAM: the secret of a run as long as retries need it, and the content
//! of the buffers until the session ends.

use std::time::Duration;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{pause, sleep};
use waft_core::limits::REMEMBER_MS;
use waft_core::wire::preface::{TLS_HANDSHAKE, preface};

use crate::board::{ITERATIONS_MAX, Powered};
use crate::laptop::Laptop;
use crate::transfers::{folder, laptop_and_board, transfer};

/// PBKDF2-HMAC-SHA256 of a sender's key, as in RFC 8018, section 5.2.
fn secret(laptop: &Laptop, iterations: u32) -> [u8; 32] {
    let key = laptop.key.display().to_string().replace('-', "");
    let prf = |input: &[u8]| -> [u8; 32] {
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(key.as_bytes()).unwrap();
        mac.chain_update(input).finalize().into_bytes().into()
    };
    let mut last = prf(&[&laptop.salt[..], &[0, 0, 0, 1]].concat());
    let mut sum = last;
    for _ in 1..iterations {
        last = prf(&last);
        sum.iter_mut().zip(last).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

#[tokio::test]
async fn what_a_run_proved_is_wiped_when_its_time_has_passed_though_nobody_connects() {
    let (laptop, identity) = laptop_and_board();
    let folder = folder(1);
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            transfer(&laptop, &mut fixture, &folder).await.receipt();
            let secret = secret(&laptop, ITERATIONS_MAX);
            assert!(fixture.remembers(&secret));
            // From now on the time jumps, because all tasks are waiting.
            pause();
            sleep(Duration::from_millis(REMEMBER_MS - 10_000)).await;
            assert!(fixture.remembers(&secret), "it is kept for retries");
            sleep(Duration::from_millis(20_000)).await;
            assert!(!fixture.remembers(&secret));
        })
        .await;
}

#[tokio::test]
async fn the_buffers_of_a_session_that_makes_room_are_wiped_at_once() {
    let (_, identity) = laptop_and_board();
    let content = [0xa5; 600];
    // The header of a handshake record that is longer than what follows.
    let record = [&[TLS_HANDSHAKE, 3, 3, 8, 0], &content[..]].concat();
    Powered::new(16)
        .boot(Ok(&identity), async |fixture| {
            let mut first = TcpStream::connect(fixture.address).await.unwrap();
            first.write_all(&preface()).await.unwrap();
            first.read_exact(&mut [0]).await.unwrap();
            first.write_all(&record).await.unwrap();
            while !fixture.buffers_hold(&content) {
                sleep(Duration::from_millis(5)).await;
            }
            let mut second = TcpStream::connect(fixture.address).await.unwrap();
            second.write_all(&preface()).await.unwrap();
            second.read_exact(&mut [0]).await.unwrap();
            assert!(!fixture.buffers_hold(&content[..32]), "the second session runs");
        })
        .await;
}
