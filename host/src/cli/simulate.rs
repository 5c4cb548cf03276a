//! `waft simulate`: runs a board on this machine, with its console in this terminal. With `--json`, each line of the
//! console is an event instead.
//!
//! ```text
//! standard input -> Reader -> Console::read -> board     a board that runs in this process
//! board -> Console::write -> Screen -> Ui                its output: bytes for the terminal, or events
//! QEMU -> Screen -> Ui                                   the output of a board in QEMU (see `qemu`)
//! ```

pub(super) mod emulator;
pub(super) mod firmware;
pub(super) mod qemu;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use embedded_io_async::{ErrorType, Read, Write};
use tokio::net::TcpListener;
use waft_receiver::identity::{self as board, KeyPolicy, Network, Policy};
use zeroize::{Zeroize, Zeroizing};

use crate::address::Address;
use crate::board::Board;
use crate::cli::arguments::Simulate;
use crate::cli::interrupt::Interrupt;
use crate::cli::platform::ByteByByte;
use crate::cli::provision::own_sender;
use crate::cli::receive::{listen_at, reachable_at};
use crate::cli::simulate::qemu::{Emulated, Forward};
use crate::cli::ui::{Event, Reader, Ui};
use crate::error::{Class, Error, shown};
use crate::home::Home;
use crate::name::Name;
use crate::net::{Endpoint, listen};
use crate::provision::{Images, Plan, image_error};
use crate::simulation::flash::{self, Durable};
use crate::simulation::state::{State, UNPROVISIONED, read_image};
use crate::simulation::{self, Port};
use crate::trust::Trust;

/// The default type of board to simulate. The hosted board keeps its flash in the same place as the emulated one.
const BOARD: &str = "mps2";
/// The default name of a board.
const UNNAMED: &str = "simulated";
/// The folder in the configuration folder that holds the boards' folders.
const BOARDS: &str = "boards";

/// Runs the command.
pub(super) async fn run(args: Simulate, ui: &Ui) -> Result<(), Error> {
    let interrupt = Interrupt::listen();
    let at = match listen_at(Some(&args.listen))? {
        Endpoint::Everywhere(port) => (Ipv4Addr::LOCALHOST, port).into(),
        Endpoint::At(at) => at,
    };
    let board = &Board::find(args.board.as_deref().unwrap_or(BOARD))?;
    flash::check_fit(board)?;
    if !args.qemu {
        flash::check_hosted(board)?;
    }
    let given = args.identity.as_deref().map(read_identity).transpose()?;
    let name = name(args.name.as_deref(), given.as_ref().map(|(_, identity)| identity))?;
    let firmware = match args.qemu {
        true => Some(firmware(&args, at, board, &interrupt, ui).await?),
        false => None,
    };
    let home = super::home()?;
    let state = State::open(&args.state.clone().unwrap_or_else(|| folder(&home, &name)), &board.storage)?;
    let (listener, local) = listen(Endpoint::At(at)).await?;
    match given {
        Some((image, _)) => state.flash_identity(&image)?,
        None if args.unprovisioned => {
            state.flash_identity(&UNPROVISIONED)?;
            ui.say("It was never provisioned. Type `pair` at its console, then `waft pair` in another terminal.");
        }
        None if state.identity().exists() => {}
        None => provision(&name, reached_at(local), &state, &home, ui)?,
    }
    let powered = Powered { home: &home, state: &state, board, local, interrupt: &interrupt, ui };
    match firmware {
        Some(firmware) => {
            powered.tell_address(" (its console shows its address inside QEMU)");
            for Forward { from, to } in &args.forward {
                let here = SocketAddr::new(local.ip(), *from);
                // Checked here, a port that is already taken gets a clear error text.
                listen(Endpoint::At(here)).await?;
                ui.say(format!("{here} leads to port {to} of the board."));
            }
            // QEMU opens the port itself.
            drop(listener);
            powered.emulate(&firmware, &args.forward).await
        }
        None => {
            powered.tell_address("");
            powered.host(listener).await
        }
    }
}

