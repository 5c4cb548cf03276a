//! Scans the RAM of an emulated board for secrets after a session: none remains, except the keys that it still needs.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use waft_core::limits::LINGER_MS;
use waft_core::session::SessionError;
use waft_core::wire::message::Refusal;

use super::sender::{Needle, Running};
use super::site::{Kind, Site, noise, write};

/// The address and the size of the block of memory that contains the board's RAM. Its flash is at other addresses.
fn ram(kind: &Kind) -> (u32, u32) {
    match kind.board().machine.as_deref() {
        Some("mps2-an386") => (0x2000_0000, 4 << 20),
        Some("lm3s6965evb") => (0x2000_0000, 64 << 10),
        // The monitor does not know the secure address 0x3800_0000.
        Some("mps2-an505") => (0x2800_0000, 2 << 20),
        // The stack, the RAM and the retained memory of the program; its identity is at other addresses.
        Some("virt") => (0x8040_0000, 1 << 20),
        machine => panic!("the RAM of {machine:?} is not known"),
    }
}

/// A connection to the monitor of the emulator, which can read the memory of the board.
struct Monitor {
    stream: UnixStream,
    file: PathBuf,
    ram: (u32, u32),
}

impl Monitor {
    fn connect(socket: &PathBuf, kind: &Kind) -> Self {
        let stream = UnixStream::connect(socket).expect("the emulator's monitor listens");
        let mut monitor = Self { stream, file: socket.with_extension("ram"), ram: ram(kind) };
        monitor.wait();
        monitor
    }

    /// Waits for the next prompt.
    fn wait(&mut self) {
        let mut output = Vec::new();
        while !output.ends_with(b"(qemu) ") {
            let mut bytes = [0; 1024];
            let count = self.stream.read(&mut bytes).expect("the monitor answers");
            assert!(count > 0, "the monitor closed the connection: {}", String::from_utf8_lossy(&output));
            output.extend_from_slice(&bytes[..count]);
        }
    }

    fn execute(&mut self, command: &str) {
        writeln!(self.stream, "{command}").expect("the monitor reads commands");
        self.wait();
    }

    /// The content of the RAM. The emulator is stopped while it is read.
    fn ram(&mut self) -> Vec<u8> {
        let (at, size) = self.ram;
        let file = self.file.display().to_string();
        self.execute("stop");
        self.execute(&format!("pmemsave {at} {size} \"{file}\""));
        self.execute("cont");
        let ram = fs::read(&self.file).expect("the monitor wrote the file");
        assert_eq!(ram.len(), size as usize);
        ram
    }
}

/// The private keys of the board: big-endian as in the identity image, and little-endian as in computations.
fn scalars(site: &Site) -> Vec<Needle> {
    let identity = site.identity();
    let (tls, hpke) = (identity.tls.to_bytes(), identity.hpke.to_bytes());
    [("the private key of TLS", tls.to_vec()), ("the private key of HPKE", hpke.to_vec())]
        .into_iter()
        .flat_map(|(what, scalar)| {
            let reversed = scalar.iter().rev().copied().collect();
            [(format!("{what}, big-endian"), scalar), (format!("{what}, little-endian"), reversed)]
        })
        .collect()
}

/// The secrets that are in the RAM, with the places of each, as offsets from its start.
fn found<'n>(ram: &[u8], needles: impl IntoIterator<Item = &'n Needle>) -> Vec<String> {
    let places = |needle: &[u8]| -> Vec<String> {
        let at = ram.windows(needle.len()).enumerate().filter(|(_, window)| *window == needle);
        at.map(|(at, _)| format!("{at:#x}")).collect()
    };
    let found = needles.into_iter().map(|(what, needle)| (what, places(needle)));
    found.filter(|(_, places)| !places.is_empty()).map(|(what, places)| format!("{what}: {places:?}")).collect()
}

/// Asserts that the private keys of the board are in the RAM once at most: in its identity.
fn check_private_keys(ram: &[u8], site: &Site) {
    for scalar in scalars(site) {
        let places = found(ram, [&scalar]);
        assert!(places.iter().all(|places| places.matches("0x").count() == 1), "{places:?}");
    }
}

