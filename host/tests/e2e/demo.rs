//! `waft demo`, stopped in the middle. A complete run is one of the board tests.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The processes that were started with this text in their environment.
fn started_with(text: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let of = |path: std::path::PathBuf| {
        fs::read(path.join("environ")).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    processes
        .filter(|entry| of(entry.path()).is_ok_and(|all| all.contains(text)))
        .map(|entry| format!("{entry:?}"))
        .collect()
}

#[test]
fn ctrl_c_in_the_middle_leaves_nothing() {
    let place = TempDir::new().expect("there is a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_waft"));
    // Without QEMU in the PATH, and with its temporary folder where the test can see it.
    command
        .arg("demo")
        .env("PATH", place.path())
        .env("TMPDIR", place.path())
        .env("WAFT_HOME", place.path().join("home"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut demo = command.spawn().expect("it starts");
    let mut lines = BufReader::new(demo.stdout.take().expect("it is piped")).lines();
    let mut until =
        |text: &str| lines.by_ref().map(Result::unwrap).find(|line| line.contains(text)).expect("it says so");
    let board = until("reached at ").rsplit(' ').next().expect("a word").to_owned();
    until("The board's console shows the code");
    kill_process(Pid::from_child(&demo), Signal::INT).expect("it runs");
    assert_eq!(demo.wait().expect("it ends").code(), Some(130));
    let mut errors = String::new();
    demo.stderr.take().expect("it is piped").read_to_string(&mut errors).expect("it is UTF-8");
    assert!(errors.contains("Interrupted."), "{errors}");
    assert!(TcpStream::connect(&board).is_err(), "the board is on");
    assert_eq!(started_with(&place.path().to_string_lossy()), [""; 0]);
    let left: Vec<_> = fs::read_dir(place.path()).expect("it is ours").collect();
    assert!(left.is_empty(), "{left:?}");
}
