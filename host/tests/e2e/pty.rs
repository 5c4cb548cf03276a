//! A process at a terminal of its own: its input, the screen as a user sees it, and the mode in which it leaves the
//! terminal.

use std::io::{Read, Write};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use vt100::Parser;

use super::world::Machine;

/// After this time a test counts as stuck.
const STUCK: Duration = Duration::from_secs(60);
const ROWS: u16 = 40;
const COLUMNS: u16 = 120;

/// A terminal and the process that was started at it.
pub(crate) struct Terminal {
    pty: Option<Arc<Pty>>,
    child: Child,
    shown: Receiver<Vec<u8>>,
    screen: Parser,
    /// All bytes that were written to the terminal.
    pub(crate) written: Vec<u8>,
}

/// `waft ARGS` as the machine's user types it.
pub(crate) fn waft(machine: &Machine, args: &[&str]) -> Command {
    at_home(machine, Command::new(env!("CARGO_BIN_EXE_waft")).args(args))
}

/// A shell that runs a script or, without one, typed commands.
pub(crate) fn shell(machine: &Machine, script: Option<&str>) -> Command {
    let shell = Command::new("sh").env("WAFT", env!("CARGO_BIN_EXE_waft")).env("PS1", "ready> ");
    let shell = match script {
        Some(script) => shell.args(["-c", script]),
        None => shell.arg("-i"),
    };
    at_home(machine, shell)
}

fn at_home(machine: &Machine, mut command: Command) -> Command {
    for preset in ["WAFT_AUTH_CODE", "WAFT_KEY", "WAFT_WIFI_PASSPHRASE", "ENV"] {
        command = command.env_remove(preset);
    }
    command.env("WAFT_HOME", &machine.home).env("TERM", "xterm").current_dir(&machine.work)
}

impl Terminal {
    pub(crate) fn start(command: Command) -> Self {
        let (pty, pts) = open().expect("there is a terminal");
        pty.resize(Size::new(ROWS, COLUMNS)).expect("it has a size");
        let child = command.spawn(pts).expect("the command starts");
        let (pty, (sender, shown)) = (Arc::new(pty), channel());
        let reading = Arc::downgrade(&pty);
        spawn(move || {
            let mut bytes = [0; 4096];
            // Held only for a moment at a time, so that the terminal can be closed.
            while let Some(pty) = reading.upgrade() {
                let pause = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                if poll(&mut [PollFd::new(&*pty, PollFlags::IN)], Some(&pause)) == Ok(0) {
                    continue;
                }
                // Reading from a terminal whose last process has ended fails.
                match (&*pty).read(&mut bytes) {
                    Ok(count @ 1..) => drop(sender.send(bytes[..count].to_vec())),
                    _ => return,
                }
            }
        });
        let screen = Parser::new(ROWS, COLUMNS, 0);
        Self { pty: Some(pty), child, shown, screen, written: Vec::new() }
    }

    /// Waits until the screen shows that text.
    pub(crate) fn sees(&mut self, text: &str) {
        self.await_screen(text, |screen| screen.contains(text));
    }

    /// Waits until the screen meets the condition.
    pub(crate) fn await_screen(&mut self, what: &str, meant: impl Fn(&str) -> bool) {
        let until = Instant::now() + STUCK;
        while !meant(&self.screen.screen().contents()) {
            match self.shown.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.take(&bytes),
                Err(_) => panic!("never {what:?}; the screen:\n{}", self.screen.screen().contents()),
            }
        }
    }

    /// The text on the screen.
    pub(crate) fn screen(&self) -> String {
        self.screen.screen().contents()
    }

    pub(crate) fn types(&self, text: &str) {
        { self.pty() }.write_all(text.as_bytes()).expect("the terminal takes what is typed");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether the process is still running.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it was started here").is_none()
    }

    /// Whether the terminal itself has broken a line on the screen, possibly within a word.
    pub(crate) fn has_broken_lines(&self) -> bool {
        (0..ROWS).any(|row| self.screen.screen().row_wrapped(row))
    }

    /// Whether the terminal is in line mode with echo.
    pub(crate) fn echoes(&self) -> bool {
        let modes = tcgetattr(self.pty()).expect("it is a terminal").local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON)
    }

    /// Waits until the terminal echoes, or does not.
    pub(crate) fn await_echo(&self, echoes: bool) {
        let until = Instant::now() + STUCK;
        while self.echoes() != echoes {
            assert!(Instant::now() < until, "echo is never {echoes}; the screen:\n{}", self.screen());
            sleep(Duration::from_millis(10));
        }
    }

    /// Restores line mode and echo, as a shell does that finds the terminal changed.
    pub(crate) fn set_echo(&self) {
        let mut modes = tcgetattr(self.pty()).expect("it is a terminal");
        modes.local_modes.insert(LocalModes::ECHO | LocalModes::ICANON);
        tcsetattr(self.pty(), OptionalActions::Now, &modes).expect("it is a terminal");
    }

    /// Closes the terminal's window.
    pub(crate) fn close(&mut self) {
        self.pty = None;
    }

    /// Waits for the end of the process, and reads the rest of its output.
    pub(crate) fn end(&mut self) -> ExitStatus {
        let until = Instant::now() + STUCK;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it was started here") {
                break status;
            }
            assert!(Instant::now() < until, "it does not end; the screen:\n{}", self.screen());
            match self.shown.recv_timeout(Duration::from_millis(20)) {
                Ok(bytes) => self.take(&bytes),
                Err(_) => sleep(Duration::from_millis(5)),
            }
        };
        while let Ok(bytes) = self.shown.recv_timeout(Duration::from_millis(200)) {
            self.take(&bytes);
        }
        status
    }

    /// Asserts that the process ends with that code and leaves the terminal in its original mode.
    pub(crate) fn assert_exit(&mut self, code: i32) {
        let status = self.end();
        assert_eq!(status.code(), Some(code), "{status}\n{}", self.screen());
        assert!(self.echoes(), "what is typed is not shown");
        assert!(!self.screen.screen().hide_cursor(), "the cursor is hidden");
        assert_eq!(self.screen.screen().cursor_position().1, 0, "the last line is not ended:\n{}", self.screen());
    }

    fn take(&mut self, bytes: &[u8]) {
        self.screen.process(bytes);
        self.written.extend_from_slice(bytes);
    }

    fn pty(&self) -> &Pty {
        self.pty.as_ref().expect("it is open")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
