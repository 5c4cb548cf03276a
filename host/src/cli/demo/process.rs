//! A child process of the demonstration: its events, its questions, and the console of a board. Codes and keys that
//! pass through are zeroized.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::ChildStdout;
use tokio::time::{sleep, timeout};
use waft_core::path::escape;
use zeroize::{Zeroize, Zeroizing};

use super::{broken, failed};
use crate::cli::platform;
use crate::error::Error;

/// How long to wait for the next event of a process.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Number and interval of the checks whether a process that should end has ended: 20 s in total.
const END_TRIES: u32 = 1000;
const END_PAUSE: Duration = Duration::from_millis(20);
/// Maximum length of an event, in bytes.
const LINE_MAX: usize = 64 << 10;

/// A child process that runs a waft command. Dropping it ends the process.
pub(super) struct Process {
    child: Child,
    output: ChildStdout,
    /// Output of the process that is not parsed yet, in the first `unread` bytes. One buffer is used for all output,
    /// so that no copies are left in memory.
    buffer: Zeroizing<Vec<u8>>,
    unread: usize,
    /// The last line of the console, for the error text if an expected line does not appear.
    last: Zeroizing<String>,
}

impl Process {
    pub(super) fn start(home: &Path, arguments: &[&str]) -> Result<Self, Error> {
        let mut command = command(home, arguments)?;
        command.arg("--json");
        Self::run(command)
    }

