//! A board that QEMU emulates: it runs the board's firmware, with the flash in a file and the console in this terminal.
//!
//! ```text
//! this terminal <-> this process <-> QEMU -serial stdio      UART 0, the console
//!                         state/log.bin <- -serial file      UART 1, the firmware's log
//!                                       or -chardev file     on virt, the output of semihosting
//!                       state/flash.bin <- -object memory    16 MiB of PSRAM, the flash of a board of Arm's
//!                                       or -drive pflash     on virt, a bank of flash chips of 32 MiB
//!                                       or semihosting       the flash of another board: a file where QEMU runs
//!                            127.0.0.1 -> hostfwd            the receiver's port
//! ```
//!
//! The firmware is trusted like any program that the user starts: its output reaches the terminal unchanged, and
//! semihosting gives it access to the user's files.
//!
//! QEMU ends with this process. If this process is killed, it cannot end QEMU, and no option of QEMU's releases makes it
//! end then, even when all its streams are closed. On Linux the kernel kills it (see [`platform::child`]); on macOS and
//! Windows the user has to end it. Until then its port is in use, so the board cannot be powered on twice by accident.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use ipnet::Ipv4Net;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use waft_receiver::identity::Address;

use super::{Screen, emulator};
use crate::address::PORT;
use crate::board::{BOARDS, Board};
use crate::cli::platform::{self, ByteByByte};
use crate::cli::ui::{Reader, Ui};
use crate::error::{Class, Error, shown};
use crate::simulation::state::State;

/// The machines with memory that a file backs have names that begin with this.
const BACKED: &str = "mps";
/// The machine with a RISC-V core, whose flash chips a file backs.
const VIRT: &str = "virt";
/// The text that the console prints once the board's network is up and it accepts connections.
const LISTENING: &[u8] = b"Listening at ";
/// Time that QEMU may take to end.
const EXIT_LIMIT: Duration = Duration::from_secs(2);

/// The machine of the emulator that runs the board's firmware.
pub(crate) fn machine(board: &Board) -> Result<&str, Error> {
    board.machine.as_deref().ok_or_else(|| {
        let emulated = BOARDS.iter().filter(|board| board.machine.is_some()).map(|board| board.name.as_str());
        Error::usage(format!(
            "QEMU does not emulate the board {}: leave --qemu out, or name a board that it emulates: {}",
            board.name,
            emulated.collect::<Vec<_>>().join(", ")
        ))
    })
}

/// A port of this machine that is forwarded to a port of the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forward {
    /// The port on this machine.
    pub from: u16,
    /// The port of the board.
    pub to: u16,
}

impl Forward {
    /// Parses `8080:80`.
    pub(crate) fn parse(typed: &str) -> Result<Self, String> {
        let port = |text: &str| text.parse().ok().filter(|port| *port != 0);
        let (from, to) = typed.split_once(':').ok_or("it is two ports: 8080:80")?;
        match (port(from), port(to)) {
            (Some(from), Some(to)) => Ok(Self { from, to }),
            _ => Err("a port is a number from 1 to 65535".into()),
        }
    }
}

/// An emulated board that is powered on. Dropping it powers the board off.
pub(crate) struct Emulated<'a> {
    program: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    screen: Screen<'a>,
    detector: ReadyDetector,
}

