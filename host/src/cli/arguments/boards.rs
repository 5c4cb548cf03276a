//! The arguments of the commands for boards: `provision`, `flash`, `firmware` and `simulate`.

use std::path::PathBuf;

use clap::Args;

use super::help::{FIRMWARE_HELP, FLASH_HELP, SIMULATE_HELP, provision_help};
use crate::cli::simulate::qemu::Forward;

/// `waft provision`.
#[derive(Args, Debug)]
#[command(after_help = provision_help())]
pub(crate) struct Provision {
    /// Kind of board: one of those below, or the path of a description: DIR/BOARD.toml
    #[arg(long, value_name = "BOARD")]
    pub board: String,
    /// Name of the board, here and on the board
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// The identity image to create; with --firmware, the file with everything, not on the board's drive: it is copied there
    /// afterwards
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// The program, to create one file with everything that the board's flash needs
    #[arg(long, value_name = "ELF")]
    pub firmware: Option<PathBuf>,
    /// Certificate of a sender that may send to it; can be given up to eight times [default: this machine]
    #[arg(long, value_name = "CERT.pem")]
    pub sender: Vec<PathBuf>,
    /// Address where it will listen, so that `waft send` finds it [default port: 12346]
    #[arg(long, value_name = "HOST[:PORT]")]
    pub at: Option<String>,
    /// What the board asks of senders.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// How the board gets onto its network.
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// `waft flash`.
#[derive(Args, Debug)]
#[command(after_help = FLASH_HELP)]
pub(crate) struct Flash {
    /// The name with which it was provisioned
    pub name: String,
    /// Kind of board, as for `waft provision` [default: as it was provisioned]
    #[arg(long, value_name = "BOARD")]
    pub board: Option<String>,
    /// Its identity image [default: where `waft provision` put it]
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Its program [default: built from the board's project, or the source in which the command runs]
    #[arg(long, value_name = "ELF")]
    pub firmware: Option<PathBuf>,
    /// Flash the board without a question; needed where standard input is not a terminal
    #[arg(long)]
    pub yes: bool,
}

/// `waft firmware`.
#[derive(Args, Debug)]
#[command(after_help = FIRMWARE_HELP)]
pub(crate) struct Firmware {
    /// Kind of board, as for `waft provision`
    #[arg(long, value_name = "BOARD")]
    pub board: String,
    /// Its program [default: built from the board's project, or the source in which the command runs]
    #[arg(long, value_name = "ELF")]
    pub firmware: Option<PathBuf>,
    /// The file to create, not on the board's drive: it is copied there afterwards
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
}

/// What a board asks of senders.
#[derive(Args, Debug, Clone, Copy, Default)]
#[command(next_help_heading = "Policy")]
pub(crate) struct PolicyArgs {
    /// Let its senders send without the 4-digit code
    #[arg(long)]
    pub no_code: bool,
    /// Have the keys sealed to the board, so that no user has to type them there
    #[arg(long, alias = "no-key")]
    pub sealed_key: bool,
    /// Let each sender decide between a typed and a sealed key
    #[arg(long, conflicts_with = "sealed_key")]
    pub either_key: bool,
    /// Let a folder replace one that was sent later
    #[arg(long)]
    pub allow_older: bool,
    /// Do not announce the board on its network
    #[arg(long)]
    pub no_announce: bool,
}

/// How a board gets onto its network.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// Its host name on the network [default: its name]
    #[arg(long, value_name = "HOSTNAME")]
    pub hostname: Option<String>,
    /// Its IPv4 address and the length of its subnet's prefix [default: from DHCP]
    #[arg(long, value_name = "ADDR/PREFIX")]
    pub address: Option<String>,
    /// Gateway out of its subnet
    #[arg(long, value_name = "ADDR", requires = "address")]
    pub gateway: Option<String>,
    /// Its name server
    #[arg(long, value_name = "ADDR", requires = "address")]
    pub dns: Option<String>,
    /// The name of its Wi-Fi network, on boards that have Wi-Fi
    #[arg(long, value_name = "SSID")]
    pub wifi: Option<String>,
}

/// `waft simulate`.
#[derive(Args, Debug)]
#[command(after_help = SIMULATE_HELP)]
pub(crate) struct Simulate {
    /// Name of the board [default: as its identity says, or simulated]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Kind of board, as for `waft provision` [default: mps2]
    #[arg(long, value_name = "BOARD")]
    pub board: Option<String>,
    /// The identity image to flash, into a board that has none [default: the one that it has, or a new one]
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// A board that was never provisioned: it makes its own identity, trusts nobody, and is paired by `waft pair`
    #[arg(long, conflicts_with = "identity")]
    pub unprovisioned: bool,
    /// Folder for its identity and its flash [default: boards/NAME, beside this machine's identity]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Address to listen on
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:12346")]
    pub listen: String,
    /// Run its firmware under QEMU, if that emulates the board
    #[arg(long)]
    pub qemu: bool,
    /// Its program [default: built from the board's project, or the source in which the command runs]
    #[arg(long, value_name = "ELF", requires = "qemu")]
    pub firmware: Option<PathBuf>,
    /// Forward a port of this machine to a port of the board: 8080:80; can be repeated
    #[arg(long, value_name = "PORTS", requires = "qemu", value_parser = Forward::parse)]
    pub forward: Vec<Forward>,
}
