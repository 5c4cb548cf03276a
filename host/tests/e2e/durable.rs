//! Data is made durable before the command relies on it, as the order of the system calls shows.
//!
//! Without a power cut, a missing call would have no visible effect, so `strace` records the calls.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::harness::Call;
use super::needs::skip;
use super::world::{World, set_mode, write};

/// The calls that make data durable, and the calls that make it visible to other processes.
const CALLS: &str = "trace=syncfs,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat";

/// The calls that change a simulated board's flash, make it durable, and send or show something.
const FLASH_CALLS: &str = "trace=lseek,write,writev,sendto,sendmsg,fdatasync,fsync,rename,renameat,renameat2";

/// The system calls of a command, in the order in which they completed.
pub(crate) struct Trace(PathBuf);

impl Trace {
    pub(crate) fn new(world: &World) -> Option<Self> {
        let there = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if there.is_ok_and(|status| status.success()) {
            return Some(Self(world.root.path().join("trace")));
        }
        skip("there is no strace");
        None
    }

    fn of(&self, call: Call) -> Call {
        self.with(&["-e", CALLS], call)
    }

    /// Records how a simulated board uses its flash. The command is not a child of `strace`, and gets every signal itself.
    pub(crate) fn of_flash(&self, call: Call) -> Call {
        self.with(&["-D", "-s", "0", "-e", FLASH_CALLS], call)
    }

    /// Records which modes are set.
    fn of_modes(&self, call: Call) -> Call {
        self.with(&["-e", "trace=chmod,fchmod,fchmodat"], call)
    }

    /// The calls with their arguments, in the order in which they began, whether or not they succeeded.
    pub(crate) fn begun(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.0).expect("strace has written it");
        let calls = log.lines().filter_map(|line| line.split_once(' ')).map(|(_, call)| call.trim_start());
        calls.filter(|call| !call.starts_with("<...")).map(str::to_owned).collect()
    }

    /// Runs a command in which each removal of a file takes that long.
    pub(crate) fn slow_removals(&self, milliseconds: u32, call: Call) -> Call {
        let delay = format!("inject=unlinkat:delay_enter={}", 1000 * milliseconds);
        self.with(&["-e", "trace=unlinkat", "-e", &delay], call)
    }

    fn with(&self, options: &[&str], call: Call) -> Call {
        let log = self.0.to_str().expect("a temporary path is text");
        call.within("strace", &[&["-f", "-y", "-qq", "-o", log], options].concat())
    }

    /// The calls that succeeded. A call during which other calls occurred is listed where it completed, with only its
    /// name and result.
    fn calls(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.0).expect("strace has written it");
        log.lines().filter(|line| line.trim_end().ends_with("= 0")).map(str::to_owned).collect()
    }
}

/// Finds calls in that order, each after the one before it, by the words that they contain. An interrupted call has
/// only its name left, so only the first word is required.
fn in_order(calls: &[String], expected: &[&[&str]]) {
    let mut rest = calls.iter();
    for words in expected {
        let found = rest.any(|call| {
            call.contains(words[0]) && (call.contains("resumed>") || words.iter().all(|word| call.contains(word)))
        });
        assert!(found, "{words:?} does not come in its turn: {calls:#?}");
    }
}

#[test]
fn a_folder_is_durable_before_it_appears() {
    let world = World::new();
    world.small();
    let Some(trace) = Trace::new(&world) else { return };
    let mut receiver = trace.of(world.receiving(&["--once", "--no-code", "--sealed-key"])).start();
    let (address, _) = receiver.ready();
    world.sending(&address).run().succeeded();
    receiver.end().succeeded();
    let appears: &[&str] = &["rename", "\"tree\"", "\"into\""];
    in_order(&trace.calls(), &[&["syncfs"], appears, &["fsync", "/work>"]]);
}

