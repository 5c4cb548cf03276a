//! `waft simulate`: runs a board on this machine, with its console in this terminal.

mod console;
pub(super) mod firmware;
pub(super) mod qemu;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;
use waft_receiver::identity::{self as board, KeyPolicy, Network, Policy};
use zeroize::Zeroizing;

use self::console::Console;
use self::qemu::{Emulated, Forward};
use super::provision::senders;
use super::receive::{listen_at, reachable_at};
use crate::address::Address;
use crate::board::Board;
use crate::cli::arguments::Simulate;
use crate::cli::interrupt::Interrupt;
use crate::cli::platform::ByteByByte;
use crate::cli::ui::{Event, Ui};
use crate::error::{Class, Error, shown};
use crate::home::Home;
use crate::name::Name;
use crate::net::{Endpoint, listen};
use crate::provision::{Images, Plan, image_error};
use crate::simulation::socket::Port;
use crate::simulation::state::{State, read_image};
use crate::simulation::{flash, hosted};
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
    qemu::check(board)?;
    if qemu::program().is_none() {
        return Err(qemu::no_qemu());
    }
    if let Some(path) = &args.firmware {
        return firmware::given(path);
    }
    let root = match &board.folder {
        Some(project) => project.clone(),
        None => {
            let here = std::env::current_dir().map_err(|cause| Error::file(".", cause))?;
            firmware::source(&here, board).ok_or_else(firmware::no_firmware)?
        }
    };
    tokio::select! {
        // Ctrl-C reaches cargo, too: report the interruption rather than cargo's failure.
        built = firmware::build(&root, board, ui) => interrupt.check().and(built),
        () = interrupt.raised() => Err(Error::interrupted()),
    }
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
        senders: vec![senders::own(home, own.certificate())?],
        policy: Policy { code: true, key: KeyPolicy::Typed, allow_older: false },
        network: Network { hostname, address: board::Address::Dhcp, wifi: None },
        at: Some(at.into()),
    };
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
        let identity = self.state.parse_identity()?;
        let port = Port::new(listener, self.local);
        let flash = self.state.flash();
        // If the terminal delivers every key at once, it does not echo, so the console echoes, as on a bare serial line.
        // Otherwise the console receives whole lines.
        let mode = if self.ui.is_json() { None } else { ByteByByte::begin() };
        let console = |flash| Console::new(self.ui, flash);
        let serve = hosted::serve(identity, &flash, &self.board.storage, port.clone(), console, mode.is_some());
        let ready = async {
            port.open().await;
            self.tell_ready()
        };
        tokio::select! {
            ended = async { tokio::try_join!(serve, ready) } => ended.map(|_| ()),
            () = self.interrupt.raised() => Err(self.off()),
        }
    }

    /// Runs the board in QEMU.
    async fn emulate(&self, firmware: &Path, forwards: &[Forward]) -> Result<(), Error> {
        let SocketAddr::V4(at) = self.local else { return Err(ipv4_only()) };
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

    /// Reports that the board is listening, and stores its address so that a sender on this machine finds it.
    fn tell_ready(&self) -> Result<(), Error> {
        let address = Address::from(reached_at(self.local));
        if let Ok(identity) = self.state.parse_identity()? {
            Trust::remember(self.home, identity.certificate_hash(), address.clone())?;
        }
        let address = address.to_string();
        self.ui.event(&Event::Ready { address: Some(&address), addresses: std::slice::from_ref(&address), code: None });
        Ok(())
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
}