    fn run(mut command: Command) -> Result<Self, Error> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        let output = child.stdout.take().ok_or_else(|| broken("it has no output"))?;
        let output = ChildStdout::from_std(output).map_err(failed)?;
        let buffer = Zeroizing::new(vec![0; LINE_MAX]);
        Ok(Self { child, output, buffer, unread: 0, last: Zeroizing::default() })
    }

    /// Waits for the next event of this kind.
    pub(super) async fn until(&mut self, kind: &str) -> Result<Event, Error> {
        loop {
            let Ok(event) = timeout(SILENCE_MAX, self.next()).await else {
                let seconds = SILENCE_MAX.as_secs();
                return Err(broken(&format!("a process said nothing for {seconds} s")));
            };
            let event = event?.ok_or_else(|| broken(&format!("a process ended before it said {kind:?}")))?;
            if event.is("console") {
                self.last = event.text("text");
            }
            if event.is(kind) {
                return Ok(event);
            }
            if event.is("error") {
                return Err(broken(&event.text("message")));
            }
        }
    }

    /// Answers the question for the input `what`.
    pub(super) async fn answer(&mut self, what: &str, answer: &str) -> Result<(), Error> {
        while *self.until("asked").await?.text("what") != what {}
        self.write_line(answer)
    }

    /// Waits for the next line of a board's console that begins with `begins`, and returns the rest of the line.
    pub(super) async fn console(&mut self, begins: &str) -> Result<Zeroizing<String>, Error> {
        loop {
            let line = self.until("console").await.map_err(|error| self.unexpected(begins, error))?.text("text");
            if let Some(rest) = line.strip_prefix(begins) {
                return Ok(Zeroizing::new(rest.trim().to_owned()));
            }
        }
    }

    /// Types a command at a board's console, and returns the line that answers it.
    pub(super) async fn ask(&mut self, command: &str, begins: &str) -> Result<Zeroizing<String>, Error> {
        self.write_line(command)?;
        self.console(begins).await
    }

    pub(super) fn write_line(&mut self, line: &str) -> Result<(), Error> {
        let input = self.child.stdin.as_mut().ok_or_else(|| broken("it has no input"))?;
        writeln!(input, "{line}").map_err(failed)
    }

    /// Adds the expected and the last line of the console to an error.
    fn unexpected(&self, begins: &str, error: Error) -> Error {
        let last = escape(&self.last);
        error.detailed(format_args!("The board's console did not say \"{begins}\"; its last line was \"{last}\""))
    }

    /// The next event; `None` when the process has ended.
    async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let unread = &self.buffer[..self.unread];
            if let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                let event = serde_json::from_slice(&unread[..end]).map_err(|error| broken(&error.to_string()))?;
                self.buffer.copy_within(end + 1..self.unread, 0);
                self.unread -= end + 1;
                return Ok(Some(Event(event)));
            }
            if self.unread == LINE_MAX {
                return Err(broken("a process said more than fits one line"));
            }
            match self.output.read(&mut self.buffer[self.unread..]).await.map_err(failed)? {
                0 => return Ok(None),
                count => self.unread += count,
            }
        }
    }

    /// Waits for the process to end successfully.
    pub(super) async fn end(mut self) -> Result<(), Error> {
        let status = self.wait().await?;
        if status.success() { Ok(()) } else { Err(broken(&format!("a process ended with {status}"))) }
    }

    /// Ends the process of a board, like a power cut.
    pub(super) async fn power_off(mut self) -> Result<(), Error> {
        platform::ask_to_end(&mut self.child).map_err(failed)?;
        self.wait().await.map(drop)
    }

    async fn wait(&mut self) -> Result<ExitStatus, Error> {
        for _ in 0..END_TRIES {
            if let Some(status) = self.child.try_wait().map_err(failed)? {
                return Ok(status);
            }
            sleep(END_PAUSE).await;
        }
        Err(broken("a process does not end"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // If the process is asked to end, it also ends its own child processes. Otherwise it is killed, so that
        // nothing waits for it.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = platform::ask_to_end(&mut self.child);
        }
        for _ in 0..END_TRIES {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(END_PAUSE),
                _ => return,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a waft command to its end, and returns its output.
pub(super) fn waft(home: &Path, arguments: &[&str]) -> Result<String, Error> {
    let output = command(home, arguments)?.output().map_err(failed)?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(broken(String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn command(home: &Path, arguments: &[&str]) -> Result<Command, Error> {
    // The terminal's Ctrl-C reaches only the demonstration itself, which then ends this process.
    let mut command = platform::child(&std::env::current_exe().map_err(failed)?);
    command.args(arguments).env("WAFT_HOME", home).env_remove("WAFT_AUTH_CODE").env_remove("WAFT_KEY");
    Ok(command)
}

/// An event of a process. Its texts are zeroized, because some hold a code or a key.
pub(super) struct Event(Value);

impl Event {
    /// A text field of the event.
    pub(super) fn text(&self, field: &str) -> Zeroizing<String> {
        Zeroizing::new(self.0[field].as_str().unwrap_or_default().to_owned())
    }

    /// A number field of the event.
    pub(super) fn number(&self, field: &str) -> u64 {
        self.0[field].as_u64().unwrap_or_default()
    }

    fn is(&self, kind: &str) -> bool {
        self.0["event"] == kind
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let texts = self.0.as_object_mut().into_iter().flat_map(|fields| fields.values_mut());
        for text in texts {
            if let Value::String(text) = text {
                text.zeroize();
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A fake board that prints `says` and then waits for the end of its input.
    fn board(says: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", "printf %s \"$0\"; cat"]).arg(says);
        Process::run(command).unwrap()
    }

    const READY: &str = "{\"event\":\"console\",\"text\":\"What?\"}\n{\"event\":\"ready\",\"address\":\"here\"}\n";

    #[tokio::test]
    async fn a_board_that_says_something_else_is_not_waited_for_for_ever() {
        let mut board = board(READY);
        assert_eq!(*board.until("ready").await.unwrap().text("address"), "here");
        // From here on, tokio's clock advances as soon as no task is running.
        tokio::time::pause();
        let error = board.ask("code", "Code:").await.unwrap_err();
        let says =
            "a process said nothing for 60 s. The board's console did not say \"Code:\"; its last line was \"What?\".";
        assert_eq!(error.to_string(), format!("The demonstration failed: {says}"));
    }

    #[tokio::test]
    async fn a_process_that_ends_or_fails_is_reported() {
        let failed = async |says: &str| {
            let mut board = board(says);
            board.child.stdin = None;
            let error = board.until("committed").await.err().expect("it fails").to_string();
            error.strip_prefix("The demonstration failed: ").unwrap().to_owned()
        };
        assert_eq!(failed(READY).await, "a process ended before it said \"committed\".");
        assert_eq!(failed("{\"event\":\"error\",\"message\":\"No.\"}\n").await, "No.");
        assert_eq!(failed(&"x".repeat(LINE_MAX)).await, "a process said more than fits one line.");
    }
}