/// Checks that a board can be emulated here, and returns the path of its firmware.
async fn firmware(
    args: &Simulate,
    at: SocketAddr,
    board: &Board,
    interrupt: &Interrupt,
    ui: &Ui,
) -> Result<PathBuf, Error> {
    if at.is_ipv6() {
        return Err(ipv4_only());
    }
    qemu::machine(board)?;
    if emulator::find(board).is_none() {
        return Err(emulator::missing(board));
    }
    if let Some(path) = &args.firmware {
        return firmware::given(path, board);
    }
    firmware::build_here(board, interrupt, ui).await
}

fn ipv4_only() -> Error {
    Error::usage("an emulated board is reached by IPv4 only")
}

/// Reads an identity image that a board would accept. Returns its bytes and the parsed identity.
fn read_identity(path: &Path) -> Result<(Zeroizing<Vec<u8>>, board::Identity), Error> {
    let image = read_image(path)?;
    let identity = board::Identity::parse(&image).map_err(|error| image_error(path, error))?;
    Ok((image, identity))
}

/// The name of the board: the one in the arguments, else the one in its identity, else the default.
fn name(typed: Option<&str>, identity: Option<&board::Identity>) -> Result<Name, Error> {
    let name = typed.unwrap_or_else(|| identity.map_or(UNNAMED, |identity| identity.name.as_str()));
    Name::new(name).map_err(Error::usage)
}

fn folder(home: &Home, name: &Name) -> PathBuf {
    // Two names that differ only in case are equal.
    home.file(BOARDS).join(name.as_str().to_ascii_lowercase())
}

/// Creates the board's identity, and trusts the board on this machine.
fn provision(name: &Name, at: SocketAddr, state: &State, home: &Home, ui: &Ui) -> Result<(), Error> {
    let own = super::open_identity(home, ui)?;
    let hostname = name.as_str().parse().map_err(|_| Error::usage(format!("{name} is not a hostname")))?;
    let plan = Plan {
        name: name.clone(),
        senders: vec![own_sender(home, own.certificate())?],
        policy: Policy { code: true, key: KeyPolicy::Typed, allow_older: false, announce: true },
        network: Network { hostname, address: board::Address::Dhcp, wifi: None },
        at: Some(at.into()),
    };
    state.erase_settings()?;
    let images = Images { identity: state.identity(), seed: None };
    plan.check(home, &images)?;
    let peer = plan.carry_out(home, own.certificate(), &images)?;
    let fingerprint = peer.certificate.fingerprint();
    ui.say(format!("Made an identity for {name}, fingerprint {fingerprint}, in {}.", shown(state.path())));
    ui.say(format!("It trusts this machine to send; here it is trusted to receive: waft send FOLDER {name}"));
    Ok(())
}

/// The address at which `waft send` on this machine reaches a listener.
fn reached_at(local: SocketAddr) -> SocketAddr {
    match local.ip() {
        ip if !ip.is_unspecified() => local,
        IpAddr::V4(_) => (Ipv4Addr::LOCALHOST, local.port()).into(),
        IpAddr::V6(_) => (std::net::Ipv6Addr::LOCALHOST, local.port()).into(),
    }
}

/// A running board.
struct Powered<'a> {
    home: &'a Home,
    state: &'a State,
    board: &'a Board,
    local: SocketAddr,
    interrupt: &'a Interrupt,
    ui: &'a Ui,
}

