//! Measures a board's processor load in instructions: the emulator counts eight nanoseconds for each.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use super::site::{Board, Kind, Site, noise, write};

/// Instructions per millisecond of the board.
const MILLISECOND: u64 = 125_000;
/// Upper bound for one computation with the elliptic curve.
const CURVE: u64 = 13_000_000;

/// The board's processor load since it started.
struct Load {
    /// Milliseconds of work, and milliseconds since the start.
    all: u64,
    now: u64,
    /// The longest time without a pause, in milliseconds.
    longest: u64,
    /// How often the board worked for five million instructions without a pause.
    long: u64,
}

impl Load {
    fn of(board: &mut Board) -> Self {
        let line = board.asked("status", "Processor:");
        let numbers: Vec<u64> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
        let [all, now, longest, long, 40] = numbers[..] else { panic!("{line}") };
        Self { all, now, longest, long }
    }
}

/// A folder with an emulator that counts instructions.
fn counting(site: &Site) -> PathBuf {
    site.emulator("-icount shift=3")
}

/// Other tasks run at least every 50 ms at 100 MHz, except during single computations with the elliptic curve: those of
/// the handshake (key pair, agreement, verification and signature), and the agreement for a sealed key. Stretching a
/// typed key is split into pieces.
pub(super) fn the_processor_is_never_kept_for_long(kind: &Kind) {
    is_never_kept_for_long(kind, &["--no-code", "--sealed-key"], 5);
    is_never_kept_for_long(kind, &[], 4);
}

fn is_never_kept_for_long(kind: &Kind, policy: &[&str], computations: u64) {
    let site = Site::provisioned(kind, policy);
    let programs = counting(&site);
    write(&site, "a/b/c", &noise(200_000, 3));
    let mut board = site.listening_with(&programs);
    let code = policy.is_empty().then(|| board.code());
    let before = Load::of(&mut board);
    let sent = match code {
        Some(code) => site.carry(&mut board, &code),
        None => site.deliver(),
    };
    sent.succeeded();
    board.asked("verify", "Verified");
    let after = Load::of(&mut board);
    let (long, longest) = (after.long - before.long, after.longest * MILLISECOND);
    println!("{policy:?}: {longest} instructions at once; {long} times more than five million");
    assert!(long <= computations && longest < CURVE, "{policy:?}: {long} times, {longest} instructions");
    fs::remove_dir_all(&programs).expect("it is ours");
}

/// Strangers make the board start a handshake and then abort it, many times a second.
pub(super) fn strangers_take_half_of_the_processor_at_most(kind: &Kind) {
    const SECONDS: u64 = 20;
    let site = Site::unattended(kind);
    let programs = counting(&site);
    write(&site, "a", b"A");
    let mut board = site.listening_with(&programs);
    let before = Load::of(&mut board);
    let until = Instant::now() + Duration::from_secs(SECONDS);
    let strangers: Vec<_> = (0..8)
        .map(|_| {
            let address = site.address.clone();
            spawn(move || {
                let mut count = 0u32;
                while Instant::now() < until {
                    if let Ok(mut stranger) = TcpStream::connect(&address) {
                        let _ = stranger.write_all(b"WAFT\x01\0\0\0HTTP/1.1 400 Bad Request\r\n\r\n");
                        let _ = stranger.set_read_timeout(Some(Duration::from_secs(1)));
                        while matches!(stranger.read(&mut [0; 512]), Ok(1..)) {}
                        count += 1;
                    }
                    sleep(Duration::from_millis(80));
                }
                count
            })
        })
        .collect();
    sleep(Duration::from_secs(2));
    let begun = Instant::now();
    site.deliver().succeeded();
    let took = begun.elapsed();
    let count: u32 = strangers.into_iter().map(|stranger| stranger.join().expect("it ends")).sum();
    let after = Load::of(&mut board);
    // As a share of the board's time, because the emulated processor is not as fast as it claims.
    let (spent, passed) = (after.all - before.all, after.now - before.now);
    let (share, minute) = (spent * 100 / passed, spent * MILLISECOND * 60_000 / passed);
    println!("{count} strangers in {passed} ms: {minute} instructions a minute, {share} % of the processor");
    println!("a trusted sender was done after {took:?}");
    // Half for failed handshakes, plus the saved budget, the transfer itself, and TCP.
    assert!(share < 80, "{share} %");
}
