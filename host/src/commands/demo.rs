//! `waft demo`: the whole story with a board on this machine, in temporary folders. The board and each sender run as processes of
//! their own, driven like any script would drive them: by `--json` events and piped lines.

mod actor;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use self::actor::{Actor, text, waft};
use crate::board::Board;
use crate::error::{Error, bytes, files};
use crate::simulation::{firmware, qemu};
use crate::ui::Ui;

/// What the board is called.
const NAME: &str = "kitchen";
/// A file that the story reads on the board, and changes.
const STORY: &str = "story.txt";

/// Does what was typed.
pub(super) async fn run(ui: &Ui) -> Result<(), Error> {
    let place = tempfile::Builder::new().prefix("waft-demo-").tempdir().map_err(failed)?;
    let emulator = emulator(ui).await;
    let stage = Stage { place: place.path(), home: place.path().join("laptop"), emulator, ui };
    stage.provision()?;
    let mut board = stage.power_on("3. The board is switched on (waft simulate)")?;
    let folder = stage.sample()?;
    let first = stage.send(&folder, &mut board, "4. laptop sends a folder (waft send)")?;
    stage.read_back(&first, &mut board)?;
    fs::write(folder.join(STORY), "Once upon a time there was another folder.\n").map_err(failed)?;
    let second = stage.send(&folder, &mut board, "6. A file changes, and laptop sends the folder again")?;
    stage.power_off_and_on(&second, board)
}

/// The program for the emulated board, where it can be had.
async fn emulator(ui: &Ui) -> Option<PathBuf> {
    let board = Board::named("mps2")?;
    if qemu::program().is_none() {
        ui.print("QEMU is not on this machine, so the board is the same receiver as a program of this machine.\n");
        return None;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = firmware::source(here, board)?;
    match firmware::build(&root, board, ui).await {
        Ok(program) => Some(program),
        Err(error) => {
            ui.error(&error);
            ui.print("So the board is the same receiver as a program of this machine.\n");
            None
        }
    }
}

/// Where it all happens.
struct Stage<'a> {
    place: &'a Path,
    home: PathBuf,
    emulator: Option<PathBuf>,
    ui: &'a Ui,
}

impl Stage<'_> {
    fn tell(&self, line: impl AsRef<str>) {
        self.ui.print(line);
    }

    fn image(&self) -> PathBuf {
        self.place.join("identity.bin")
    }

    /// The laptop has an identity, and gives the board one.
    fn provision(&self) -> Result<(), Error> {
        self.tell("1. The laptop makes an identity (waft id):");
        self.tell(format!("   {}", waft(&self.home, &["id", "--name", "laptop"])?.trim_end()));
        self.tell("\n2. The board gets an identity, as it would at flash time (waft provision):");
        let image = self.image();
        let call = ["provision", "--board", "mps2", "--name", NAME, "-o", &image.to_string_lossy()];
        let printed = waft(&self.home, &call)?;
        self.tell(format!("   {}", printed.lines().next().unwrap_or_default()));
        self.tell("   The board trusts laptop to send, and is trusted to receive, and nothing else.");
        Ok(())
    }

    fn power_on(&self, title: &str) -> Result<Actor, Error> {
        let (image, mut call) = (self.image(), vec!["simulate", "--listen", "127.0.0.1:0"]);
        let (image, firmware) = (image.to_string_lossy(), self.emulator.as_ref().map(|path| path.to_string_lossy()));
        call.extend(["--identity", &image]);
        if let Some(firmware) = &firmware {
            call.extend(["--qemu", "--firmware", firmware]);
        }
        let mut board = Actor::start(&self.home, &call)?;
        let address = text(&board.until("ready")?, "address");
        let kind = if firmware.is_some() { "a Cortex-M4 that QEMU emulates" } else { "hosted by this machine" };
        self.tell(format!("\n{title}: {kind}, reached at {address}."));
        Ok(board)
    }

    /// Code and key pass over the board's console.
    fn send(&self, folder: &Path, board: &mut Actor, title: &str) -> Result<Value, Error> {
        self.tell(format!("\n{title}:"));
        let mut sender = Actor::start(&self.home, &["send", &folder.to_string_lossy(), NAME])?;
        let key = text(&sender.until("key")?, "key");
        sender.until("connected")?;
        self.tell("   TLS 1.3 is up, and each has proven to hold the key of the certificate that the other trusts.");
        let code = board.ask("code", "Code:")?.replace(' ', "");
        sender.answer("code", &code)?;
        self.tell(format!("   The board's console shows the code {code}; the person at the laptop types it."));
        board.console("Type the key")?;
        board.write_line(&key)?;
        self.tell(format!("   The laptop shows the key {key}; the person at the board types it."));
        let receipt = sender.until("committed")?;
        sender.end()?;
        let (count, size) =
            (receipt["files"].as_u64().unwrap_or_default(), receipt["bytes"].as_u64().unwrap_or_default());
        let place = board.console("The folder is in place:")?;
        let generation = place.rsplit(' ').next().unwrap_or_default().trim_end_matches('.').to_owned();
        self.tell(format!(
            "   {} ({}) crossed, were verified in the flash, and took their place as a whole.",
            files(count as u32),
            bytes(size)
        ));
        self.tell(format!(
            "   The receipt names generation {generation} and the digest {}.",
            short(&text(&receipt, "digest"))
        ));
        Ok(receipt)
    }

    fn read_back(&self, receipt: &Value, board: &mut Actor) -> Result<(), Error> {
        self.tell("\n5. The folder is read on the board, at its console:");
        let content = board.ask(&format!("show {STORY}"), "Once upon a time")?;
        self.tell(format!("   show {STORY}   Once upon a time {content}"));
        self.same(receipt, board)?;
        let verdict = board.ask("verify", "Sound")?;
        self.tell(format!("   verify           Sound{verdict}"));
        Ok(())
    }

    /// The board holds what the receipt says.
    fn same(&self, receipt: &Value, board: &mut Actor) -> Result<(), Error> {
        let digest = board.ask("digest", "Digest:")?;
        if digest != text(receipt, "digest") {
            return Err(broken("the board holds another folder than the one that was sent"));
        }
        self.tell(format!("   digest           {}, as the receipt says", short(&digest)));
        Ok(())
    }

    fn power_off_and_on(&self, receipt: &Value, mut board: Actor) -> Result<(), Error> {
        let before = board.ask("status", "Folder:")?;
        board.power_off()?;
        self.tell("\n7. The board is switched off.");
        let mut board = self.power_on("8. And on again")?;
        let after = board.ask("status", "Folder:")?;
        if before != after {
            return Err(broken(&format!("the board had {before}, and now has {after}")));
        }
        self.tell(format!("   status           {after}"));
        self.same(receipt, &mut board)?;
        self.tell("\nThe folder is still there.");
        board.power_off()
    }

    /// A copy of the protocol's own source, where that is at hand; and a file to change.
    fn sample(&self) -> Result<PathBuf, Error> {
        let (folder, source) = (self.place.join("folder"), Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src"));
        copy(&source, &folder.join("src")).map_err(failed)?;
        fs::write(folder.join(STORY), "Once upon a time there was a folder.\n").map_err(failed)?;
        Ok(folder)
    }
}

/// Copies a folder; one that is not there as an empty one.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for entry in entries {
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
    Error::Demo(what.to_owned())
}
