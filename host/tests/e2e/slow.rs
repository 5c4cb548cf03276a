//! A receiver with a slow disk: writing a chunk with many small files takes longer than a peer's silence timeout.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::ahead::Clock;
use super::durable::Trace;
use super::harness::{Call, Waft, text};
use super::preload::library;
use super::world::{World, write};

/// More small files than fit into one chunk.
const FILES: usize = 1_900;
/// Fewer files than the first chunk holds, which also contains the manifest.
const FEW: usize = 600;

fn world() -> World {
    let world = World::new();
    for file in 0..FILES {
        write(&world.folder(), format!("{file:04}"), b"");
    }
    world
}

/// A disk that takes `milliseconds` per file. `None` from `new` if the disk cannot be slowed down on this system.
struct SlowDisk {
    library: PathBuf,
    milliseconds: u32,
}

impl SlowDisk {
    fn new(world: &World, milliseconds: u32) -> Option<Self> {
        Some(Self { library: library(world, "slow")?, milliseconds })
    }

    fn receive(&self, world: &World) -> Call {
        let call = world.receiving(&["--once", "--no-code", "--sealed-key"]);
        call.env("LD_PRELOAD", &self.library).env("SLOW", self.milliseconds.to_string())
    }
}

/// Opens a sealed file whose last byte is damaged on a disk that takes long to remove a file, and interrupts it once the
/// file's content has been found to be damaged.
#[cfg(target_os = "linux")]
#[test]
fn its_user_can_stop_the_removal_of_what_was_unpacked() {
    let world = world();
    let sealed = world.laptop.call(&["seal", "folder", "-o", "folder.waft"]).run().succeeded();
    let file = world.laptop.work.join("folder.waft");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let Some(trace) = Trace::new(&world) else { return };
    let open = world.kitchen.call(&["open"]).arg(&file).with(|call| call.args(["--into", "into"]));
    let open = trace.slow_removals(100, open.env("WAFT_KEY", text(sealed.last("key"), "key"))).start();
    while staged(&world.staging()) == 0 || world.staging().join("manifest").exists() {
        sleep(Duration::from_millis(20));
    }
    let began = Instant::now();
    // The signal is for the command. Its parent, strace, ends with it.
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", open.pid())).unwrap();
    let command = Pid::from_raw(children.trim().parse().unwrap()).unwrap();
    kill_process(command, Signal::INT).unwrap();
    let ended = open.end();
    assert!(began.elapsed() < Duration::from_secs(30), "it removed everything");
    assert!(text(ended.last("warning"), "message").contains("What was not removed in time is in"), "{ended:#?}");
    ended.failed(14, "storage", &["folder.waft is damaged"]);
    assert!(staged(&world.staging()) > FEW);
    world.nothing_arrived();
}

/// Waits until the first files are staged.
fn await_staged(world: &World) {
    while staged(&world.staging()) < 3 {
        sleep(Duration::from_millis(20));
    }
}

fn staged(staging: &Path) -> usize {
    fs::read_dir(staging.join("tree")).map_or(0, |files| files.count())
}

#[test]
fn its_sender_waits_for_it() {
    let world = world();
    let (Some(disk), Some(clock)) = (SlowDisk::new(&world, 6), Clock::new(&world)) else { return };
    let both = format!("{} {}", disk.library.display(), clock.library().display());
    let mut receiver = clock.on(disk.receive(&world)).env("LD_PRELOAD", both).start();
    let (address, _) = receiver.ready();
    let sender = clock.on(world.sending(&address)).start();
    // By the advanced clock, each of the two chunks takes more than two minutes.
    let processes = [receiver.pid(), sender.pid()];
    clock.hurry(&processes, || sender.end().succeeded());
    receiver.end().succeeded();
    world.arrived();
}

/// Sends to a receiver so slow that its chunk outlasts the test, and runs `act` in the middle of it.
fn in_the_midst(act: impl FnOnce(Waft, Waft)) {
    in_the_midst_of(&world(), act);
}

fn in_the_midst_of(world: &World, act: impl FnOnce(Waft, Waft)) {
    let Some(disk) = SlowDisk::new(world, 50) else { return };
    let mut receiver = disk.receive(world).start();
    let (address, _) = receiver.ready();
    let sender = world.send(&address);
    await_staged(world);
    act(receiver, sender);
    let staged = staged(&world.staging());
    assert!((3..FEW).contains(&staged), "{staged} files are staged");
    world.nothing_arrived();
}

#[test]
fn its_user_can_stop_it_within_a_chunk() {
    in_the_midst(|receiver, sender| {
        receiver.interrupt();
        receiver.end().failed(130, "interrupted", &["What was received so far is kept"]);
        sender.end().failed(16, "broken", &["kitchen cancelled the transfer"]);
    });
}

/// The threads for small files end as well.
#[test]
fn its_user_can_stop_it_in_later_chunks() {
    let world = world();
    // The rest of the first chunk is in this file.
    write(&world.folder(), "-first", &[1; 100_000]);
    in_the_midst_of(&world, |receiver, sender| {
        receiver.interrupt();
        receiver.end().failed(130, "interrupted", &["What was received so far is kept"]);
        sender.end().failed(16, "broken", &["kitchen cancelled the transfer"]);
    });
}

#[test]
fn a_sender_that_is_gone_is_noticed_within_a_chunk() {
    in_the_midst(|mut receiver, sender| {
        sender.kill();
        receiver.await_event("error");
        receiver.interrupt();
        receiver.end();
    });
}