impl<'a> Emulated<'a> {
    /// Powers the board on, with `firmware` and the identity and flash of `state`. It is reachable at `at`.
    pub(crate) fn power_on(
        board: &Board,
        firmware: &Path,
        state: &State,
        at: SocketAddrV4,
        forwards: &[Forward],
        ui: &'a Ui,
    ) -> Result<Self, Error> {
        let failed = |cause| failed(board.emulator(), cause);
        let program = emulator::find(board).ok_or_else(|| emulator::missing(board))?;
        let program = std::path::absolute(program).map_err(failed)?;
        let mut command = Command::from(platform::child(&program));
        // Firmware that reaches its flash by semihosting opens it in the folder in which QEMU runs.
        command.args(arguments(board, firmware, state, at, forwards)?).current_dir(state.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(failed)?;
        let output = child.stdout.take().expect("`stdout` was set to a pipe above");
        let input = child.stdin.take();
        let (screen, detector) = (Screen::new(ui), ReadyDetector::default());
        Ok(Self { program: board.emulator(), child, input, output, screen, detector })
    }

    /// Connects the console to the terminal until the board goes off. Calls `listens` once the board can be reached.
    pub(crate) async fn serve(&mut self, mut listens: impl FnMut()) -> Result<(), Error> {
        // The board echoes the input.
        let _mode = ByteByByte::begin();
        let program = self.program;
        let failed = |cause| failed(program, cause);
        let input = self.input.take();
        let (output, screen, detector) = (&mut self.output, &mut self.screen, &mut self.detector);
        let show = async {
            let mut buffer = [0; 1024];
            loop {
                let count = output.read(&mut buffer).await.map_err(failed)?;
                if count == 0 {
                    return Ok::<(), Error>(());
                }
                screen.show(&buffer[..count]).map_err(failed)?;
                if detector.push(&buffer[..count]) {
                    listens();
                }
            }
        };
        // Run both at once: a board that echoes input accepts no more of it while its output is not read.
        tokio::select! {
            shown = show => shown?,
            never = pass_on(input) => never,
        }
        Err(self.ended().await?)
    }

    /// The reason why the emulator ended unexpectedly.
    async fn ended(&mut self) -> Result<Error, Error> {
        let status: ExitStatus = self.child.wait().await.map_err(|cause| failed(self.program, cause))?;
        Ok(qemu_ended(&status.to_string()))
    }

    /// Switches the board off.
    pub(crate) async fn power_off(mut self) {
        // The process is killed, so a failure here leaves only its exit to wait for.
        let _ = self.child.start_kill();
        let _ = timeout(EXIT_LIMIT, self.child.wait()).await;
    }
}

/// Copies typed input to the board, for ever: the end of the board is noticed by its output. The board's input stays
/// open after the end of the typed input.
async fn pass_on(input: Option<ChildStdin>) -> ! {
    let (mut typed, mut input) = (Reader::start(), input);
    loop {
        let (Some(mut bytes), Some(open)) = (typed.next().await, &mut input) else { std::future::pending().await };
        // A terminal in line mode ends a line with a line feed; a serial terminal sends a carriage return.
        bytes.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b'\r');
        if open.write_all(&bytes).await.is_err() || open.flush().await.is_err() {
            input = None;
        }
    }
}

fn failed(program: &str, cause: io::Error) -> Error {
    Error::file(program, cause)
}

fn arguments(
    board: &Board,
    firmware: &Path,
    state: &State,
    at: SocketAddrV4,
    forwards: &[Forward],
) -> Result<Vec<String>, Error> {
    // The firmware's path is an argument of its own. The other paths are parts of options, where a comma must be
    // doubled.
    let firmware = word(firmware)?;
    let value = |path: PathBuf| word(&path).map(|word| word.replace(',', ",,"));
    let (identity, flash, log) = (value(state.identity())?, value(state.flash())?, value(state.log())?);
    let (identity_at, size) = (board.identity.at, board.storage.size);
    // An invalid identity is reported on the board's console.
    let address = state.parse_identity()?.map_or(Address::Dhcp, |identity| identity.network.address);
    let machine = machine(board)?;
    let parts = Parts { flash, size, log, nic: nic(&address, at, forwards) };
    let others = if machine == VIRT { parts.of_virt() } else { parts.of_arm(machine) };
    let identity = format!("loader,file={identity},addr={identity_at:#x},force-raw=on");
    let common = ["-device", &identity, "-display", "none", "-monitor", "none", "-serial", "stdio"].map(str::to_owned);
    Ok(common.into_iter().chain(others).chain([firmware]).collect())
}

/// The values of arguments that depend on the machine.
struct Parts {
    flash: String,
    size: u32,
    log: String,
    nic: String,
}

