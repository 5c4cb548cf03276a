//! One process of the demonstration: its events, its questions, and a board's console.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::ChildStdout;

use super::{broken, failed};
use crate::error::Error;
use crate::platform;

/// A process of the command. It ends with its owner.
pub(super) struct Actor {
    child: Child,
    events: Lines<BufReader<ChildStdout>>,
}

impl Actor {
    pub(super) fn start(home: &Path, arguments: &[&str]) -> Result<Self, Error> {
        let mut command = command(home, arguments)?;
        command.arg("--json").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        let events = child.stdout.take().ok_or_else(|| broken("it has no output"))?;
        let events = ChildStdout::from_std(events).map_err(failed)?;
        Ok(Self { child, events: BufReader::new(events).lines() })
    }

    /// Its next event of that kind.
    pub(super) async fn until(&mut self, kind: &str) -> Result<Value, Error> {
        while let Some(line) = self.events.next_line().await.map_err(failed)? {
            let event: Value = serde_json::from_str(&line).map_err(|error| broken(&error.to_string()))?;
            match &event["event"] {
                found if found == kind => return Ok(event),
                found if found == "error" => return Err(broken(&text(&event, "message"))),
                _ => {}
            }
        }
        Err(broken(&format!("a process ended before it said {kind:?}")))
    }

    /// Answers the question for `what`.
    pub(super) async fn answer(&mut self, what: &str, answer: &str) -> Result<(), Error> {
        while self.until("asked").await?["what"] != what {}
        self.write_line(answer)
    }

    /// The next line of a board's console that begins so, without that beginning.
    pub(super) async fn console(&mut self, begins: &str) -> Result<String, Error> {
        loop {
            let line = text(&self.until("console").await?, "text");
            if let Some(rest) = line.strip_prefix(begins) {
                return Ok(rest.trim().to_owned());
            }
        }
    }

    /// Types a command at a board's console; gives the line that answers it.
    pub(super) async fn ask(&mut self, command: &str, begins: &str) -> Result<String, Error> {
        self.write_line(command)?;
        self.console(begins).await
    }

    pub(super) fn write_line(&mut self, line: &str) -> Result<(), Error> {
        let input = self.child.stdin.as_mut().ok_or_else(|| broken("it has no input"))?;
        writeln!(input, "{line}").map_err(failed)
    }

    /// Waits for its good end.
    pub(super) fn end(mut self) -> Result<(), Error> {
        let status = self.child.wait().map_err(failed)?;
        if status.success() { Ok(()) } else { Err(broken(&format!("a process ended with {status}"))) }
    }

    /// Takes its power away.
    pub(super) fn power_off(mut self) -> Result<(), Error> {
        platform::ask_to_end(&mut self.child).map_err(failed)?;
        self.child.wait().map(drop).map_err(failed)
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // Where it ended already, there is nothing to end. Asked, it takes along what it has started itself.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = platform::ask_to_end(&mut self.child);
            let _ = self.child.wait();
        }
    }
}

/// Runs the command to its end, and gives what it printed.
pub(super) fn waft(home: &Path, arguments: &[&str]) -> Result<String, Error> {
    let output = command(home, arguments)?.output().map_err(failed)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(broken(String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn command(home: &Path, arguments: &[&str]) -> Result<Command, Error> {
    // Ctrl-C is for the story as a whole.
    let mut command = platform::child(&std::env::current_exe().map_err(failed)?);
    command.args(arguments).env("WAFT_HOME", home).env_remove("WAFT_AUTH_CODE").env_remove("WAFT_KEY");
    Ok(command)
}

/// A text of an event.
pub(super) fn text(event: &Value, field: &str) -> String {
    event[field].as_str().unwrap_or_default().to_owned()
}
