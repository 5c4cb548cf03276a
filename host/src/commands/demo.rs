//! `waft demo`: the whole story on this machine, in temporary folders. A receiver and a sender run as processes of
//! their own, driven like any script would drive them: by `--json` events and piped lines.

mod compare;

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use self::compare::compare;
use crate::error::{Error, files, shown};
use crate::ui::Ui;

/// Does what was typed.
pub(super) fn run(ui: &Ui) -> Result<(), Error> {
    let place = tempfile::Builder::new().prefix("waft-demo-").tempdir().map_err(failed)?;
    let (laptop, board) = (place.path().join("laptop"), place.path().join("kitchen"));
    let folder = sample(place.path())?;
    meet(&laptop, &board, ui)?;
    let received = place.path().join("received_folder");
    transfer(&laptop, &board, &folder, &received, ui)?;
    let entries = compare(&folder, &received)?;
    ui.print(format!("\n5. Compared {} with what was received: {entries}, all alike.", shown(&folder)));
    Ok(())
}

/// The repository's own `core`, where there is one; else a small folder.
fn sample(place: &Path) -> Result<PathBuf, Error> {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core");
    if let Ok(core) = core.canonicalize() {
        return Ok(core);
    }
    let folder = place.join("folder");
    std::fs::create_dir_all(folder.join("with/an empty folder")).map_err(failed)?;
    std::fs::write(folder.join("with/a file.txt"), "Hello.\n").map_err(failed)?;
    Ok(folder)
}

/// Both make an identity, and each gets the other's certificate.
fn meet(laptop: &Path, board: &Path, ui: &Ui) -> Result<(), Error> {
    ui.print("1. Two machines make an identity each (waft id):");
    for (home, name) in [(laptop, "laptop"), (board, "kitchen")] {
        ui.print(format!("   {}", waft(home, &["id", "--name", name])?.trim_end()));
        std::fs::write(home.join("cert.pem"), waft(home, &["id", "cert"])?).map_err(failed)?;
    }
    ui.print("\n2. Each is told to trust the other's certificate, in one direction (waft trust add):");
    for (home, name, peer, direction) in
        [(laptop, "kitchen", board, "--receives"), (board, "laptop", laptop, "--sends")]
    {
        let certificate = peer.join("cert.pem");
        waft(home, &["trust", "add", name, &certificate.to_string_lossy(), direction])?;
        ui.print(format!("   {}", waft(home, &["trust", "list"])?.trim_end()));
    }
    Ok(())
}

/// The folder crosses.
fn transfer(laptop: &Path, board: &Path, folder: &Path, received: &Path, ui: &Ui) -> Result<(), Error> {
    let into = received.to_string_lossy();
    let mut receiver = Peer::start(board, &["receive", "--once", "--listen", "127.0.0.1:0", "--into", &into])?;
    let ready = receiver.until("ready")?;
    let (address, code) = (text(&ready, "address"), text(&ready, "code"));
    ui.print(format!("\n3. kitchen listens at {address} and shows the code {code} (waft receive)."));

    let to = format!("kitchen@{address}");
    let mut sender = Peer::start(laptop, &["send", &folder.to_string_lossy(), &to])?;
    let key = text(&sender.until("key")?, "key");
    sender.until("connected")?;
    ui.print(format!("\n4. laptop sends {} to {to} (waft send).", shown(folder)));
    ui.print("   TLS 1.3 is up, and each has proven to hold the key of the certificate that the other trusts.");
    sender.answer("code", &code)?;
    ui.print(format!("   The person at the laptop types the code {code}."));
    let offered = receiver.until("offered")?;
    ui.print(format!(
        "   laptop offers {}, {} bytes, and shows the key {key}.",
        files(offered["files"].as_u64().unwrap_or_default() as u32),
        offered["total"]
    ));
    receiver.answer("key", &key)?;
    ui.print("   The person at kitchen types that key. It is right, so the sealed folder crosses.");
    sender.until("committed")?;
    let receipt = receiver.until("committed")?;
    ui.print("   kitchen has verified it, put it in place as a whole, and sent a receipt. Its digest:");
    ui.print(format!("   {}", text(&receipt, "digest")));
    receiver.end()?;
    sender.end()
}

/// A process of the command, and its events.
struct Peer {
    child: Child,
    events: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    fn start(home: &Path, arguments: &[&str]) -> Result<Self, Error> {
        let mut command = command(home, arguments)?;
        command.arg("--json").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        let events = child.stdout.take().ok_or_else(|| broken("it has no output"))?;
        Ok(Self { child, events: BufReader::new(events).lines() })
    }

    /// Its next event of that kind.
    fn until(&mut self, kind: &str) -> Result<Value, Error> {
        for line in &mut self.events {
            let event: Value =
                serde_json::from_str(&line.map_err(failed)?).map_err(|error| broken(&error.to_string()))?;
            match &event["event"] {
                found if found == kind => return Ok(event),
                found if found == "error" => return Err(broken(&text(&event, "message"))),
                _ => {}
            }
        }
        Err(broken(&format!("a process ended before it said {kind:?}")))
    }

    /// Answers the question for `what`.
    fn answer(&mut self, what: &str, answer: &str) -> Result<(), Error> {
        while self.until("asked")?["what"] != what {}
        let input = self.child.stdin.as_mut().ok_or_else(|| broken("it has no input"))?;
        writeln!(input, "{answer}").map_err(failed)
    }

    fn end(mut self) -> Result<(), Error> {
        let status = self.child.wait().map_err(failed)?;
        if status.success() { Ok(()) } else { Err(broken(&format!("a process ended with {status}"))) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Where it ended already, there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the command to its end, and gives what it printed.
fn waft(home: &Path, arguments: &[&str]) -> Result<String, Error> {
    let output = command(home, arguments)?.output().map_err(failed)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(broken(String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn command(home: &Path, arguments: &[&str]) -> Result<Command, Error> {
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(arguments).env("WAFT_HOME", home).env_remove("WAFT_AUTH_CODE").env_remove("WAFT_KEY");
    Ok(command)
}

fn text(event: &Value, field: &str) -> String {
    event[field].as_str().unwrap_or_default().to_owned()
}

fn failed(error: std::io::Error) -> Error {
    broken(&error.to_string())
}

fn broken(what: &str) -> Error {
    Error::Demo(what.to_owned())
}