impl Parts {
    /// The arguments of one of Arm's machines, or of one that reaches its flash by semihosting. The firmware follows them.
    fn of_arm(&self, machine: &str) -> Vec<String> {
        let Self { flash, size, log, nic } = self;
        let memory = format!("memory-backend-file,id=nor,size={size},mem-path={flash},share=on");
        let machine = match machine.starts_with(BACKED) {
            true => vec!["-M".to_owned(), format!("{machine},memory-backend=nor"), "-object".to_owned(), memory],
            false => vec!["-M".to_owned(), machine.to_owned()],
        };
        let log = format!("file:{log}");
        let rest = ["-serial", &log, "-semihosting-config", "enable=on,target=native", "-nic", nic, "-kernel"];
        machine.into_iter().chain(rest.map(str::to_owned)).collect()
    }

    /// The arguments of virt. The firmware follows them.
    fn of_virt(&self) -> Vec<String> {
        let Self { flash, log, nic, .. } = self;
        let arguments = [
            "-M",
            VIRT,
            // The machine would start from unit 0.
            "-drive",
            &format!("if=pflash,unit=1,format=raw,file={flash}"),
            "-chardev",
            &format!("file,id=log,path={log}"),
            "-semihosting-config",
            "enable=on,target=native,chardev=log",
            "-netdev",
            nic,
            "-device",
            "virtio-net-device,netdev=net",
            // With flash chips that a file backs, the machine does not start a program that is given by -kernel.
            "-bios",
        ];
        arguments.map(str::to_owned).into()
    }
}

/// The board's network. By default QEMU's network gives the board an address by DHCP. If the identity has a static
/// address, the network is configured to match it.
fn nic(address: &Address, at: SocketAddrV4, forwards: &[Forward]) -> String {
    let (network, board) = match address {
        Address::Dhcp => (String::new(), String::new()),
        Address::Static { address, prefix, gateway, .. } => {
            let (board, gateway) = (Ipv4Addr::from(*address), gateway.map(Ipv4Addr::from));
            let subnet =
                Ipv4Net::new(board, *prefix).expect("an identity with a longer prefix does not parse").network();
            let others = (1..=4).map(|host| Ipv4Addr::from_bits(subnet.to_bits() | host));
            let others = others.filter(|other| *other != board && Some(*other) != gateway);
            // QEMU takes two addresses: its host, through which the board reaches other networks, and its DNS server.
            let hosts: Vec<Ipv4Addr> = gateway.into_iter().chain(others).collect();
            let (host, dns) = (hosts[0], hosts[1]);
            (format!(",net={board}/{prefix},host={host},dns={dns}"), board.to_string())
        }
    };
    let receiver = Forward { from: at.port(), to: PORT };
    let forwards = std::iter::once(&receiver).chain(forwards);
    let forwards = forwards.map(|Forward { from, to }| format!(",hostfwd=tcp:{}:{from}-{board}:{to}", at.ip()));
    format!("user,id=net{network}{}", forwards.collect::<String>())
}

fn word(path: &Path) -> Result<String, Error> {
    let path = std::path::absolute(path).map_err(|cause| Error::file(path, cause))?;
    let no_text = || Error::usage(format!("QEMU cannot be given the path {}", shown(&path)));
    path.to_str().map(str::to_owned).ok_or_else(no_text)
}

/// The error for an emulator that ended unexpectedly.
fn qemu_ended(how: &str) -> Error {
    Error::new(
        Class::Broken,
        format!("The emulated board stopped unexpectedly: QEMU ended with {how}."),
        "Look at its last messages. What the board has stays: the next `waft simulate` continues from there.",
    )
}

/// Detects when the console prints that the board listens.
#[derive(Default)]
struct ReadyDetector {
    matched: usize,
    is_reported: bool,
}

