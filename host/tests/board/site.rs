//! A laptop and a board, which is provisioned and powered on and off, and whose console is read.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::spawn;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use waft::board::Board as Model;
use waft_receiver::identity::Identity;

use super::harness::{Call, Ended, Waft};
use super::world::Machine;

/// After this time a test counts as stuck. It is longer than every deadline that a test waits for.
pub(super) const STUCK: Duration = Duration::from_secs(100);

/// The kind of board.
#[derive(Clone)]
pub(crate) enum Kind {
    /// A process, with the flash of this board.
    Hosted(&'static Model),
    /// This board in QEMU, with this firmware file.
    Emulated(&'static Model, PathBuf),
}

impl Kind {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Hosted(_) => "hosted",
            Self::Emulated(board, _) => &board.name,
        }
    }

    pub(crate) fn board(&self) -> &'static Model {
        match self {
            Self::Hosted(board) | Self::Emulated(board, _) => board,
        }
    }

    /// Whether the board makes its own identity if it was never provisioned.
    pub(crate) fn makes_identity(&self) -> bool {
        match self {
            Self::Hosted(_) => true,
            Self::Emulated(board, _) => board.features.iter().any(|feature| feature == "own-identity"),
        }
    }

    /// An emulated board with another program of its package as its firmware: the one whose name ends in this.
    pub(crate) fn program(&self, end: &str) -> Self {
        match self {
            Self::Hosted(board) => Self::Hosted(board),
            Self::Emulated(board, firmware) => {
                Self::Emulated(board, firmware.with_file_name(format!("{}-{end}", board.package)))
            }
        }
    }

    /// Length in bytes of a slot of the board.
    pub(crate) fn slot(&self) -> usize {
        let storage = self.board().storage;
        ((storage.slots.size / storage.block - 2) / 2 * storage.block) as usize
    }
}

/// The laptop, and the board "kitchen" beside it.
pub(crate) struct Site {
    kind: Kind,
    pub(crate) laptop: Machine,
    pub(crate) root: TempDir,
    /// The board's address, as the laptop reaches it.
    pub(crate) address: String,
}

impl Site {
    /// A laptop, without a board yet.
    pub(crate) fn new(kind: &Kind) -> Self {
        let root = TempDir::new().expect("there is a temporary folder");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a port is free").to_string();
        Self { kind: kind.clone(), laptop: Machine::new(root.path(), "laptop"), root, address }
    }

    /// A board that this laptop has provisioned.
    pub(crate) fn provisioned(kind: &Kind, options: &[&str]) -> Self {
        let site = Self::new(kind);
        site.provision(|call| call.args(options));
        site
    }

    /// Provisions the board.
    pub(crate) fn provision(&self, options: impl FnOnce(&mut Command) -> &mut Command) {
        let board = &self.kind.board().name;
        let call = self.laptop.call(&["provision", "--board", board, "--name", "kitchen", "--at", &self.address, "-o"]);
        call.arg(self.image()).with(options).run().succeeded();
    }

    /// A board that receives without a user: no code, the key sealed to it.
    pub(crate) fn unattended(kind: &Kind) -> Self {
        Self::provisioned(kind, &["--no-code", "--sealed-key"])
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.root.path().join("identity.bin")
    }

    /// The identity of the board.
    pub(crate) fn identity(&self) -> Identity {
        let image = fs::read(self.image()).expect("the board was provisioned");
        Identity::parse(&image).expect("the image is valid")
    }

    fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    /// The content of the board's flash.
    pub(crate) fn flash(&self) -> Vec<u8> {
        fs::read(self.state().join("flash.bin")).expect("the board was powered on")
    }

    /// Powers the board on with the provisioned identity.
    pub(crate) fn boot(&self) -> Board {
        self.boot_and(|call| call)
    }

    /// The same with more options.
    pub(crate) fn boot_and(&self, options: impl FnOnce(&mut Command) -> &mut Command) -> Board {
        self.power_on(|call| options(call.arg("--identity").arg(self.image())))
    }

    /// Powers the board on with these bytes in place of its identity.
    pub(crate) fn boot_with(&self, identity: &[u8]) -> Board {
        let state = self.state();
        fs::create_dir_all(&state).and_then(|()| fs::write(state.join("identity.bin"), identity)).expect("it is ours");
        self.power_on(|call| call)
    }

    fn power_on(&self, options: impl FnOnce(&mut Command) -> &mut Command) -> Board {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waft"));
        let board = &self.kind.board().name;
        command.args(["simulate", "--board", board, "--name", "kitchen", "--listen", &self.address]);
        options(command.arg("--state").arg(self.state()));
        if let Kind::Emulated(_, firmware) = &self.kind {
            command.arg("--qemu").arg("--firmware").arg(firmware);
        }
        command.env("WAFT_HOME", &self.laptop.home).current_dir(&self.laptop.work);
        Board::start(command)
    }

    /// Powers a board on that was never provisioned.
    pub(crate) fn unprovisioned(&self) -> Board {
        self.power_on(|call| call.arg("--unprovisioned"))
    }

    /// Powers the board on, and waits until it listens.
    pub(crate) fn listening(&self) -> Board {
        let mut board = self.boot();
        board.sees("Listening at");
        board
    }

