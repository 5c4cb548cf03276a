//! The command line: commands, arguments, options and their help texts; and what is generated from this definition, the
//! completion scripts and the manual.
//!
//! Secrets have no option, on purpose: every process of the machine can read the arguments of a command. Codes and
//! keys come from a prompt, a piped line or the environment; see `ui`.

mod boards;
pub(super) mod help;

use std::ffi::OsString;
use std::iter::{once, successors};
use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use waft_core::path::{FolderName, PathError};

use self::help::{AFTER_HELP, FIND_HELP, OPEN_HELP, PAIR_HELP, RECEIVE_HELP, SEND_HELP};
pub(crate) use boards::{Firmware, Flash, NetworkArgs, PolicyArgs, Provision, Simulate};

/// A command line that was parsed.
pub(crate) struct Typed {
    /// The parsed arguments.
    pub cli: Cli,
    /// The command, without options and arguments: `waft trust add`.
    pub command: String,
}

/// Parses a command line. As in clap, requests for help or the version are returned as errors.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Typed, clap::Error> {
    let mut matches = Cli::command().try_get_matches_from(arguments)?;
    let subcommands = successors(matches.subcommand(), |(_, below)| below.subcommand()).map(|(name, _)| name);
    let command = once("waft").chain(subcommands).collect::<Vec<_>>().join(" ");
    let cli = Cli::from_arg_matches_mut(&mut matches)?;
    Ok(Typed { cli, command })
}

/// The output options in a command line that cannot be parsed as a whole.
pub(crate) fn output_options(arguments: &[OsString]) -> OutputOptions {
    let mut options = arguments.iter().take_while(|argument| *argument != "--");
    OutputOptions { json: options.any(|argument| argument == "--json"), ..OutputOptions::default() }
}

/// Send a folder to a board or another computer, securely.
#[derive(Parser, Debug)]
#[command(name = "waft", version, max_term_width = 100, after_help = AFTER_HELP, propagate_version = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to print output.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// How the command prints output for its user or for a script.
#[derive(Args, Debug, Clone, Copy, Default)]
pub(crate) struct OutputOptions {
    /// Print one JSON event a line on standard output
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// Print only errors and what the user must know
    #[arg(long, short, global = true, help_heading = "Output", conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more details
    #[arg(long, short, global = true, help_heading = "Output")]
    pub verbose: bool,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Create (at first use) and show this machine's identity
    Id(Id),
    /// Manage the machines that this one trusts
    #[command(subcommand)]
    Trust(Trust),
    /// Pair with another machine or a board by a short code, so that both trust each other
    Pair(Pair),
    /// Wait for a folder and receive it
    Receive(Receive),
    /// Send files and folders
    Send(Send),
    /// List the receivers that announce themselves on this network
    Find(Find),
    /// Encrypt a folder into a file
    Seal(Seal),
    /// Unpack a file that `waft seal` made
    Open(Open),
    /// Create the identity of a board, and trust it here
    Provision(Provision),
    /// Flash a board that was provisioned
    Flash(Flash),
    /// Put a board's program into a file that updates just the program
    Firmware(Firmware),
    /// Run a simulated board on this machine
    Simulate(Simulate),
    /// Run a demonstration: a simulated board is provisioned, receives a folder, and keeps it
    Demo,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// `waft id`.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Id {
    /// What to do with it instead of showing it.
    #[command(subcommand)]
    pub action: Option<IdAction>,
    /// Name of this machine, shown only here: peers know it by the name that they gave it
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Replace the identity; every machine that trusts this one has to be given the new certificate
    #[arg(long)]
    pub renew: bool,
    /// Renew without a question; needed where standard input is not a terminal
    #[arg(long, requires = "renew")]
    pub yes: bool,
}

