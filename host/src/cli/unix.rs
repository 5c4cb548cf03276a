//! Unix: the terminal at standard input, which delivers single bytes while a question is open and is in its own mode
//! otherwise; child processes; and the signals by which a user or the system ends or pauses a command.

use std::fs::File;
use std::io::{self, IsTerminal, stdin};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::thread::sleep;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal as Number, getpgrp, getpid, kill_process};
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcgetpgrp, tcgetwinsize,
    tcsetattr, ttyname,
};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::cli::interrupt::Signal;

/// Interval at which a process in the background checks whether it is in the foreground.
const BACKGROUND: Duration = Duration::from_millis(100);

/// The original mode, while it is changed.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// While this value exists, the terminal delivers every byte at once and echoes none. Ctrl-C and similar keys still
/// raise signals.
pub(crate) struct ByteByByte;

impl ByteByByte {
    /// Returns `None` if standard input is not a terminal with such a mode.
    pub(crate) fn begin() -> Option<Self> {
        let mut before = BEFORE.lock().ok()?;
        *before = Some(enter()?);
        Some(Self)
    }
}

impl Drop for ByteByByte {
    fn drop(&mut self) {
        restore_terminal();
    }
}

/// Changes the mode. Returns the previous one.
fn enter() -> Option<Termios> {
    let before = tcgetattr(stdin()).ok()?;
    let mut typing = before.clone();
    typing.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    typing.special_codes[SpecialCodeIndex::VMIN] = 1;
    typing.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(stdin(), OptionalActions::Now, &typing).ok()?;
    Some(before)
}

/// Restores the terminal's mode for good, if it was changed.
pub(crate) fn restore_terminal() {
    if let Some(before) = BEFORE.lock().ok().and_then(|mut before| before.take()) {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}

/// Restores the terminal's mode while this process is stopped.
pub(crate) fn suspend_terminal() {
    if let Ok(before) = BEFORE.lock()
        && let Some(before) = &*before
    {
        let _ = tcsetattr(stdin(), OptionalActions::Now, before);
    }
}

/// Changes the mode again if a question is open. A process in the background is stopped by this until it is brought to
/// the foreground; the question cannot be answered before that.
pub(crate) fn resume_terminal() {
    if let Ok(mut before) = BEFORE.lock()
        && before.is_some()
        && let Some(now) = enter()
    {
        *before = Some(now);
    }
}

/// Discards input that was typed before the question.
pub(crate) fn forget_typed() {
    let _ = tcflush(stdin(), QueueSelector::IFlush);
}

/// Waits until standard input has something to read. If it is a terminal, waits for the foreground as well: in the
/// background, the input is meant for another process, and reading it would stop this one.
pub(crate) fn wait_for_input() {
    // On Apple systems terminals cannot be polled, so the read itself waits.
    if cfg!(target_vendor = "apple") {
        return;
    }
    loop {
        let stdin = stdin();
        let mut input = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut input, None) {
            Err(rustix::io::Errno::INTR) => continue,
            _ if !stdin.is_terminal() => return,
            _ => {}
        }
        match tcgetpgrp(&stdin) {
            Ok(foreground) if foreground != getpgrp() => sleep(BACKGROUND),
            _ => return,
        }
    }
}

/// Reads from standard input without the buffer of the standard library, which is never wiped.
pub(crate) fn read_standard_input(buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(stdin(), buffer)?)
}

/// Opens the terminal at standard input for writing.
pub(crate) fn open_terminal() -> io::Result<File> {
    let name = ttyname(stdin(), Vec::new())?;
    Ok(rustix::fs::open(name, OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?.into())
}

/// The number of columns of a terminal.
pub(crate) fn columns(terminal: impl AsFd) -> Option<u16> {
    tcgetwinsize(terminal).ok().map(|size| size.ws_col)
}

/// Whether the terminal understands escape sequences.
pub(crate) fn understands_escapes() -> bool {
    std::env::var_os("TERM").is_some_and(|kind| !kind.is_empty() && kind != "dumb")
}

/// Whether codes and keys are visible while they are typed.
pub(crate) const SHOWS_SECRETS: bool = true;

/// Whether standard input is the null device, as for a service.
pub(crate) fn stdin_is_null() -> bool {
    let input = rustix::fs::fstat(rustix::stdio::stdin());
    let null = rustix::fs::stat("/dev/null");
    matches!((input, null), (Ok(input), Ok(null)) if input.st_rdev == null.st_rdev && input.st_mode == null.st_mode)
}

/// Asks a process to end.
pub(crate) fn ask_to_end(child: &mut Child) -> io::Result<()> {
    Ok(kill_process(Pid::from_child(child), rustix::process::Signal::TERM)?)
}

/// A command for a child process that the terminal's Ctrl-C does not reach. On Linux, util-linux's `setpriv` makes the
/// kernel kill the child when this process ends for any reason.
pub(crate) fn child(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    let mut command = match cfg!(target_os = "linux") && setpriv.is_file() {
        true => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        false => Command::new(program),
    };
    command.process_group(0);
    command
}

/// Streams of the signals, within a Tokio runtime.
pub(super) struct Signals(Vec<(Signal, Stream)>);

impl Signals {
    /// Installs the handlers: no signal is lost from here on.
    pub(super) fn listen() -> io::Result<Self> {
        let ignored = ignored();
        let wanted = [
            (Signal::Interrupt, Number::INT, SignalKind::interrupt()),
            (Signal::Quit, Number::QUIT, SignalKind::quit()),
            (Signal::Terminate, Number::TERM, SignalKind::terminate()),
            (Signal::HangUp, Number::HUP, SignalKind::hangup()),
            (Signal::Pause, Number::TSTP, SignalKind::from_raw(Number::TSTP.as_raw())),
            (Signal::Continue, Number::CONT, SignalKind::from_raw(Number::CONT.as_raw())),
        ];
        let mut streams = Vec::new();
        for (meaning, number, kind) in wanted {
            // Ignored as under `nohup`, or in shells without job control.
            let is_ignored = ignored & 1 << (number.as_raw() - 1) != 0;
            if is_ignored && matches!(meaning, Signal::HangUp | Signal::Pause) {
                continue;
            }
            streams.push((meaning, signal(kind)?));
        }
        Ok(Self(streams))
    }

    /// Waits for the next signal. Cancel-safe.
    pub(super) async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Signal> {
        for (meaning, stream) in &mut self.0 {
            if stream.poll_recv(context).is_ready() {
                return Poll::Ready(*meaning);
            }
        }
        Poll::Pending
    }
}

/// The signals that this process ignored when it was started, as a bit mask. Linux reports them. Elsewhere a process
/// without a terminal at its outputs is assumed to run under `nohup`.
fn ignored() -> u64 {
    use std::io::{IsTerminal, stderr, stdout};
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        return mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    }
    match stdout().is_terminal() || stderr().is_terminal() {
        true => 0,
        false => 1 << (Number::HUP.as_raw() - 1),
    }
}

/// Stops this process until a signal to continue.
pub(super) fn pause() {
    let _ = kill_process(getpid(), Number::STOP);
}
