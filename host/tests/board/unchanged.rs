//! Counts what a byte costs an emulated board that did not change since the last transfer and does not cross: in
//! instructions, and in bytes on the wire.
//!
//! Each measurement is a second transfer of a folder in which one file of 10 KiB changed. Two of them, with folders of 128
//! KiB and of 1 MiB, give what a byte costs that stays. `.ci/cost` runs this.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};

use super::cost::{Counter, Counts, Symbols};
use super::site::{Board, Kind, Site, noise, write};

/// The length of a file.
const FILE: usize = 10_486;
/// The numbers of files.
const FEW: usize = 13;
const MANY: usize = 100;
/// The most instructions for each byte that does not cross.
const INSTRUCTIONS: f64 = 45.0;
/// The most bytes on the wire, of those that a transfer of the whole folder takes.
const WIRE: f64 = 0.05;

pub(super) fn what_a_byte_costs_that_did_not_change(kind: &Kind) {
    let Kind::Emulated(board, firmware) = kind else { panic!("only emulated boards count") };
    let symbols = Symbols::of(firmware);
    let [few, many] = [FEW, MANY].map(|files| update(kind, &symbols, files));
    let [before, after] = [&few, &many].map(|update| symbols.by_stage(&update.counts));
    let bytes = ((MANY - FEW) * FILE) as f64;
    let mut all = 0.0;
    println!("# What a byte costs {} that did not change, in instructions:", board.title);
    for (stage, count) in &after {
        let per_byte = (*count as f64 - before[stage] as f64) / bytes;
        all += per_byte;
        println!("unchanged: {stage:<21}{per_byte:>8.2}");
    }
    println!("unchanged: {:<21}{all:>8.2}", "in all");
    let part = many.wire as f64 / many.whole as f64;
    println!("One changed file of {MANY}: {} of {} bytes on the wire, {:.1} %.", many.wire, many.whole, 100.0 * part);
    assert!(all <= INSTRUCTIONS, "{all:.2} instructions for each byte that did not change");
    assert!(part <= WIRE, "{:.1} % of the bytes cross", 100.0 * part);
}

/// What the second transfer of a folder took.
struct Update {
    counts: Counts,
    /// Bytes on the wire, in both directions, and those of the first transfer.
    wire: u64,
    whole: u64,
}

fn update(kind: &Kind, symbols: &Symbols, files: usize) -> Update {
    let site = Site::unattended(kind);
    for file in 0..files {
        write(&site, format!("folder/{file:03}"), &noise(FILE, file));
    }
    let counter = Counter::new(&site, symbols);
    let mut board = site.listening_with(counter.programs());
    let whole = deliver(&site, &mut board);
    write(&site, "folder/005", &noise(FILE, files));
    let before = counter.read();
    let wire = deliver(&site, &mut board);
    let counts = counter.since(&before);
    Update { counts, wire, whole }
}

/// Sends the folder, and returns the number of bytes on the wire.
fn deliver(site: &Site, board: &mut Board) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it listens");
    let (board_address, count) = (site.address.clone(), Arc::new(AtomicU64::new(0)));
    let counted = count.clone();
    spawn(move || {
        for accepted in listener.incoming().map_while(Result::ok) {
            let Ok(board) = TcpStream::connect(&board_address) else { continue };
            pass(accepted, board, &counted);
        }
    });
    let send = site.laptop.call(&["send"]).arg(site.folder()).arg(format!("kitchen@{address}"));
    send.run().succeeded();
    board.sees("The folder is in place");
    count.load(Ordering::Relaxed)
}

/// Passes the bytes of both directions on, and counts them.
fn pass(laptop: TcpStream, board: TcpStream, count: &Arc<AtomicU64>) -> [JoinHandle<()>; 2] {
    let clone = |stream: &TcpStream| stream.try_clone().expect("it is open");
    [(clone(&laptop), clone(&board)), (board, laptop)].map(|(mut from, mut to)| {
        let count = count.clone();
        spawn(move || {
            let mut buffer = [0; 16 << 10];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                count.fetch_add(length as u64, Ordering::Relaxed);
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Write);
        })
    })
}