/// Parts of an identity that can be printed.
#[derive(Subcommand, Debug)]
pub(crate) enum IdAction {
    /// Print the certificate, to be copied to the machines that should trust this one
    Cert {
        /// Write it to this file instead
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// `waft trust`.
#[derive(Subcommand, Debug)]
pub(crate) enum Trust {
    /// Trust the machine that has this certificate
    Add(TrustAdd),
    /// List the trusted machines
    List,
    /// Remove a machine from the trusted ones
    Remove {
        /// The name under which it is trusted
        name: String,
    },
}

/// `waft trust add`.
#[derive(Args, Debug)]
pub(crate) struct TrustAdd {
    /// Name for the machine on this one
    pub name: String,
    /// Its certificate, as its own `waft id cert` printed it; - is standard input
    #[arg(value_name = "CERT.pem")]
    pub certificate: PathBuf,
    /// Address where it listens [default port: 12346]
    #[arg(long, value_name = "HOST[:PORT]")]
    pub at: Option<String>,
    /// This machine only receives from it, and never sends to it
    #[arg(long, alias = "sends", conflicts_with = "send_only")]
    pub receive_only: bool,
    /// This machine only sends to it, and never receives from it
    #[arg(long, alias = "receives")]
    pub send_only: bool,
}

/// `waft pair`.
// The brackets are those of the usage text.
#[allow(rustdoc::broken_intra_doc_links)]
#[derive(Args, Debug)]
#[command(after_help = PAIR_HELP)]
pub(crate) struct Pair {
    /// Name for the other machine on this one [default: asked for]; and where it listens, if it is the one that shows the code
    #[arg(value_name = "NAME[@HOST[:PORT]]")]
    pub other: Option<String>,
    /// Address to listen on, without @HOST [default: port 12346 of every address, IPv4 and IPv6]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// This machine only receives from it, and never sends to it
    #[arg(long, alias = "sends", conflicts_with = "send_only")]
    pub receive_only: bool,
    /// This machine only sends to it, and never receives from it
    #[arg(long, alias = "receives")]
    pub send_only: bool,
    /// Do not announce on the network, with this machine's name, that it waits for a pairing
    #[arg(long)]
    pub no_announce: bool,
}

/// `waft receive`.
#[derive(Args, Debug)]
#[command(after_help = RECEIVE_HELP)]
pub(crate) struct Receive {
    /// Folder to receive into
    #[arg(long, value_name = "DIR", default_value = "received_folder")]
    pub into: PathBuf,
    /// Keep the folders of all senders side by side in this folder: DIR/anna/photos is the folder photos of anna
    #[arg(long, value_name = "DIR", conflicts_with = "into")]
    pub inbox: Option<PathBuf>,
    /// Address to listen on [default: port 12346 of every address, IPv4 and IPv6]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// End after one folder
    #[arg(long)]
    pub once: bool,
    /// Merge into a target that is not empty: files of the same name are replaced one by one, others stay
    #[arg(long, alias = "overwrite")]
    pub merge: bool,
    /// Discard what an interrupted run left for this folder, which stays as it is
    #[arg(long)]
    pub abandon: bool,
    /// Let trusted senders send without the 4-digit code
    #[arg(long)]
    pub no_code: bool,
    /// Have the keys sealed to this machine, so that no user has to type them
    #[arg(long, alias = "no-key")]
    pub sealed_key: bool,
    /// Let each sender decide between a typed and a sealed key, and thereby whether a user is asked
    #[arg(long, conflicts_with = "sealed_key")]
    pub either_key: bool,
    /// Do not announce on the network that a receiver is here
    #[arg(long)]
    pub no_announce: bool,
}

/// `waft find`.
#[derive(Args, Debug)]
#[command(after_help = FIND_HELP)]
pub(crate) struct Find {
    /// How long to look
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
}

/// Checks the name of a folder.
fn folder_name(name: &str) -> Result<String, PathError> {
    FolderName::new(name).map(|name| name.as_str().to_owned())
}

/// `waft send`.
// The brackets are those of the usage text.
#[allow(rustdoc::broken_intra_doc_links)]
#[derive(Args, Debug)]
#[command(after_help = SEND_HELP, override_usage = "waft send [OPTIONS] [PATH]... [TO]")]
pub(crate) struct Send {
    /// Files and folders [default: ./SEND_FOLDER]; last, the receiver TO: NAME, NAME@HOST[:PORT], or HOST[:PORT] while just one is trusted
    #[arg(value_name = "PATH")]
    pub arguments: Vec<PathBuf>,
    /// A receiver; given several times, the folder is sent to all of them at once. Then all arguments are files and folders
    #[arg(long, value_name = "TO")]
    pub to: Vec<String>,
    /// What the folder is called there [default: its name here, or that of the first path]
    #[arg(long = "as", value_name = "NAME", value_parser = folder_name)]
    pub name: Option<String>,
    /// Send again whenever the files change, until Ctrl-C
    #[arg(long, conflicts_with = "dry_run")]
    pub watch: bool,
    /// List what would be sent and what not, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Wait for a receiver that is not there yet, such as a board that boots
    #[arg(long)]
    pub wait: bool,
    /// Send only if a user types the key there, so that you decide who can open the folder
    #[arg(long, conflicts_with = "sealed")]
    pub typed_key: bool,
    /// Send only if the key can be sealed to the receiver, so that no user has to type it
    #[arg(long, alias = "sealed-key")]
    pub sealed: bool,
    /// What of the files and folders is sent.
    #[command(flatten)]
    pub content: ContentArgs,
}

/// What of the files and folders is sent or sealed.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Content")]
pub(crate) struct ContentArgs {
    /// Leave out what matches, in the syntax of .gitignore: '*.log', 'build/', '/notes.txt'; can be repeated
    #[arg(long, value_name = "PATTERN")]
    pub exclude: Vec<String>,
    /// Leave out what .gitignore files exclude, and .git
    #[arg(long)]
    pub gitignore: bool,
    /// Send what symbolic links lead to; without it, links are skipped
    #[arg(long)]
    pub follow_links: bool,
    /// Leave out what cannot be sent: what cannot be read, names that are not UTF-8 or hold control characters, long paths
    #[arg(long)]
    pub skip_unsendable: bool,
}

/// `waft seal`.
#[derive(Args, Debug)]
pub(crate) struct Seal {
    /// Files and folders
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// The file to create; by convention it ends in .waft
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// What of the files and folders is sealed.
    #[command(flatten)]
    pub content: ContentArgs,
}

/// `waft open`.
#[derive(Args, Debug)]
#[command(after_help = OPEN_HELP)]
pub(crate) struct Open {
    /// The file
    pub file: PathBuf,
    /// Folder to receive into
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// Merge into a target that is not empty: files of the same name are replaced one by one, others stay
    #[arg(long, alias = "overwrite")]
    pub merge: bool,
    /// Discard what an interrupted run left for this folder, which stays as it is
    #[arg(long)]
    pub abandon: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The parsed arguments of a command line, as text.
    fn parsed(line: &str) -> String {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        format!("{:?}", parse(&arguments).expect(line).cli.command)
    }

    #[test]
    fn earlier_names_of_options_still_work_and_are_not_shown() {
        for (line, earlier, name) in [
            ("waft receive", "--overwrite", "--merge"),
            ("waft receive", "--no-key", "--sealed-key"),
            ("waft open file --into dir", "--overwrite", "--merge"),
            ("waft provision --board mps2 --name kitchen -o file", "--no-key", "--sealed-key"),
            ("waft pair anna", "--sends", "--receive-only"),
            ("waft pair anna", "--receives", "--send-only"),
            ("waft trust add anna file", "--sends", "--receive-only"),
            ("waft trust add anna file", "--receives", "--send-only"),
        ] {
            let with = |option: &str| parsed(&format!("{line} {option}"));
            assert_eq!(with(earlier), with(name));
            assert_ne!(with(name), parsed(line));
        }
        let manual = String::from_utf8(help::manual()).expect("it is text").replace('\\', "");
        for earlier in ["--overwrite", "--no-key", "--sends", "--receives"] {
            assert!(!manual.contains(earlier), "{earlier}");
        }
    }

    #[test]
    fn no_option_takes_a_secret() {
        let mut commands = vec![Cli::command()];
        let mut seen = 0;
        while let Some(command) = commands.pop() {
            for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
                let name = argument.get_id().as_str();
                assert!(!["key", "code", "pass", "pin", "secret"].iter().any(|secret| name.contains(secret)), "{name}");
                seen += 1;
            }
            commands.extend(command.get_subcommands().cloned());
        }
        assert!(seen > 20, "{seen}");
    }
}
