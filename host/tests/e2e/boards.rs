//! `waft simulate`: the receiver of real boards with its TLS, store and console, against the real `waft send`.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

#[cfg(target_os = "linux")]
use super::durable::Trace;
use super::harness::{Call, Ended, Waft, text};
use super::identities::made;
use super::world::{ANY, World, noise, set_mode, write};

/// A laptop with a board beside it.
struct LaptopAndBoard(World);

impl LaptopAndBoard {
    fn new() -> Self {
        let world = World::strangers();
        world.small();
        Self(world)
    }

    fn simulating(&self, options: &[&str]) -> Call {
        self.0.laptop.call(&["simulate", "--name", "attic", "--listen", ANY]).with(|call| call.args(options))
    }

    fn power_on(&self) -> On {
        On::of(self.simulating(&[]).start())
    }

    /// Provisions the board with these options, and powers it on.
    fn provisioned(&self, options: &[&str]) -> On {
        let provision = ["provision", "--board", "mps2", "--name", "attic", "--output", "identity.bin"];
        self.0.laptop.call(&provision).with(|call| call.args(options)).run().succeeded();
        On::of(self.simulating(&["--identity", "identity.bin"]).start())
    }

    fn state(&self) -> PathBuf {
        self.0.laptop.home.join("boards/attic")
    }

    fn send(&self) -> Waft {
        self.0.laptop.call(&["send", "folder", "attic"]).start()
    }

    /// Sends the folder, and types code and key when they are asked for.
    fn deliver(&self, board: &mut On) -> Ended {
        let mut sender = self.send();
        let key = sender.key();
        sender.answer("code", &board.code());
        board.type_key(&key);
        sender.end().succeeded()
    }
}

/// A board that is powered on.
struct On {
    process: Waft,
    address: String,
}

impl On {
    fn of(mut process: Waft) -> Self {
        let (address, _) = process.ready();
        Self { process, address }
    }

    /// Waits for the next console line with that beginning. Returns the rest of the line.
    fn line(&mut self, begins: &str) -> String {
        let event = self.process.await_that("console", |event| text(event, "text").starts_with(begins));
        let line = text(&event, "text");
        line[begins.len()..].trim().to_owned()
    }

    fn ask(&mut self, command: &str, begins: &str) -> String {
        self.process.write_line(command);
        self.line(begins)
    }

    fn code(&mut self) -> String {
        self.ask("code", "Code:").replace(' ', "")
    }

    fn type_key(&mut self, key: &str) {
        self.line("Type the key");
        self.process.write_line(key);
    }
}

#[test]
fn a_folder_arrives_on_a_board() {
    let setup = LaptopAndBoard::new();
    let mut board = setup.power_on();
    let sent = setup.deliver(&mut board);
    let digest = text(sent.last("committed"), "digest");
    assert_eq!(sent.last("committed")["files"], 3);
    assert!(board.line("The folder is in place: 3 files").ends_with("generation 1."));
    assert_eq!(board.ask("digest", "Digest:"), digest);
    assert_eq!(board.ask("verify", "Verified"), ": every byte is as it was received.");
    assert_eq!(board.ask("show readme.txt", "Hello"), ", kitchen!");
    board.ask("list", "directory  empty/emptier");
    let trusted = setup.0.laptop.known();
    let peer = trusted.by_name("attic").unwrap();
    assert!(peer.receives && !peer.sends);
}

#[test]
fn a_new_board_is_reported_with_the_identity_of_its_sender() {
    let setup = LaptopAndBoard::new();
    let mut board = setup.power_on();
    board.line("Type `help`");
    board.process.interrupt();
    let ended = board.process.end();
    let own = setup.0.laptop.call(&["id"]).run().succeeded();
    assert_eq!(made(&ended), text(own.last("identity"), "fingerprint"));
    let first = ended.all("console").next().map(|event| text(event, "text"));
    assert!(first.is_some_and(|line| line.starts_with("attic, fingerprint ")), "{ended:#?}");
}

