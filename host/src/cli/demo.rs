//! `waft demo`: a complete demonstration with a simulated board, in temporary folders. The board and each sender run
//! as separate processes, which the demonstration controls as a script would: with `--json` events and piped lines.
//!
//! The demonstration is one future. Ctrl-C drops it, which ends its processes and then removes its folders.

mod process;

use std::path::{Path, PathBuf};
use std::{fs, io};

use zeroize::Zeroizing;

use self::process::{Event, Process, waft};
use crate::board::Board;
use crate::cli::interrupt::Interrupt;
use crate::cli::number_of_files;
use crate::cli::simulate::{emulator, firmware};
use crate::cli::ui::{Ui, secret};
use crate::error::{Class, Error, bytes};

/// The name of the board.
const NAME: &str = "kitchen";
/// The file that the demonstration reads on the board, and later changes.
const STORY: &str = "story.txt";

/// Runs the command.
pub(super) async fn run(ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    tokio::select! {
        ended = demonstrate(ui, &interrupt) => ended,
        () = interrupt.raised() => Err(Error::interrupted()),
    }
}

async fn demonstrate(ui: &Ui, interrupt: &Interrupt) -> Result<(), Error> {
    ui.print("A board on this machine gets an identity, then a folder, and keeps it when its");
    ui.print("power goes. All of it happens in a temporary folder.");
    ui.print("");
    let place = tempfile::Builder::new().prefix("waft-demo-").tempdir().map_err(failed)?;
    let board = Board::named("mps2").expect("the build includes the file of every board");
    let source = firmware::project(board).ok();
    let emulator = emulator(board, source.as_deref(), ui, interrupt).await?;
    let demonstration = Demonstration { place: place.path(), home: place.path().join("laptop"), source, emulator, ui };
    demonstration.provision()?;
    let mut board = demonstration.power_on("3. The board is switched on (waft simulate)").await?;
    let folder = demonstration.sample()?;
    let first = demonstration.send(&folder, &mut board, "4. The laptop sends a folder (waft send)").await?;
    demonstration.read_back(&first, &mut board).await?;
    fs::write(folder.join(STORY), "Once upon a time there was another folder.\n").map_err(failed)?;
    let second =
        demonstration.send(&folder, &mut board, "6. A file changes, and the laptop sends the folder again").await?;
    demonstration.power_off_and_on(&second, board).await
}

/// The firmware for the emulated board, or `None` if it is not available.
async fn emulator(
    board: &Board,
    source: Option<&Path>,
    ui: &Ui,
    interrupt: &Interrupt,
) -> Result<Option<PathBuf>, Error> {
    let why = match (emulator::find(board), source) {
        (None, _) => "QEMU is not on this machine (waft simulate --qemu says how to get it)",
        (_, None) => "The source of the firmware is not here",
        (Some(_), Some(root)) => match firmware::build(root, board, ui).await {
            Ok(program) => return Ok(Some(program)),
            Err(error) => {
                interrupt.check()?;
                ui.warn(format!("{error} {}", error.advice()));
                "There is no firmware for QEMU"
            }
        },
    };
    ui.print(format!("{why}.\nThe board is the same receiver, run as a process of this machine."));
    Ok(None)
}

/// The environment of the demonstration.
struct Demonstration<'a> {
    place: &'a Path,
    home: PathBuf,
    /// The root of waft's source tree, if the command runs inside it.
    source: Option<PathBuf>,
    emulator: Option<PathBuf>,
    ui: &'a Ui,
}

