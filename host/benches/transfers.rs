//! Measures whole transfers: two `waft` processes on loopback, compared with `cp -r` of the same folder. Run it with
//! `cargo bench -p waft`.
//!
//! CPU time is the sum of both processes, memory is that of the larger one. Every case runs in a process of its own, so
//! that the system's statistics of finished children cover only that case. Compare lines of one run, not of different
//! runs. Linux only.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use nix::sys::resource::{Usage, UsageWho, getrusage};
use world::{ANY, Machine};

#[path = "../tests/e2e/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "../tests/e2e/world.rs"]
#[allow(dead_code)]
mod world;

struct Case {
    name: &'static str,
    make: fn(&Path),
    /// What comes before the measurement.
    prepare: fn(&Path, &Path),
    carry: fn(&Path, &Path),
}

const CASES: [Case; 7] = [
    Case { name: "512 MiB of noise, waft", make: noise, prepare: nothing, carry: waft },
    Case { name: "512 MiB of noise, cp -r", make: noise, prepare: nothing, carry: cp },
    Case { name: "20 000 files of 2 KiB, waft", make: files, prepare: nothing, carry: waft },
    Case { name: "20 000 files of 2 KiB, cp -r", make: files, prepare: nothing, carry: cp },
    Case { name: "20 000 files, one changed, waft", make: files, prepare: change, carry: waft },
    Case { name: "4 GiB, sparse, waft", make: sparse, prepare: nothing, carry: waft },
    Case { name: "one byte, waft", make: byte, prepare: nothing, carry: waft },
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [name, place] = &arguments[..]
        && let Some(case) = CASES.into_iter().find(|case| case.name == *name)
    {
        return case.run(Path::new(place));
    }
    // Removed only at the end: on ext4, writing many small files after many were removed takes ten times as long.
    let places = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    println!("{:<32} {:>8} {:>8} {:>10}", "", "wall s", "CPU s", "peak MiB");
    for case in CASES {
        let this = std::env::current_exe().expect("a bench has a path");
        let place = places.path().join(case.name);
        let status = Command::new(this).arg(case.name).arg(place).status().expect("a bench can start itself");
        assert!(status.success(), "{} failed", case.name);
    }
}

impl Case {
    fn run(&self, place: &Path) {
        let folder = place.join("folder");
        fs::create_dir_all(&folder).expect("a folder");
        (self.make)(&folder);
        (self.prepare)(place, &folder);
        let prepared = cpu();
        let start = Instant::now();
        (self.carry)(place, &folder);
        let wall = start.elapsed().as_secs_f64();
        let (cpu, usage) = (cpu() - prepared, children());
        println!("{:<32} {wall:>8.2} {cpu:>8.2} {:>10.1}", self.name, usage.max_rss() as f64 / 1024.0);
    }
}

fn children() -> Usage {
    getrusage(UsageWho::RUSAGE_CHILDREN).expect("an account of the children")
}

/// The CPU time of all children so far, in seconds.
fn cpu() -> f64 {
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(children().user_time()) + seconds(children().system_time())
}

fn nothing(_: &Path, _: &Path) {}

/// Sends the folder, and changes one of its files.
fn change(place: &Path, folder: &Path) {
    waft(place, folder);
    fs::write(folder.join("directory-100/file-50.txt"), "changed").expect("a file");
}

fn noise(folder: &Path) {
    let mut random = File::open("/dev/urandom").expect("a random device").take(512 << 20);
    std::io::copy(&mut random, &mut File::create(folder.join("noise")).expect("a file")).expect("space");
}

fn files(folder: &Path) {
    for directory in 0..200 {
        let directory = folder.join(format!("directory-{directory:03}"));
        fs::create_dir(&directory).expect("a directory");
        for file in 0..100 {
            let text = format!("the contents of file {file} are not much to look at\n").repeat(40);
            fs::write(directory.join(format!("file-{file:02}.txt")), text).expect("a file");
        }
    }
}

fn sparse(folder: &Path) {
    File::create(folder.join("sparse")).and_then(|file| file.set_len(4 << 30)).expect("a sparse file");
}

fn byte(folder: &Path) {
    fs::write(folder.join("byte"), "!").expect("a file");
}

fn cp(place: &Path, folder: &Path) {
    let status = Command::new("cp").arg("-r").arg(folder).arg(place.join("copy")).status().expect("cp");
    assert!(status.success());
}

fn waft(place: &Path, folder: &Path) {
    let (here, there) = (Machine::new(place, "here"), Machine::new(place, "there"));
    if !here.home.join("trust.json").exists() {
        here.trust(&there, &["--send-only"]);
        there.trust(&here, &["--receive-only"]);
    }
    let receiving =
        there.call(&["receive", "--once", "--overwrite", "--listen", ANY, "--into"]).arg(place.join("copy"));
    let mut receiver = receiving.start();
    let (address, code) = receiver.ready();
    let mut sender = here.call(&["send"]).arg(folder).arg(format!("there@{address}")).start();
    let key = sender.key();
    sender.answer("code", &code.expect("a receiver asks for a code"));
    receiver.answer("key", &key);
    sender.end().succeeded();
    receiver.end().succeeded();
}