#[test]
fn power_may_go_at_any_time() {
    let setup = LaptopAndBoard::new();
    let mut board = setup.power_on();
    let first = setup.deliver(&mut board);
    board.process.kill();
    // On another port the board can still be found.
    let mut board = setup.power_on();
    assert!(board.ask("status", "Folder:").ends_with("generation 1"));
    assert_eq!(board.ask("digest", "Digest:"), text(first.last("committed"), "digest"));
    let again = setup.deliver(&mut board);
    assert_eq!(
        (&again.last("committed")["sent"], &again.last("committed")["digest"]),
        (&0.into(), &first.last("committed")["digest"])
    );
    assert!(board.ask("status", "Folder:").ends_with("generation 1"), "nothing is new");
    write(&setup.0.folder(), "readme.txt", b"Hello again!\n");
    setup.deliver(&mut board);
    assert!(board.line("The folder is in place").ends_with("generation 2."));
    board.process.interrupt();
    let ended = board.process.end().failed(130, "interrupted", &["switched off", "boards/attic"]);
    assert!(ended.errors.contains(&format!("Senders reach it at {}.", board.address)), "{ended:#?}");
    let mut board = setup.power_on();
    assert_eq!(board.ask("show readme.txt", "Hello"), "again!");
}

/// The file of the flash becomes durable block by block, and before the board sends or shows anything.
#[cfg(target_os = "linux")]
#[test]
fn a_flash_is_durable_in_order_and_before_anything_is_said() {
    const BLOCK: u64 = 4096;
    let setup = LaptopAndBoard::new();
    write(&setup.0.folder(), "large", &noise(50_000));
    let Some(trace) = Trace::new(&setup.0) else { return };
    let provision = ["provision", "--board", "mps2", "--name", "attic", "--output", "identity.bin"];
    setup.0.laptop.call(&provision).with(|call| call.args(["--no-code", "--sealed-key"])).run().succeeded();
    let mut board = On::of(trace.of_flash(setup.simulating(&["--identity", "identity.bin"])).start());
    setup.send().end().succeeded();
    board.line("The folder is in place");
    board.process.interrupt();
    board.process.end().failed(130, "interrupted", &[]);

    let calls = trace.begun();
    let place = |words: &[&str]| calls.iter().position(|call| words.iter().all(|word| call.contains(word)));
    let made = place(&["rename", "flash.bin\""]).expect("it makes the file");
    let used = place(&["lseek", "/flash.bin>"]).expect("it uses the file");
    let folder = calls[made..used].iter().any(|call| call.starts_with("fsync") && call.contains("/attic>"));
    assert!(folder, "the name of the file is durable: {:#?}", &calls[made..used]);

    // The block at the file's position, and the one that was changed and is not durable yet.
    let (mut block, mut changed, mut synced) = (0, None, 0);
    for call in &calls[used..] {
        let is_flash = call.contains("/flash.bin>");
        match call.split('(').next().expect("it has a first part") {
            "lseek" if is_flash => {
                let offset = call.split(", ").nth(1).and_then(|offset| offset.parse::<u64>().ok());
                block = offset.expect("an offset") / BLOCK;
            }
            "write" if is_flash => {
                assert!(changed.is_none_or(|changed| changed == block), "{changed:?} is not durable: {call}");
                changed = Some(block);
            }
            "fdatasync" if is_flash => (changed, synced) = (None, synced + 1),
            "sendto" | "sendmsg" | "writev" => assert_eq!(changed, None, "{call}"),
            "write" if call.starts_with("write(1<") => assert_eq!(changed, None, "{call}"),
            _ => {}
        }
    }
    assert!(synced > 50_000 / BLOCK, "{synced}");
}

#[test]
fn a_transfer_goes_on_after_power_went_in_its_middle() {
    let setup = LaptopAndBoard::new();
    write(&setup.0.folder(), "large", &noise(600_000));
    let mut board = setup.power_on();
    let mut sender = setup.send();
    let key = sender.key();
    sender.answer("code", &board.code());
    board.type_key(&key);
    board.line(" 30 %");
    board.process.kill();
    sender.kill();
    let mut board = setup.power_on();
    assert_eq!(board.ask("status", "Folder:"), "none");
    let sent = setup.deliver(&mut board);
    let (sent, bytes) = (&sent.last("committed")["sent"], &sent.last("committed")["bytes"]);
    assert!(sent.as_u64() < bytes.as_u64().map(|bytes| bytes - 100_000), "{sent} of {bytes}");
    assert_eq!(board.ask("verify", "Verified"), ": every byte is as it was received.");
}

#[test]
fn nobody_has_to_stand_beside_a_board() {
    let setup = LaptopAndBoard::new();
    let mut board = setup.provisioned(&["--no-code", "--sealed-key"]);
    let sent = setup.send().end().succeeded();
    assert_eq!(sent.all("asked").count(), 0, "{sent:#?}");
    board.line("The folder is in place");
    assert_eq!(board.ask("code", "No code"), "is asked for.");
}

