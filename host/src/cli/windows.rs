//! Windows: the console, which delivers single keys and echoes none, and whose mode is never changed; child processes; and
//! the console events by which a user or the system ends a command.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, stderr, stdin, stdout};
use std::os::windows::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use console::{Key, Term};
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_logoff, ctrl_shutdown,
};

use crate::cli::interrupt::Signal;

/// While this value exists, the reader shows what is typed. The console itself never does, see [`read_standard_input`].
pub(crate) struct ByteByByte;

impl ByteByByte {
    /// Returns `None` if standard input is not a console from which keys can be read.
    pub(crate) fn begin() -> Option<Self> {
        console().map(|_| Self)
    }
}

/// Does nothing: the mode is never changed.
pub(crate) fn restore_terminal() {}

/// Does nothing: the mode is never changed.
pub(crate) fn suspend_terminal() {}

/// Does nothing: the mode is never changed.
pub(crate) fn resume_terminal() {}

/// Does nothing: input that was typed before the question is kept.
pub(crate) fn forget_typed() {}

/// Does nothing: the read itself waits.
pub(crate) fn wait_for_input() {}

/// Reads from standard input. If it is a console, reads one key, which the console does not echo.
pub(crate) fn read_standard_input(buffer: &mut [u8]) -> io::Result<usize> {
    let Some(console) = console() else { return stdin().lock().read(buffer) };
    loop {
        let typed = match console.read_key()? {
            Key::Enter => '\n',
            Key::Tab => '\t',
            Key::Backspace | Key::Del => '\x08',
            Key::Char(typed) => typed,
            _ => continue,
        };
        return Ok(typed.encode_utf8(buffer).len());
    }
}

/// The console, if there is one at standard input and at one of the outputs.
fn console() -> Option<Term> {
    let out = match (stderr().is_terminal(), stdout().is_terminal()) {
        (true, _) => Term::stderr(),
        (false, true) => Term::stdout(),
        (false, false) => return None,
    };
    stdin().is_terminal().then_some(out)
}

/// Opens the console for writing.
pub(crate) fn open_terminal() -> io::Result<File> {
    match console() {
        Some(_) => OpenOptions::new().write(true).open("CONOUT$"),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

/// The number of columns of the console, whichever handle is given.
pub(crate) fn columns<T>(_terminal: T) -> Option<u16> {
    console().and_then(|console| console.size_checked()).map(|(_, columns)| columns)
}

/// Whether the console understands escape sequences. Asking for colours enables them.
pub(crate) fn understands_escapes() -> bool {
    console().is_some_and(|console| console.features().colors_supported())
}

/// Whether codes and keys are visible while they are typed. PowerShell's transcripts would record them.
pub(crate) const SHOWS_SECRETS: bool = false;

/// Always `false`: a service on Windows has no standard input at all, which shows when it reads.
pub(crate) fn stdin_is_null() -> bool {
    false
}

/// Ends a process and its children at once. Windows has no way to ask a process to end.
pub(crate) fn ask_to_end(child: &mut Child) -> io::Result<()> {
    let mut tree = Command::new("taskkill");
    tree.args(["/F", "/T", "/PID", &child.id().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if tree.status().is_ok_and(|status| status.success()) { Ok(()) } else { child.kill() }
}

/// A command for a child process that the terminal's Ctrl-C does not reach. It keeps running if this process is killed.
pub(crate) fn child(program: &Path) -> Command {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    let mut command = Command::new(program);
    command.creation_flags(CREATE_NEW_PROCESS_GROUP);
    command
}

/// Streams of the console's events, within a Tokio runtime.
pub(super) struct Signals {
    interrupt: CtrlC,
    quit: CtrlBreak,
    close: CtrlClose,
    logoff: CtrlLogoff,
    shutdown: CtrlShutdown,
}

impl Signals {
    /// Installs the handlers: no event is lost from here on.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
            quit: ctrl_break()?,
            close: ctrl_close()?,
            logoff: ctrl_logoff()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// Waits for the next event. Cancel-safe.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.quit.recv() => Signal::Quit,
            _ = self.close.recv() => Signal::HangUp,
            _ = self.logoff.recv() => Signal::Terminate,
            _ = self.shutdown.recv() => Signal::Terminate,
        }
    }
}

/// Does nothing: no console event asks for a pause.
pub(super) fn pause() {}
