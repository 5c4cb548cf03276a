//! The client of JSON events for all tests and measurements: one `waft` process, its input, its events, and how it
//! ends. The README of the crate documents the events, under "In scripts".

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// After this time a test counts as stuck. It is longer than every deadline that a test waits for.
const STUCK: Duration = Duration::from_secs(100);

/// The version of the events that this client understands.
const VERSION: u32 = 1;

/// A command to run with a home and a working folder.
pub(crate) struct Call(Command);

impl Call {
    /// `waft --json ARGS`, without the environment variables of the caller that it reads.
    pub(crate) fn new(home: &Path, work: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waft"));
        command.arg("--json").args(args);
        Self::of(command, home, work)
    }

    /// Any command that ends up running `waft --json`.
    pub(crate) fn of(mut command: Command, home: &Path, work: &Path) -> Self {
        for preset in ["WAFT_AUTH_CODE", "WAFT_KEY", "WAFT_WIFI_PASSPHRASE"] {
            command.env_remove(preset);
        }
        command.env("WAFT_HOME", home).current_dir(work);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.0.args(args);
        self
    }

    /// Changes the command in a way that only the caller needs.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        change(&mut self.0);
        self
    }

    /// The same command, run by `program`, which takes it after `args`.
    pub(crate) fn within(self, program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).arg(self.0.get_program()).args(self.0.get_args());
        for (name, value) in self.0.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(self.0.get_current_dir().expect("every call has one"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command)
    }

    pub(crate) fn start(mut self) -> Waft {
        let mut child = self.0.spawn().expect("the command starts");
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut err = child.stderr.take().expect("it is piped");
        let errors = spawn(move || {
            let mut bytes = Vec::new();
            let _ = err.read_to_end(&mut bytes);
            String::from_utf8(bytes).expect("standard error is UTF-8")
        });
        let input = child.stdin.take();
        Waft { child, input, lines, errors: Some(errors), started: false, seen: Vec::new() }
    }

    /// Runs the command to its end, with no input.
    pub(crate) fn run(self) -> Ended {
        let mut process = self.start();
        process.close_input();
        process.end()
    }
}

/// A running process.
pub(crate) struct Waft {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Option<JoinHandle<String>>,
    /// Whether the first event has stated its version.
    started: bool,
    /// All events so far, without the first one.
    pub(crate) seen: Vec<Value>,
}

impl Waft {
    /// Waits for the next event of that kind, and skips all before it.
    pub(crate) fn await_event(&mut self, kind: &str) -> Value {
        self.await_that(kind, |_| true)
    }

    /// Waits for the next event of that kind that meets the condition.
    pub(crate) fn await_that(&mut self, kind: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + STUCK;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => match self.take(&line) {
                    Some(event) if event["event"] == kind && condition(event) => return event.clone(),
                    _ => {}
                },
                Err(RecvTimeoutError::Timeout) => panic!("no {kind} came; before: {:#?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => {
                    let _ = self.child.wait();
                    let errors = self.errors.take().map(|errors| errors.join());
                    panic!("it ended before any {kind}; before: {:#?}\n{errors:?}", self.seen);
                }
            }
        }
    }

    /// Parses an event. The first one only states the version of the others.
    fn take(&mut self, line: &str) -> Option<&Value> {
        let event = parse(line);
        if !std::mem::replace(&mut self.started, true) {
            assert_eq!((&event["event"], &event["v"]), (&"started".into(), &VERSION.into()), "{event:#}");
            return None;
        }
        self.seen.push(event);
        self.seen.last()
    }

    /// The address and the code of a receiver that has just started.
    pub(crate) fn ready(&mut self) -> (String, Option<String>) {
        let ready = self.await_event("ready");
        (text(&ready, "address"), ready["code"].as_str().map(str::to_owned))
    }

    /// The key that a sender shows.
    pub(crate) fn key(&mut self) -> String {
        text(&self.await_event("key"), "key")
    }

    /// Waits for the question, and answers it with a line.
    pub(crate) fn answer(&mut self, what: &str, line: &str) {
        self.await_that("asked", |event| event["what"] == what);
        self.write_line(line);
    }

    /// Writes a line to the standard input, without waiting for a question.
    pub(crate) fn write_line(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input is open");
        writeln!(input, "{line}").and_then(|()| input.flush()).expect("it reads its input");
    }

    /// Closes the standard input.
    pub(crate) fn close_input(&mut self) {
        self.input = None;
    }

    /// Sends the signal of Ctrl-C.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Kills the process.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it was killed");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it runs");
    }

    /// Waits for the end of the process.
    pub(crate) fn end(mut self) -> Ended {
        let until = Instant::now() + STUCK;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => _ = self.take(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end; so far: {:#?}", self.seen),
            }
        }
        let code = self.child.wait().expect("it ended").code();
        let errors = self.errors.take().expect("it is read once").join().expect("it was UTF-8");
        Ended { code, events: std::mem::take(&mut self.seen), errors }
    }
}

