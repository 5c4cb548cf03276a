//! Keys are wiped from a process's memory when they are no longer needed. The tests read the memory that a core dump
//! would contain.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::harness::Call;
use super::needs::skip;
use super::pty::{Terminal, waft};
use super::world::{ANY, World};

/// After this time a test counts as stuck.
const STUCK: Duration = Duration::from_secs(100);

/// The writable memory of a process.
fn memory(pid: u32) -> Vec<u8> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut bytes = Vec::new();
    for map in maps.lines().filter(|map| map.contains(" rw")) {
        let (range, _) = map.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|at| u64::from_str_radix(at, 16).unwrap());
        // Some ranges belong to the kernel and cannot be read.
        let _ = memory
            .seek(SeekFrom::Start(from))
            .and_then(|_| Read::by_ref(&mut memory).take(to - from).read_to_end(&mut bytes));
    }
    assert!(bytes.len() > 1 << 16, "it cannot be read");
    bytes
}

/// Whether the memory of a process contains a key in any of the forms in which it is typed and shown.
fn is_in(pid: u32, key: &str) -> bool {
    let memory = memory(pid);
    let forms = [key.to_owned(), key.replace('-', ""), key.to_lowercase(), key.replace('-', "  ")];
    forms.iter().any(|form| has(&memory, form.as_bytes()))
}

fn has(memory: &[u8], bytes: &[u8]) -> bool {
    memory.windows(bytes.len()).any(|window| window == bytes)
}

#[test]
fn a_key_leaves_the_memory_after_its_transfer() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&[]);
    let (address, code) = receiver.ready();
    let mut sender = world.send(&address);
    let key = sender.key();
    assert!(is_in(sender.pid(), &key), "a sender has its key, so that it would be found");
    sender.answer("code", &code.unwrap());
    // As a user types it, wrong at first.
    receiver.answer("key", &super::refusals::other_key(&key));
    receiver.answer("key", &key.to_lowercase());
    sender.end().succeeded();
    receiver.await_event("committed");
    for key in [&key, &super::refusals::other_key(&key)] {
        assert!(!is_in(receiver.pid(), key), "{key}");
    }
}

/// A queue of events would hold a key with something between its characters.
fn is_spread_in(pid: u32, key: &str) -> bool {
    let (memory, key) = (memory(pid), key.replace('-', ""));
    let is_at = |at: usize, step: usize| key.bytes().zip(memory[at..].iter().step_by(step)).all(|(a, b)| a == *b);
    let mut begins = (0..memory.len()).filter(|at| memory[*at] == key.as_bytes()[0]);
    begins.any(|at| (1..=64).any(|step| at + step * key.len() <= memory.len() && is_at(at, step)))
}

#[test]
fn a_key_that_is_typed_at_a_terminal_leaves_the_memory() {
    let world = World::new();
    world.small();
    let args = ["receive", "--into", "into", "--listen", ANY, "--no-code"];
    let mut receiver = Terminal::start(waft(&world.kitchen, &args));
    receiver.sees("Listening at");
    let screen = receiver.screen();
    let at = screen.lines().find_map(|line| line.strip_prefix("Listening at ")).expect("it was just seen").trim();
    let mut sender = world.send(at);
    let key = sender.key();
    let wrong = super::refusals::other_key(&key);
    receiver.sees("Key that laptop shows, for");
    receiver.await_echo(false);
    let pid = receiver.pid().as_raw_nonzero().get().unsigned_abs();
    // Pasted at first, and then typed.
    receiver.types(&wrong);
    receiver.sees(&wrong);
    assert!(is_in(pid, &wrong), "it is on the screen, so that it would be found");
    receiver.types("\n");
    receiver.sees("That is not the key; 2 tries left. Key:");
    key.chars().for_each(|character| receiver.types(&character.to_string()));
    receiver.types("\n");
    receiver.sees("The folder of laptop is in into");
    sender.end().succeeded();
    for key in [&key, &wrong] {
        assert!(!is_in(pid, key), "{key}");
        assert!(!is_spread_in(pid, &key[1..]), "{key}, in parts");
    }
}

/// `strace` with options that stop the command at the system call that ends it.
fn holding(trace: &Path) -> Option<Command> {
    let mut strace = Command::new("strace");
    if !strace.arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        skip("there is no strace");
        return None;
    }
    let mut strace = Command::new("strace");
    strace.args(HOLD).arg("-o").arg(trace);
    Some(strace)
}

const HOLD: [&str; 5] = ["-qq", "-e", "trace=exit_group", "-e", "inject=exit_group:delay_enter=100s"];

/// Waits until the process that `strace` has started is about to end. Returns its process id.
fn held(strace: u32) -> u32 {
    let until = Instant::now() + STUCK;
    let ending = nix::libc::SYS_exit_group.to_string();
    loop {
        let children = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children")).unwrap_or_default();
        if let Some(child) = children.split_whitespace().next() {
            let call = fs::read_to_string(format!("/proc/{child}/syscall")).unwrap_or_default();
            if call.split_whitespace().next() == Some(&ending) {
                return child.parse().unwrap();
            }
        }
        assert!(Instant::now() < until, "it does not end");
        sleep(Duration::from_millis(20));
    }
}