impl ReadyDetector {
    /// Returns `true` when the text is complete for the first time.
    fn push(&mut self, bytes: &[u8]) -> bool {
        for byte in bytes {
            self.matched = match *byte == LISTENING[self.matched] {
                true => self.matched + 1,
                false => usize::from(*byte == LISTENING[0]),
            };
            if self.matched == LISTENING.len() {
                self.matched = 0;
                return !std::mem::replace(&mut self.is_reported, true);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_without_a_machine_is_not_emulated() {
        let machine = |name| machine(Board::named(name).unwrap());
        assert_eq!(machine("mps2").unwrap(), "mps2-an386");
        assert_eq!(machine("mps2-an505").unwrap(), "mps2-an505");
        assert_eq!(machine("lm3s6965evb").unwrap(), "lm3s6965evb");
        let error = machine("nucleo-h563zi").unwrap_err().to_string();
        assert!(error.contains("not emulate the board nucleo-h563zi") && error.contains("mps2, mps2-an505"), "{error}");
    }

    #[test]
    fn listening_is_detected_once() {
        let mut detector = ReadyDetector::default();
        assert!(!detector.push(b"kitchen\r\nListLis"));
        assert!(detector.push(b"tening at 10.0.2.15:12346."));
        assert!(!detector.push(b"\r\nListening at 10.0.2.15:12346."), "it was reset");
    }

    #[test]
    fn the_network_contains_the_static_address_of_the_board() {
        let nic = |prefix, gateway| {
            let address = Address::Static { address: [10, 1, 2, 1], prefix, gateway, dns: None };
            nic(&address, SocketAddrV4::new([127, 0, 0, 1].into(), 5), &[])
        };
        let forward = "hostfwd=tcp:127.0.0.1:5-10.1.2.1:12346";
        assert_eq!(nic(24, None), format!("user,id=net,net=10.1.2.1/24,host=10.1.2.2,dns=10.1.2.3,{forward}"));
        let gateway = Some([10, 1, 0, 1]);
        assert_eq!(nic(16, gateway), format!("user,id=net,net=10.1.2.1/16,host=10.1.0.1,dns=10.1.0.2,{forward}"));
    }

    #[test]
    fn more_ports_are_forwarded_to_the_board() {
        let at = SocketAddrV4::new([127, 0, 0, 2].into(), 5);
        let forwards = ["8080:80", "8443:443"].map(|typed| Forward::parse(typed).unwrap());
        assert_eq!(
            nic(&Address::Dhcp, at, &forwards),
            "user,id=net,hostfwd=tcp:127.0.0.2:5-:12346,hostfwd=tcp:127.0.0.2:8080-:80,hostfwd=tcp:127.0.0.2:8443-:443"
        );
    }

    #[test]
    fn the_flash_of_some_machines_is_a_file() {
        let folder = tempfile::tempdir().unwrap();
        for (name, option) in [("mps2", "mem-path="), ("virt", "if=pflash,unit=1,"), ("lm3s6965evb", "")] {
            let board = Board::named(name).unwrap();
            let state = State::open(&folder.path().join(name), &board.storage).unwrap();
            state.flash_identity(b"none").unwrap();
            let at = SocketAddrV4::new([127, 0, 0, 1].into(), 5);
            let arguments = arguments(board, Path::new("/x.elf"), &state, at, &[]).unwrap();
            let mut files = arguments.iter().filter(|word| word.contains("flash.bin"));
            assert!(files.next().map_or("", String::as_str).contains(option), "{arguments:?}");
            assert_eq!(files.count(), 0, "{arguments:?}");
            assert_eq!(arguments.iter().filter(|word| word.contains("log.bin")).count(), 1, "{arguments:?}");
        }
    }

    #[test]
    fn a_comma_in_a_path_does_not_end_an_option() {
        let folder = tempfile::tempdir().unwrap();
        let board = Board::named("mps2-an505").unwrap();
        let state = State::open(&folder.path().join("a,b"), &board.storage).unwrap();
        state.flash_identity(b"none").unwrap();
        let at = SocketAddrV4::new([127, 0, 0, 1].into(), 5);
        let arguments = arguments(board, Path::new("/x,y.elf"), &state, at, &[]).unwrap();
        assert!(arguments.iter().any(|word| word == "mps2-an505,memory-backend=nor"), "{arguments:?}");
        let state = Path::new("a,,b");
        let names = |file| state.join(file).to_str().unwrap().to_owned();
        assert!(arguments.iter().any(|word| word.contains(&names("flash.bin,share=on"))), "{arguments:?}");
        assert!(arguments.iter().any(|word| word.ends_with(&names("log.bin"))), "{arguments:?}");
        assert!(arguments.iter().any(|word| word.ends_with("hostfwd=tcp:127.0.0.1:5-:12346")), "{arguments:?}");
        assert_eq!(arguments.last().unwrap(), std::path::absolute("/x,y.elf").unwrap().to_str().unwrap());
    }
}