impl Powered<'_> {
    /// Runs the board in this process.
    async fn host(&self, listener: TcpListener) -> Result<(), Error> {
        let port = Port::new(listener, self.local);
        let flash = self.state.flash();
        self.remember_address()?;
        // If the terminal delivers every key at once, it does not echo, so the console echoes, as on a bare serial line.
        // Otherwise the console receives whole lines.
        let mode = if self.ui.is_json() { None } else { ByteByByte::begin() };
        let console = |flash| Console::new(self.ui, flash);
        let identity = || self.state.parse_identity();
        let serve = simulation::serve(identity, &flash, &self.board.storage, port.clone(), console, mode.is_some());
        let ready = async {
            port.open().await;
            self.tell_ready();
            Ok(())
        };
        tokio::select! {
            ended = async { tokio::try_join!(serve, ready) } => ended.map(|_| ()),
            () = self.interrupt.raised() => Err(self.off()),
        }
    }

    /// Runs the board in QEMU.
    async fn emulate(&self, firmware: &Path, forwards: &[Forward]) -> Result<(), Error> {
        let SocketAddr::V4(at) = self.local else { return Err(ipv4_only()) };
        self.remember_address()?;
        let mut board = Emulated::power_on(self.board, firmware, self.state, at, forwards, self.ui)?;
        let ended = tokio::select! {
            ended = board.serve(|| self.tell_ready()) => ended,
            () = self.interrupt.raised() => Err(self.off()),
        };
        board.power_off().await;
        ended
    }

    /// Prints the board's addresses. Called before its console is shown, because a text would split the console's
    /// lines.
    fn tell_address(&self, remark: &str) {
        let addresses: Vec<String> = reachable_at(self.local).iter().map(ToString::to_string).collect();
        match addresses.is_empty() {
            true => self.ui.say(format!("No other machine can reach it: this one has no network{remark}.")),
            false => self.ui.say(format!("Senders reach it at {}{remark}.", addresses.join(", "))),
        }
    }

    fn off(&self) -> Error {
        if self.ui.has_user() {
            // The console's last line may be unfinished.
            self.ui.print("");
        }
        powered_off(self.state.path())
    }

    /// Stores the board's address, so that a sender on this machine finds it.
    fn remember_address(&self) -> Result<(), Error> {
        if let Ok(identity) = self.state.parse_identity()? {
            Trust::remember(self.home, identity.certificate_hash(), reached_at(self.local).into())?;
        }
        Ok(())
    }

    /// Reports that the board is listening.
    fn tell_ready(&self) {
        let address = Address::from(reached_at(self.local)).to_string();
        self.ui.event(&Event::Ready { address: Some(&address), addresses: std::slice::from_ref(&address), code: None });
    }
}

/// The error for a simulated board that was switched off.
fn powered_off(state: &Path) -> Error {
    Error::new(
        Class::Interrupted,
        "The board was switched off.",
        format!("What it has stays in {}: the next `waft simulate` continues from there.", shown(state)),
    )
}

/// Longest line that is kept, in bytes. An event does not contain the rest of a longer line.
const LINE_MAX: usize = 4096;
/// The escape sequence with which a board that echoes input erases the current line, before it writes the line anew.
const REDRAW: &str = "\x1b[K";
/// The prompts of a board. A board that echoes input writes it after the prompt, in the same line.
const PROMPTS: [&str; 2] = ["> ", "key> "];

/// Shows the output of a board's console in this terminal.
pub(super) struct Screen<'a> {
    ui: &'a Ui,
    /// The current line of the output so far, without text that the board has erased.
    line: Zeroizing<Vec<u8>>,
    /// Whether the board has written a line that is not empty.
    has_begun: bool,
}

impl<'a> Screen<'a> {
    pub(super) fn new(ui: &'a Ui) -> Self {
        Self { ui, line: empty(), has_begun: false }
    }

    /// Prints the bytes unchanged, or with `--json` reports complete lines as events instead.
    pub(super) fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.take(bytes);
        if self.ui.is_json() { Ok(()) } else { self.ui.console(bytes, &self.line) }
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.line.len() == LINE_MAX => {}
                byte => self.line.push(*byte),
            }
            if self.line.ends_with(REDRAW.as_bytes()) {
                // The erased text may have been a key that the user typed.
                self.line.zeroize();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::replace(&mut self.line, empty());
        if !self.ui.is_json() {
            return;
        }
        if let Some(text) = self.event(&String::from_utf8_lossy(&line)) {
            self.ui.event(&Event::Console { text });
        }
    }

    /// The text of the event for a complete line. `None` for a line that is not reported: one with a prompt, or an
    /// empty line before the first text. A board starts with a line break, in case its terminal shows an unfinished
    /// line.
    fn event<'t>(&mut self, line: &'t str) -> Option<&'t str> {
        let text = event_text(line)?;
        self.has_begun |= !text.is_empty();
        self.has_begun.then_some(text)
    }
}

/// An empty line with room for [`LINE_MAX`] bytes. Because it never grows, no copy of a key stays in memory.
fn empty() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(LINE_MAX))
}