impl Drop for Waft {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code. `None` if a signal ended the process.
    pub(crate) code: Option<i32>,
    /// All events without the first one.
    pub(crate) events: Vec<Value>,
    /// Everything it wrote to standard error.
    pub(crate) errors: String,
}

impl Ended {
    /// Asserts that the process succeeded.
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Asserts that the process failed with that error: exit code and class agree, and the text contains these phrases.
    pub(crate) fn failed(self, exit: i32, class: &str, says: &[&str]) -> Self {
        assert_eq!(self.code, Some(exit), "{self:#?}");
        let error = self.last("error").clone();
        assert_eq!(error["exit"], exit, "{self:#?}");
        check_error(&error, class, says);
        for part in ["message", "advice"] {
            let shown = text(&error, part);
            assert!(
                shown.lines().all(|line| self.errors.contains(line)),
                "standard error does not have {shown:?}: {self:#?}"
            );
        }
        self
    }

    /// The last event of that kind.
    pub(crate) fn last(&self, kind: &str) -> &Value {
        self.all(kind).last().unwrap_or_else(|| panic!("no {kind}: {self:#?}"))
    }

    /// All events of that kind.
    pub(crate) fn all(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.events.iter().filter(move |event| event["event"] == kind)
    }

    /// Asserts that the secret is neither in the text for users nor in the events.
    pub(crate) fn never_contains(&self, secret: &str) -> &Self {
        let all = format!("{}\n{}", self.errors, Value::from(self.events.clone()));
        let bare = |text: &str| text.replace(['-', ' '], "").to_uppercase();
        assert!(!bare(&all).contains(&bare(secret)), "{secret} in {all}");
        self
    }
}

/// Asserts that an error or a rejection has that class, that its text contains these phrases and advice, and that it
/// contains no secret.
pub(crate) fn check_error(event: &Value, class: &str, says: &[&str]) {
    assert_eq!(event["class"], class, "{event:#}");
    let advice = event["advice"].as_str();
    let whole = format!("{} {}", text(event, "message"), advice.unwrap_or_default());
    for part in says {
        assert!(whole.contains(part), "{part:?} is not in {whole:?}");
    }
    assert!(advice.is_none_or(|advice| !advice.is_empty()), "it does not say what to do next: {event:#}");
    assert!(!has_key(&whole), "a key in {whole:?}");
    assert!(whole.chars().all(|c| !c.is_control() || c == '\n'), "{whole:?}");
}

/// A string field of an event.
pub(crate) fn text(event: &Value, field: &str) -> String {
    event[field].as_str().unwrap_or_else(|| panic!("no {field} in {event:#}")).to_owned()
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?} is no event: {error}"))
}

/// Whether the text contains a key: four groups of four characters. (A fingerprint has five groups.)
fn has_key(text: &str) -> bool {
    text.split_whitespace().any(|word| {
        let groups: Vec<&str> = word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).split('-').collect();
        groups.len() == 4
            && groups.iter().all(|group| group.len() == 4 && group.chars().all(|c| c.is_ascii_alphanumeric()))
    })
}
