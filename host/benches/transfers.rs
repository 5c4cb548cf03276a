//! Measures whole transfers: two `waft` processes on loopback, compared with `cp -r` of the same folder. Run it with
//! `cargo bench -p waft`.
//!
//! CPU time is the sum of both processes, memory is that of the larger one. Every case runs in a process of its own, so
//! that the system's statistics of finished children cover only that case. Compare lines of one run, not of different
//! runs. Linux only.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::Value;

const WAFT: &str = env!("CARGO_BIN_EXE_waft");

struct Case {
    name: &'static str,
    make: fn(&Path),
    carry: fn(&Path, &Path),
}

const CASES: [Case; 6] = [
    Case { name: "512 MiB of noise, waft", make: noise, carry: waft },
    Case { name: "512 MiB of noise, cp -r", make: noise, carry: cp },
    Case { name: "20 000 files of 2 KiB, waft", make: files, carry: waft },
    Case { name: "20 000 files of 2 KiB, cp -r", make: files, carry: cp },
    Case { name: "4 GiB, sparse, waft", make: sparse, carry: waft },
    Case { name: "one byte, waft", make: byte, carry: waft },
];

fn main() {
    let argument = std::env::args().nth(1);
    if let Some(case) = argument.and_then(|name| CASES.into_iter().find(|case| case.name == name)) {
        return case.run();
    }
    println!("{:<32} {:>8} {:>8} {:>10}", "", "wall s", "CPU s", "peak MiB");
    for case in CASES {
        let this = std::env::current_exe().expect("a bench has a path");
        let status = Command::new(this).arg(case.name).status().expect("a bench can start itself");
        assert!(status.success(), "{} failed", case.name);
    }
}

impl Case {
    fn run(&self) {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("transfers");
        let _ = fs::remove_dir_all(&place);
        let folder = place.join("folder");
        fs::create_dir_all(&folder).expect("a folder");
        (self.make)(&folder);
        let start = Instant::now();
        (self.carry)(&place, &folder);
        let wall = start.elapsed().as_secs_f64();
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("an account of the children");
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        let cpu = seconds(usage.user_time()) + seconds(usage.system_time());
        println!("{:<32} {wall:>8.2} {cpu:>8.2} {:>10.1}", self.name, usage.max_rss() as f64 / 1024.0);
        let _ = fs::remove_dir_all(&place);
    }
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
    let (here, there) = (place.join("here"), place.join("there"));
    for (home, name, peer, direction) in [(&here, "there", &there, "--receives"), (&there, "here", &here, "--sends")] {
        let certificate = place.join(format!("{name}.pem"));
        fs::write(&certificate, plain(peer, &["id", "cert"])).expect("a certificate");
        plain(home, &["trust", "add", name, certificate.to_str().expect("plain"), direction]);
    }
    let into = place.join("copy");
    let into = into.to_str().expect("plain");
    let mut receiver = start(&there, &["receive", "--once", "--listen", "127.0.0.1:0", "--into", into]);
    let ready = event(&mut receiver, "ready");
    let to = format!("there@{}", ready["address"].as_str().expect("an address"));
    let mut sender = start(&here, &["send", folder.to_str().expect("plain"), &to]);
    let key = event(&mut sender, "key");
    answer(&mut sender, &ready["code"]);
    answer(&mut receiver, &key["key"]);
    event(&mut sender, "committed");
    assert!(sender.wait().expect("an end").success() && receiver.wait().expect("an end").success());
}

fn plain(home: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(WAFT).env("WAFT_HOME", home).args(arguments).output().expect("waft");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn start(home: &Path, arguments: &[&str]) -> Child {
    Command::new(WAFT)
        .env("WAFT_HOME", home)
        .arg("--json")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("waft")
}

/// Reads events until the named one arrives. Reads byte by byte, so that no later output is lost.
fn event(child: &mut Child, name: &str) -> Value {
    let stdout = child.stdout.as_mut().expect("piped");
    loop {
        let mut line = String::new();
        BufReader::with_capacity(1, &mut *stdout).read_line(&mut line).expect("text");
        let event: Value = serde_json::from_str(&line).expect("an event a line");
        assert!(event["event"] != "error", "{line}");
        if event["event"] == name {
            return event;
        }
    }
}

fn answer(child: &mut Child, text: &Value) {
    writeln!(child.stdin.as_mut().expect("piped"), "{}", text.as_str().expect("text")).expect("an open pipe");
}