/// The text of a complete line, without carriage returns. `None` for a line that begins with a prompt, because the
/// user's input after the prompt may be a key.
fn event_text(line: &str) -> Option<&str> {
    let text = line.trim_matches('\r');
    (!PROMPTS.iter().any(|prompt| text.starts_with(prompt))).then_some(text)
}

/// The terminal, as the console of a board that runs in this process.
pub(super) struct Console<'a> {
    screen: Screen<'a>,
    input: Reader,
    /// Input that came from the terminal, and that the board has not read yet.
    rest: Zeroizing<Vec<u8>>,
    /// Makes data in the flash durable before output is shown, because the output may say that the data is stored.
    flash: Durable,
}

impl<'a> Console<'a> {
    /// Creates the console on standard input and output.
    pub(super) fn new(ui: &'a Ui, flash: Durable) -> Self {
        Self { screen: Screen::new(ui), input: Reader::start(), rest: Zeroizing::default(), flash }
    }
}

impl ErrorType for Console<'_> {
    type Error = io::Error;
}

impl Read for Console<'_> {
    /// Cancel-safe. Returns 0 once the input has ended.
    async fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            match self.input.next().await {
                Some(more) => self.rest = more,
                None => return Ok(0),
            }
        }
        let count = bytes.len().min(self.rest.len());
        for (to, from) in bytes.iter_mut().zip(self.rest.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

impl Write for Console<'_> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flash.sync()?;
        self.screen.show(bytes).map(|()| bytes.len())
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_called_what_was_typed() {
        assert_eq!(name(Some("kitchen"), None).unwrap().as_str(), "kitchen");
        assert_eq!(name(None, None).unwrap().as_str(), UNNAMED);
        assert!(name(Some("a b"), None).is_err());
    }

    #[test]
    fn boards_of_one_name_have_one_folder() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::at(place.path()).unwrap();
        let path = |name| folder(&home, &Name::new(name).unwrap());
        assert_eq!(path("Kitchen"), path("kitchen"));
        assert!(path("kitchen").starts_with(home.path().join(BOARDS)));
    }

    #[test]
    fn everywhere_is_reached_here() {
        for (local, reached) in [("0.0.0.0:5", "127.0.0.1:5"), ("[::]:5", "[::1]:5"), ("192.0.2.7:5", "192.0.2.7:5")] {
            assert_eq!(reached_at(local.parse().unwrap()).to_string(), reached);
        }
    }

    /// The texts of the events that are reported for `written`, the output of a board.
    fn lines(written: &str) -> Vec<String> {
        let ui = Ui::answered("");
        let mut screen = Screen::new(&ui);
        let mut lines = Vec::new();
        for part in written.split_inclusive('\n') {
            screen.take(part.trim_end_matches('\n').as_bytes());
            let line = String::from_utf8_lossy(&screen.line).into_owned();
            lines.extend(screen.event(&line).map(str::to_owned));
            screen.take(b"\n");
        }
        lines
    }

    #[test]
    fn a_redrawn_line_is_reported_with_its_last_text() {
        assert_eq!(lines("Listening at 127.0.0.1:12346.\r\n"), ["Listening at 127.0.0.1:12346."]);
        assert_eq!(lines("\r\x1b[K> \r\x1b[KCode: 1 2 3 4\r\n"), ["Code: 1 2 3 4"]);
    }

    #[test]
    fn empty_lines_are_reported_only_after_the_first_text() {
        assert_eq!(lines("\r\n\n"), [""; 0]);
        assert_eq!(lines("\r\nattic\r\n\r\nlast\r\n"), ["attic", "", "last"]);
    }

    #[test]
    fn typed_input_is_not_reported() {
        for typed in ["key> 0123-4567-89AB-CDEF", "> 0123-4567-89AB-CDEF", "> 0123456789abcdef", "> list"] {
            assert_eq!(lines(&format!("\r\x1b[K{typed}\r\n")), [""; 0], "{typed}");
        }
        assert_eq!(lines("\r\x1b[K> 0123456789abcdef\r\x1b[KCode: 1 2 3 4\r\n"), ["Code: 1 2 3 4"]);
    }
}