/// The key is sealed to the board. The connection of the first session breaks in the middle of the content; the second
/// session transfers the folder.
pub(super) fn no_key_of_a_broken_session_stays_in_memory(kind: &Kind) {
    let site = Site::unattended(kind);
    let socket = site.root.path().join("monitor");
    let programs = site.emulator(&format!("-monitor unix:{},server=on,wait=off", socket.display()));
    write(&site, "a", &noise(50_000, 3));
    let mut board = site.listening_with(&programs);
    let mut monitor = Monitor::connect(&socket, kind);
    let run = Running::new();
    let first = run.begin_cut(&site, "0000", 20_000).join().expect("the sender does not panic");
    assert_eq!(first.ended, Err(SessionError::Disconnected.into()));
    board.sees("the connection broke");
    // The board says so before it has closed its side of the connection.
    let until = Instant::now() + Duration::from_millis(2 * LINGER_MS);
    let mut ram = monitor.ram();
    while !found(&ram, &first.secrets).is_empty() && Instant::now() < until {
        sleep(Duration::from_millis(100));
        ram = monitor.ram();
    }
    assert_eq!(found(&ram, &first.secrets), [""; 0]);
    check_private_keys(&ram, &site);

    let second = run.begin(&site, "0000").join().expect("the sender does not panic");
    second.ended.expect("the folder is transferred");
    assert_eq!(second.secrets.len(), first.secrets.len(), "the first session got as far as the content");
    board.asked("verify", "Verified");
    let ram = monitor.ram();
    assert_eq!(found(&ram, first.secrets.iter().chain(&second.secrets)), [""; 0]);
    check_private_keys(&ram, &site);
}

/// The first session transfers a folder, with a code and a typed key. The second session of the same run offers another
/// folder, so the board rejects it and forgets the run.
pub(super) fn no_key_stays_in_memory(kind: &Kind) {
    let site = Site::provisioned(kind, &[]);
    let socket = site.root.path().join("monitor");
    let programs = site.emulator(&format!("-monitor unix:{},server=on,wait=off", socket.display()));
    write(&site, "a", &noise(20_000, 3));
    let mut board = site.listening_with(&programs);
    let mut monitor = Monitor::connect(&socket, kind);
    let (run, code) = (Running::new(), board.code());
    let sending = run.begin(&site, &code);
    board.sees("Type the key that");
    board.types(run.key());
    let first = sending.join().expect("the sender does not panic");
    first.ended.expect("the folder is transferred");
    // The board answers this after it has closed the connection.
    board.asked("verify", "Verified");
    let typed = ["without hyphens", "as typed"].map(|form| (format!("the key, {form}"), run.key().to_owned()));
    let mut needles: Vec<Needle> = typed.map(|(what, key)| (what, key.into_bytes())).into();
    needles[0].1.retain(|byte| *byte != b'-');
    // Some codes are in the memory anyway: four equal digits, such as in numbers that were printed, and those of the dates in
    // the board's certificate.
    let code = code.into_bytes();
    let is_elsewhere = site.identity().certificate.windows(code.len()).any(|bytes| bytes == code);
    if !is_elsewhere && code.iter().any(|digit| *digit != code[0]) {
        needles.push(("the code".into(), code));
    }
    needles.extend(first.secrets.iter().cloned());
    let ram = monitor.ram();
    assert_eq!(found(&ram, &needles), [""; 0]);
    assert_eq!(found(&ram, &[run.secret()]).len(), 1, "the board keeps the stretched key for retries");
    check_private_keys(&ram, &site);

    write(&site, "b", b"another file");
    let second = run.begin(&site, "0000").join().expect("the sender does not panic");
    assert_eq!(second.ended, Err(SessionError::Refused(Refusal::Protocol).into()), "a run is for one folder");
    assert_eq!(second.secrets.len(), first.secrets.len(), "the second session got as far as the offer");
    board.asked("verify", "Verified");
    let ram = monitor.ram();
    needles.push(run.secret());
    assert_eq!(found(&ram, needles.iter().chain(&second.secrets)), [""; 0]);
}