impl Demonstration<'_> {
    fn print(&self, line: impl AsRef<str>) {
        self.ui.print(line);
    }

    fn image(&self) -> PathBuf {
        self.place.join("identity.bin")
    }

    /// Creates the laptop's identity, and provisions the board.
    fn provision(&self) -> Result<(), Error> {
        self.print("\n1. The laptop makes an identity (waft id):");
        self.print(format!("   {}", waft(&self.home, &["id", "--name", "laptop"])?.trim_end()));
        self.print("\n2. The board gets an identity, as it would at flash time (waft provision):");
        let image = self.image();
        let call = ["provision", "--board", "mps2", "--name", NAME, "-o", &image.to_string_lossy()];
        let printed = waft(&self.home, &call)?;
        self.print(format!("   {}", printed.lines().next().unwrap_or_default()));
        self.print("   The board trusts laptop to send, and is trusted to receive, and nothing else.");
        Ok(())
    }

    async fn power_on(&self, title: &str) -> Result<Process, Error> {
        self.print(format!("\n{title}:"));
        let (image, mut call) = (self.image(), vec!["simulate", "--listen", "127.0.0.1:0"]);
        let (image, firmware) = (image.to_string_lossy(), self.emulator.as_ref().map(|path| path.to_string_lossy()));
        call.extend(["--identity", &image]);
        if let Some(firmware) = &firmware {
            call.extend(["--qemu", "--firmware", firmware]);
        }
        let mut board = Process::start(&self.home, &call)?;
        let address = board.until("ready").await?.text("address");
        let kind = if firmware.is_some() { "a Cortex-M4 that QEMU emulates" } else { "hosted by this machine" };
        self.print(format!("   {kind}, reached at {}", *address));
        Ok(board)
    }

    /// Sends a folder. The code is read from the board's console, and the key is typed there.
    async fn send(&self, folder: &Path, board: &mut Process, title: &str) -> Result<Event, Error> {
        self.print(format!("\n{title}:"));
        let mut sender = Process::start(&self.home, &["send", &folder.to_string_lossy(), NAME])?;
        sender.until("connected").await?;
        self.print(
            "   TLS 1.3 is up: each has shown the certificate that the other trusts, and\n   proven to hold its key.",
        );
        let key = sender.until("key").await?.text("key");
        let code = Zeroizing::new(board.ask("code", "Code:").await?.replace(' ', ""));
        sender.answer("code", &code).await?;
        self.print(&*secret(format_args!(
            "   The board's console shows the code {}; it is typed at the laptop.",
            *code
        )));
        board.console("Type the key").await?;
        board.write_line(&key)?;
        self.print(&*secret(format_args!("   The laptop shows the key {}; it is typed at the board.", *key)));
        let receipt = sender.until("committed").await?;
        sender.end().await?;
        let place = board.console("The folder is in place:").await?;
        let generation = place.rsplit(' ').next().unwrap_or_default().trim_end_matches('.').to_owned();
        let (count, size) = (number_of_files(receipt.number("files") as u32), bytes(receipt.number("bytes")));
        let digest = short(&receipt.text("digest"));
        let sent = receipt.number("sent");
        if sent < receipt.number("bytes") {
            self.print(format!("   Only what changed crosses the network: {}.", bytes(sent)));
        }
        self.print(format!("   The board has received {count} ({size}), read everything back from its"));
        self.print("   flash, verified it and put it in place as a whole.");
        self.print(format!("   The receipt names the digest {digest} and generation {generation}."));
        Ok(receipt)
    }

    async fn read_back(&self, receipt: &Event, board: &mut Process) -> Result<(), Error> {
        self.print("\n5. The folder is read on the board, at its console:");
        let content = board.ask(&format!("show {STORY}"), "Once upon a time").await?;
        self.print(format!("   show {STORY}   Once upon a time {}", *content));
        self.check_digest(receipt, board).await?;
        let verdict = board.ask("verify", "Verified").await?;
        self.print(format!("   verify           Verified{}", *verdict));
        Ok(())
    }

    /// Checks that the board's digest is the one in the receipt.
    async fn check_digest(&self, receipt: &Event, board: &mut Process) -> Result<(), Error> {
        let digest = board.ask("digest", "Digest:").await?;
        if digest != receipt.text("digest") {
            return Err(broken("the board holds another folder than the one that was sent"));
        }
        self.print(format!("   digest           {}, as the receipt says", short(&digest)));
        Ok(())
    }

    async fn power_off_and_on(&self, receipt: &Event, mut board: Process) -> Result<(), Error> {
        let before = board.ask("status", "Folder:").await?;
        board.power_off().await?;
        self.print("\n7. The board is switched off.");
        let mut board = self.power_on("8. And on again").await?;
        let after = board.ask("status", "Folder:").await?;
        if before != after {
            return Err(broken(&format!("the board had {}, and now has {}", *before, *after)));
        }
        self.print(format!("   status           {}", *after));
        self.check_digest(receipt, &mut board).await?;
        board.power_off().await?;
        self.print("\nThe folder is still there.");
        Ok(())
    }

    /// Creates the folder to send: a copy of the protocol's source, if available, and a file that changes later.
    fn sample(&self) -> Result<PathBuf, Error> {
        let folder = self.place.join("folder");
        fs::create_dir(&folder).map_err(failed)?;
        if let Some(source) = &self.source {
            copy(&source.join("core/src"), &folder.join("src")).map_err(failed)?;
        }
        fs::write(folder.join(STORY), "Once upon a time there was a folder.\n").map_err(failed)?;
        Ok(folder)
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name()))?,
            false => fs::copy(entry.path(), to.join(entry.file_name())).map(drop)?,
        }
    }
    Ok(())
}

fn short(digest: &str) -> String {
    format!("{}..", digest.get(..16).unwrap_or(digest))
}

fn failed(error: io::Error) -> Error {
    broken(&error.to_string())
}

fn broken(what: &str) -> Error {
    Error::new(
        Class::Storage,
        format!("The demonstration failed: {}.", what.trim_end_matches('.')),
        "It needs loopback networking and room in the temporary folder.",
    )
}