#[test]
fn a_folder_larger_than_the_board_is_refused_with_both_sizes() {
    let setup = LaptopAndBoard::new();
    write(&setup.0.folder(), "large", &noise(2 << 20));
    let mut board = setup.power_on();
    let room = board.ask("status", "Room:");
    let says = ["The folder is larger than attic takes: 2.38 MiB, and at most", &room, "Send less at once"];
    setup.send().end().failed(15, "refused", &says);
}

/// Its folder has 400 kB, and the slots that its description names have half of that.
#[test]
fn a_board_of_another_project_has_the_storage_of_its_description() {
    let setup = LaptopAndBoard::new();
    let known = include_str!("../../../firmware/boards/mps2/mps2.toml");
    let small = known.replacen("size = 0x222000", "size = 0x66000", 1);
    assert_ne!(known, small);
    write(&setup.0.laptop.work, "project/small.toml", small.as_bytes());
    let mut board = On::of(setup.simulating(&["--board", "project/small.toml"]).start());
    let room = board.ask("status", "Room:");
    setup.send().end().failed(15, "refused", &["The folder is larger than attic takes", &room]);
    let simulate = |board: &str| setup.0.laptop.call(&["simulate", "--name", "other", "--board", board]).run();
    simulate("project/none.toml").failed(14, "storage", &["project/none.toml cannot be used"]);
    simulate("toaster").failed(2, "usage", &["No board is called \"toaster\""]);
}

#[test]
fn a_board_without_a_good_identity_says_so() {
    let setup = LaptopAndBoard::new();
    let board = setup.power_on();
    board.process.interrupt();
    board.process.end();
    let good = fs::read(setup.state().join("identity.bin")).unwrap();
    let mut damaged = good.clone();
    damaged[100] ^= 1;
    let mut nearly_blank = vec![0xFF; 4096];
    nearly_blank[4095] = 0xFE;
    for (image, says) in
        [(damaged, "damaged"), (nearly_blank, "something else"), (b"hello world".to_vec(), "something else")]
    {
        fs::write(setup.state().join("identity.bin"), image).unwrap();
        let mut board = setup.power_on();
        let reason = board.ask("status", "This board cannot receive:");
        assert!(reason.contains(says), "{reason}");
        let to = format!("attic@{}", board.address);
        setup.0.laptop.call(&["send", "folder", &to]).run().failed(
            11,
            "identity",
            &["has no identity yet", "waft provision"],
        );
    }
}

#[test]
fn an_identity_is_never_thrown_away() {
    let setup = LaptopAndBoard::new();
    drop(setup.provisioned(&[]));
    let here = setup.state().join("identity.bin");
    let good = fs::read(&here).unwrap();
    let given = |image: &[u8]| {
        fs::write(setup.0.laptop.work.join("given.bin"), image).unwrap();
        setup.simulating(&["--identity", "given.bin"])
    };
    let mut damaged = good.clone();
    damaged[100] ^= 1;
    for (image, says) in [
        (damaged.as_slice(), "it is damaged"),
        (&[0xFF; 4096], "it is blank"),
        (b"hello world", "it is not an identity image"),
        (&good[..200], "it is truncated"),
        (b"", "it is truncated"),
    ] {
        given(image).run().failed(11, "identity", &["given.bin cannot be used", says]);
    }
    let other = ["provision", "--board", "mps2", "--name", "other", "-o", "other.bin"];
    setup.0.laptop.call(&other).run().succeeded();
    let other = fs::read(setup.0.laptop.work.join("other.bin")).unwrap();
    given(&other).run().failed(11, "identity", &["another identity already", "boards/attic/identity.bin", "--state"]);
    assert_eq!(fs::read(&here).unwrap(), good);
    // The same image may be given again. An image that the board cannot use is not overwritten either.
    drop(On::of(given(&good).start()));
    fs::write(&here, &damaged).unwrap();
    given(&good).run().failed(11, "identity", &["another identity already"]);
    fs::remove_file(&here).unwrap();
    drop(On::of(given(&good).start()));
    assert_eq!(fs::read(&here).unwrap(), good);
}

/// A folder for the PATH with a QEMU that runs these shell lines.
fn emulator(setup: &LaptopAndBoard, lines: &str) -> PathBuf {
    let programs = setup.0.root.path().join("programs");
    write(&programs, "qemu-system-arm", format!("#!/bin/sh\n{lines}\n").as_bytes());
    set_mode(&programs.join("qemu-system-arm"), 0o755);
    programs
}

/// The start of a firmware file, enough for a QEMU that does not run it.
const FIRMWARE: &[u8] = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x28\0";