/// A mode that the process's mask lets through is given at creation, and none is set again.
#[test]
fn files_are_created_with_their_modes() {
    let world = World::new();
    world.small();
    for file in 0..200 {
        write(&world.folder(), format!("many/{file}"), b"small");
    }
    set_mode(&world.folder().join("deep/none"), 0o444);
    set_mode(&world.folder().join("many/7"), 0o600);
    let Some(trace) = Trace::new(&world) else { return };
    let mut receiver = trace.of_modes(world.receiving(&["--once", "--no-code", "--sealed-key"])).start();
    let (address, _) = receiver.ready();
    world.sending(&address).run().succeeded();
    receiver.end().succeeded();
    world.arrived();
    let of_files: Vec<_> = trace.begun().into_iter().filter(|call| call.contains("/tree/") && is_file(call)).collect();
    assert!(matches!(&of_files[..], [only] if only.contains("/deep/none>") && only.contains("0444")), "{of_files:#?}");
}

/// Whether a call is about a file of the test's folder, and not about a directory.
fn is_file(call: &str) -> bool {
    ["/none>", "/numbers>", "readme.txt>"].iter().any(|name| call.contains(name)) || call.contains("/many/")
}

#[test]
fn a_merge_is_durable_step_by_step() {
    let world = World::new();
    world.small();
    write(&world.target(), "old", b"old");
    let Some(trace) = Trace::new(&world) else { return };
    let mut receiver = trace.of(world.receiving(&["--once", "--no-code", "--sealed-key", "--merge"])).start();
    let (address, _) = receiver.ready();
    world.sending(&address).run().succeeded();
    receiver.end().succeeded();
    in_order(
        &trace.calls(),
        &[
            &["syncfs"],
            &["fsync", "/intent>"],
            &["fsync", "/.into.waft>"],
            &["rename", "\"readme.txt\"", "/into>"],
            &["syncfs"],
            &["unlink", "\"intent\""],
            &["fsync", "/.into.waft>"],
        ],
    );
}

#[test]
fn a_sealed_file_is_durable_with_its_name() {
    let world = World::strangers();
    world.small();
    let Some(trace) = Trace::new(&world) else { return };
    trace.of(world.laptop.call(&["seal", "folder", "-o", "folder.waft"])).run().succeeded();
    let calls = trace.calls();
    let appears = calls.iter().position(|call| call.contains("folder.waft\"")).expect("it appears under its name");
    in_order(&calls[..appears], &[&["fsync", "/.waft-"]]);
    in_order(&calls[appears..], &[&["fsync", "/work>"]]);
}

#[test]
fn a_boards_identity_is_durable_before_it_is_trusted() {
    let world = World::strangers();
    let Some(trace) = Trace::new(&world) else { return };
    world.laptop.call(&["id"]).run().succeeded();
    let args = ["provision", "--board", "mps2", "--name", "board", "-o", "board.bin"];
    trace.of(world.laptop.call(&args)).run().succeeded();
    let trusted: &[&str] = &["rename", "trust.json\""];
    let appears: &[&str] = &["rename", "board.bin\""];
    in_order(&trace.calls(), &[&["fsync", "/.waft-"], appears, &["fsync", "/work>"], trusted]);
}

#[test]
fn an_old_identity_is_kept_durably_before_it_is_replaced() {
    let world = World::strangers();
    world.laptop.call(&["id"]).run().succeeded();
    let Some(trace) = Trace::new(&world) else { return };
    trace.of(world.laptop.call(&["id", "--renew", "--yes"])).run().succeeded();
    let replaced: &[&str] = &["rename", "key.pem\""];
    in_order(&trace.calls(), &[&["rename", "key.pem.1\""], &["fsync", "/home>"], replaced]);
}

#[test]
fn an_identity_is_durable_before_it_counts() {
    let world = World::strangers();
    let Some(trace) = Trace::new(&world) else { return };
    trace.of(world.laptop.call(&["id"])).run().succeeded();
    in_order(
        &trace.calls(),
        &[&["fsync", "/.waft-"], &["rename", "key.pem\""], &["rename", "certificate.pem\""], &["fsync", "/home>"]],
    );
}