    /// The same with the programs of that folder before all others.
    pub(crate) fn listening_with(&self, programs: &Path) -> Board {
        let others = std::env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&others));
        let path = std::env::join_paths(all).expect("folders of a PATH");
        let mut board = self.power_on(|call| call.arg("--identity").arg(self.image()).env("PATH", path));
        board.sees("Listening at");
        board
    }

    /// A folder with a script that starts the emulator with additional options.
    pub(crate) fn emulator(&self, options: &str) -> PathBuf {
        self.emulator_after("", options)
    }

    /// The same with another network for the board than QEMU's own.
    pub(crate) fn emulator_with_network(&self, network: &str) -> PathBuf {
        let replace = format!(
            r#"for argument; do
    shift
    case $argument in user,*) argument={network} ;; esac
    set -- "$@" "$argument"
done"#
        );
        self.emulator_after(&replace, "")
    }

    /// A folder with a script that runs these lines before it starts the emulator.
    fn emulator_after(&self, lines: &str, options: &str) -> PathBuf {
        let emulator = self.kind.board().emulator();
        let real = Command::new("sh").args(["-c", &format!("command -v {emulator}")]).output().expect("a shell exists");
        let real = String::from_utf8(real.stdout).expect("a path");
        let programs = self.root.path().join("programs");
        let script = format!("#!/bin/sh\n{lines}\nexec {} {options} \"$@\"\n", real.trim());
        super::world::write(&programs, emulator, script.as_bytes());
        super::world::set_mode(&programs.join(emulator), 0o755);
        programs
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.laptop.work.join("folder")
    }

    pub(crate) fn sending(&self, machine: &Machine) -> Call {
        machine.call(&["send"]).arg(self.folder()).arg(format!("kitchen@{}", self.address))
    }

    pub(crate) fn send(&self) -> Waft {
        self.sending(&self.laptop).start()
    }

    /// Sends without a user at either side.
    pub(crate) fn deliver(&self) -> Ended {
        self.sending(&self.laptop).run()
    }

    /// Sends, and types code and key when they are asked for.
    pub(crate) fn carry(&self, board: &mut Board, code: &str) -> Ended {
        let mut sender = self.send();
        let key = sender.key();
        sender.answer("code", code);
        board.sees("Type the key that");
        board.types(&key);
        sender.end()
    }
}

/// A board that is powered on.
pub(crate) struct Board {
    child: Child,
    input: ChildStdin,
    shown: Receiver<Vec<u8>>,
    seen: String,
    read: usize,
}

impl Board {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let (sender, shown) = channel();
        for mut stream in [
            Box::new(child.stdout.take().expect("it is piped")) as Box<dyn Read + Send>,
            Box::new(child.stderr.take().expect("it is piped")),
        ] {
            let sender = sender.clone();
            spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut bytes) {
                    let _ = sender.send(bytes[..count].to_vec());
                }
            });
        }
        let input = child.stdin.take().expect("it is piped");
        Self { child, input, shown, seen: String::new(), read: 0 }
    }

    /// Reads the console until a complete line contains `text`. Returns that line.
    pub(crate) fn sees(&mut self, text: &str) -> String {
        let until = Instant::now() + STUCK;
        loop {
            let unread = &self.seen[self.read..];
            if let Some(at) = unread.find(text)
                && let Some(end) = unread[at..].find('\n')
            {
                let begin = unread[..at].rfind('\n').map_or(0, |newline| newline + 1);
                let line = unread[begin..at + end].trim().to_owned();
                self.read += at + end + 1;
                return line;
            }
            match self.shown.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => {
                    self.seen.push_str(&String::from_utf8_lossy(&bytes).replace("\u{1b}[K", "").replace('\r', ""))
                }
                Err(_) => panic!("it never shows {text:?}; it showed:\n{}", self.seen),
            }
        }
    }

    /// The code that is valid now.
    pub(crate) fn code(&mut self) -> String {
        self.asked("code", "Code:").chars().filter(char::is_ascii_digit).collect()
    }

    pub(crate) fn types(&mut self, line: &str) {
        writeln!(self.input, "{line}").and_then(|()| self.input.flush()).expect("it reads its console");
    }

    /// Types a command. Returns the line of its answer that contains `text`.
    pub(crate) fn asked(&mut self, command: &str, text: &str) -> String {
        self.types(command);
        self.sees(text)
    }

    /// Cuts the board's power.
    pub(crate) fn unplug(self) {}
}

impl Drop for Board {
    fn drop(&mut self) {
        // Not `kill`, because the processes that it started have to end, too.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The certificate of the board, from the laptop's trust.
pub(crate) fn certificate(site: &Site) -> PathBuf {
    let path = site.root.path().join("kitchen.pem");
    let pem = site.laptop.known().by_name("kitchen").expect("it was provisioned").certificate.to_pem();
    fs::write(&path, pem).expect("it is ours");
    path
}

/// Bytes that do not compress, a different series for each seed.
pub(crate) fn noise(bytes: usize, seed: usize) -> Vec<u8> {
    let mut all = super::world::noise(bytes + 8 * seed);
    all.split_off(8 * seed)
}

/// Writes a file of the folder that is sent.
pub(crate) fn write(site: &Site, path: impl AsRef<Path>, bytes: &[u8]) {
    super::world::write(&site.folder(), path, bytes);
}