#[test]
fn what_an_emulated_board_cannot_be_powered_on_with() {
    let setup = LaptopAndBoard::new();
    let emulating = |options: &[&str]| setup.simulating(&["--qemu"]).with(|call| call.args(options));
    let empty = emulating(&[]).env("PATH", setup.0.root.path()).run();
    empty.failed(14, "storage", &["no qemu-system-arm in the PATH", "apt install", "brew", "winget"]);
    let programs = emulator(&setup, ": >\"$0.started\"; exit 3");
    let work = setup.0.laptop.work.clone();
    let with = |options: &[&str]| emulating(options).env("PATH", &programs).run();
    with(&[]).failed(2, "usage", &["not in waft's source", "--firmware"]);
    with(&["--firmware", "none.elf"]).failed(14, "storage", &["none.elf cannot be used"]);
    fs::write(work.join("firmware"), b"\x7fELF\x02\x01\x01").unwrap();
    for file in ["firmware", "folder/readme.txt", "folder", "/dev/null"] {
        with(&["--firmware", file]).failed(14, "storage", &["not an ELF program for 32-bit Arm", ".hex"]);
    }
    fs::write(work.join("firmware"), FIRMWARE).unwrap();
    let taken = TcpListener::bind(ANY).unwrap();
    let at = taken.local_addr().unwrap().to_string();
    let other = setup.0.laptop.call(&["simulate", "--qemu", "--listen", &at, "--firmware", "firmware"]);
    other.env("PATH", &programs).run().failed(10, "unreachable", &["is taken", "--listen"]);
    let v6 = setup.0.laptop.call(&["simulate", "--qemu", "--listen", "[::1]:0", "--firmware", "firmware"]);
    v6.env("PATH", &programs).run().failed(2, "usage", &["IPv4 only"]);
    assert!(!programs.join("qemu-system-arm.started").exists());
    let ended = with(&["--firmware", "firmware"]).failed(16, "broken", &["QEMU ended with exit status: 3"]);
    assert!(ended.errors.contains("Senders reach it at 127.0.0.1:"), "{ended:#?}");
    assert!(programs.join("qemu-system-arm.started").exists());
}

/// A board prints more than is typed, and accepts no more input while its output is not read.
#[test]
fn much_may_be_pasted_at_an_emulated_board() {
    const LINES: usize = 500;
    let setup = LaptopAndBoard::new();
    fs::write(setup.0.laptop.work.join("firmware"), FIRMWARE).unwrap();
    let lines = "echo 'Listening at 10.0.2.15:12346.'; tr '\\r' '\\n' | while read line; do echo $line $line; done";
    let board = setup.simulating(&["--qemu", "--firmware", "firmware"]).env("PATH", path(&emulator(&setup, lines)));
    let mut board = board.start();
    board.ready();
    for number in 0..LINES {
        board.write_line(&format!("{number} {}", "x".repeat(1_000)));
    }
    // The last part is held in buffers.
    board.await_that("console", |event| text(event, "text").starts_with(&format!("{} ", LINES - 100)));
}

/// The PATH with a folder before all others.
fn path(folder: &std::path::Path) -> std::ffi::OsString {
    let others = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(folder.to_owned()).chain(std::env::split_paths(&others))).unwrap()
}

#[test]
fn what_a_board_cannot_be_powered_on_with() {
    let setup = LaptopAndBoard::new();
    let board = setup.power_on();
    setup.simulating(&[]).run().failed(14, "storage", &["boards/attic is on already", "--name"]);
    let taken = setup.0.laptop.call(&["simulate", "--name", "other", "--listen", &board.address]).run();
    taken.failed(10, "unreachable", &["port"]);
    assert!(setup.0.laptop.known().by_name("other").is_none());
    drop(board);
    fs::write(setup.state().join("flash.bin"), b"short").unwrap();
    setup.simulating(&[]).run().failed(14, "storage", &["flash.bin is not the flash"]);
    fs::remove_dir_all(setup.state()).unwrap();
    setup.simulating(&[]).run().failed(2, "usage", &["trusted as attic already"]);
    setup.simulating(&["--identity", "nothing.bin"]).run().failed(14, "storage", &["nothing.bin cannot be used"]);
    setup.0.laptop.call(&["simulate", "--listen", "nowhere"]).run().failed(2, "usage", &["not ADDR:PORT"]);
    setup.0.laptop.call(&["simulate", "--name", "a b"]).run().failed(2, "usage", &["cannot have the character"]);
}