/// A command that is stopped at its end.
fn until_its_end(world: &World, call: Call) -> Option<super::harness::Waft> {
    let trace = world.root.path().join("trace");
    holding(&trace)?;
    let trace = trace.to_str().expect("a temporary path is text").to_owned();
    Some(call.within("strace", &[&HOLD[..], &["-o", &trace]].concat()).start())
}

#[test]
fn a_new_identity_leaves_no_text_of_its_keys() {
    let world = World::strangers();
    // The first run creates the identity, the second one reads it, the third one keeps a copy of it and replaces it.
    for args in [&["id"][..], &["id"], &["id", "--renew", "--yes"]] {
        let Some(process) = until_its_end(&world, world.laptop.call(args)) else { return };
        let memory = memory(held(process.pid()));
        let read = |name| fs::read_to_string(world.laptop.home.join(name));
        let text = read("key.pem").unwrap() + &read("key.pem.1").unwrap_or_default();
        assert_eq!(text.matches("BEGIN PRIVATE KEY").count(), args.len().min(2), "{args:?}");
        for line in text.lines().filter(|line| !line.starts_with('-')) {
            assert!(!has(&memory, line.as_bytes()), "{line}");
        }
        let identity = world.laptop.identity();
        assert!(!has(&memory, &*identity.tls_scalar()), "the TLS key");
        assert!(!has(&memory, &*identity.hpke().to_bytes()), "the HPKE key");
        // Without the first bytes, which the allocator overwrites in freed memory.
        assert!(has(&memory, &identity.certificate().der()[64..128]), "what is no secret would be found");
    }
}

/// Seals the laptop's folder. Returns the process, which is stopped at its end, and the key.
fn sealed(world: &World) -> Option<(super::harness::Waft, String)> {
    let sealing = world.laptop.call(&["seal", "folder", "-o", "folder.waft"]);
    let mut process = until_its_end(world, sealing)?;
    let key = process.key();
    process.await_event("sealed");
    Some((process, key))
}

#[test]
fn a_sealed_file_leaves_no_key() {
    let world = World::strangers();
    world.small();
    let Some((process, key)) = sealed(&world) else { return };
    assert!(!is_in(held(process.pid()), &key), "{key}");
    drop(process);

    let opening = world.laptop.call(&["open", "folder.waft", "--into", "opened"]);
    let mut process = until_its_end(&world, opening).expect("as before");
    process.answer("key", &super::refusals::other_key(&key));
    process.answer("key", &key.to_lowercase());
    process.await_event("opened");
    let pid = held(process.pid());
    for key in [&key, &super::refusals::other_key(&key)] {
        assert!(!is_in(pid, key), "{key}");
    }
}

/// The states of SHA-256 from which HMAC with this key goes on, as they are in memory. They serve as well as the key.
fn hmac_states(key: &str) -> [Vec<u8>; 2] {
    [0x36, 0x5c].map(|pad| {
        let mut block = [pad; 64];
        block.iter_mut().zip(key.replace('-', "").bytes()).for_each(|(pad, byte)| *pad ^= byte);
        // As in FIPS 180-4, section 5.3.3.
        let mut state =
            [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
        sha2::compress256(&mut state, &[block.into()]);
        state.into_iter().flat_map(u32::to_ne_bytes).collect()
    })
}

#[test]
fn a_stretched_key_leaves_no_state_of_its_hash() {
    let world = World::strangers();
    world.small();
    let Some((process, key)) = sealed(&world) else { return };
    let opening = world.laptop.call(&["open", "folder.waft", "--into", "opened"]);
    let mut other = until_its_end(&world, opening.env("WAFT_KEY", &key)).expect("as before");
    other.await_event("opened");
    for process in [process, other] {
        let memory = memory(held(process.pid()));
        for state in hmac_states(&key) {
            // In parts, because the allocator overwrites the beginning of freed memory.
            assert!(state.chunks(16).all(|part| !has(&memory, part)));
        }
    }
}

#[test]
fn the_demonstration_leaves_no_key() {
    let world = World::strangers();
    let Some(mut strace) = holding(&world.root.path().join("trace")) else { return };
    // Without QEMU in the PATH.
    let path = format!("PATH={}", world.root.path().display());
    strace.args(["-E", &path]).arg(env!("CARGO_BIN_EXE_waft")).arg("demo").env("TMPDIR", world.root.path());
    let demo = strace.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut demo = EndsWithTheTest(demo);
    let lines = BufReader::new(demo.0.stdout.take().expect("it is piped")).lines().map(Result::unwrap);
    let mut keys = Vec::new();
    for line in lines {
        if let Some(key) = line.strip_prefix("   The laptop shows the key ") {
            keys.push(key.split(';').next().unwrap().to_owned());
        }
        if line == "The folder is still there." {
            break;
        }
    }
    assert_eq!(keys.len(), 2, "{keys:?}");
    let pid = held(demo.0.id());
    for key in keys {
        assert!(!is_in(pid, &key), "{key}");
    }
}

struct EndsWithTheTest(Child);

impl Drop for EndsWithTheTest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
