//! `waft flash`: runs the commands that flash a board which `waft provision` has made an identity for.
//!
//! ```text
//! provisioned.json ─► kind of board, its files ─► commands of the description ─► confirmation ─► probe-rs, espflash, picotool
//! ```
//!
//! The commands get paths as arguments, never a secret: the private key stays in the file. `tools` finds the programs, and
//! `record` remembers where the files are.

pub(super) mod record;
mod tools;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::Command;
use waft_receiver::identity as board_identity;

use self::record::{Provisioned, Record, check_readable, sha256};
use crate::board::{Board, CommandLine, FlashFiles};
use crate::cli::arguments::Flash;
use crate::cli::firmware::{by_drive, check_nameable, check_real, given_or_built};
use crate::cli::interrupt::Interrupt;
use crate::cli::simulate::firmware::project;
use crate::cli::ui::{AskError, Event, Question, Ui, yes_or_no};
use crate::error::{Class, Error, shown};
use crate::image::{Format, Image, check_program};
use crate::name::Name;
use crate::provision::image_error;
use crate::simulation::state::read_image;
use crate::trust::Trust;

/// Runs the command.
pub(super) async fn run(args: Flash, ui: &Ui) -> Result<(), Error> {
    let name = Name::new(&args.name).map_err(Error::usage)?;
    let (home, trust) = super::open_home()?;
    let target = Target::find(&name, &args, Record::load(&home)?.find(&name))?;
    check_real(&target.board)?;
    target.check(&name, &trust)?;
    let interrupt = Interrupt::listen();
    let folder = target.board.folder.clone().or_else(|| project(&target.board).ok());
    // Before anything is built: the tools are known without the program.
    target.check_tools(&name, folder.as_deref())?;
    // Without a terminal nothing is asked: a line of the input may be meant for another command.
    if !args.yes && !ui.is_at_terminal() {
        return Err(AskError::NoAnswer(Question::Confirmation).into());
    }
    let firmware = match target.source {
        Source::Combined { .. } => None,
        Source::Separate => Some(program(args.firmware, &target.board, &interrupt, ui).await?),
    };
    let commands = target.commands(firmware.as_deref());
    if !args.yes {
        confirm(&name, &target, &commands, &interrupt, ui).await?;
    }
    for command in &commands {
        run_command(command, folder.as_deref(), &interrupt, ui).await?;
    }
    ui.done(format!("{name} is flashed."));
    ui.must(format!("{} holds the only copy of its private key: delete the file now.", shown(&target.file)));
    if let Some(seed) = target.seed() {
        ui.must(format!("Delete {} as well: flashed again, it may repeat random numbers.", shown(seed)));
    }
    Ok(())
}

/// What is flashed onto which kind of board.
struct Target {
    board: Board,
    /// The identity image, or the file with everything.
    file: PathBuf,
    source: Source,
}

/// What the file of a board holds.
#[derive(PartialEq, Eq)]
enum Source {
    /// The identity.
    Separate,
    /// The identity, the seed and the program.
    Combined {
        /// The SHA-256 of the file that `waft provision` made, in hexadecimal, if that is known.
        sha256: Option<String>,
    },
}

impl Target {
    /// Combines what is remembered of a board and what the command line says.
    fn find(name: &Name, args: &Flash, known: Option<&Provisioned>) -> Result<Self, Error> {
        let typed = args.board.as_deref().map(Board::find).transpose()?;
        // A description that was moved or damaged since does not matter if its new place is given.
        let remembered = known.map(|known| Board::find(&known.board).map_err(|error| moved(&known.board, error)));
        let board = match (typed, remembered) {
            (Some(typed), Some(Ok(known))) if typed.name != known.name => {
                return Err(other_board(name, &typed, &known));
            }
            (Some(board), _) => board,
            (None, Some(remembered)) => remembered?,
            (None, None) => return Err(unknown(&format!("which kind of board {name} is"))),
        };
        // A program that is given takes the place of the one in a file with everything.
        match (&args.identity, known) {
            // A file with everything that was moved.
            (Some(file), Some(Provisioned { combined: true, sha256: Some(known), .. }))
                if args.firmware.is_none() && sha256(file).is_ok_and(|found| found == *known) =>
            {
                Ok(Self { board, file: file.clone(), source: Source::Combined { sha256: Some(known.clone()) } })
            }
            (Some(file), _) => Ok(Self { board, file: file.clone(), source: Source::Separate }),
            (None, Some(Provisioned { file, combined: true, sha256, .. })) if args.firmware.is_none() => {
                Ok(Self { board, file: file.clone(), source: Source::Combined { sha256: sha256.clone() } })
            }
            (None, Some(Provisioned { file, combined: false, .. })) => {
                Ok(Self { board, file: file.clone(), source: Source::Separate })
            }
            (None, Some(known)) => Err(Error::new(
                Class::Usage,
                format!("{} holds the program of {name} already, so --firmware cannot be used.", shown(&known.file)),
                "Leave --firmware out; or, to flash just another program, use `waft firmware`.",
            )),
            (None, None) => Err(unknown(&format!("where the identity image of {name} is"))),
        }
    }

    /// The file with the first record of the seed, if it is one of its own.
    fn seed(&self) -> Option<PathBuf> {
        self.board.seed_image(&self.file).filter(|_| self.source == Source::Separate)
    }

    /// Checks that the files can be read and named, and are those of the board with this name.
    fn check(&self, name: &Name, trust: &Trust) -> Result<(), Error> {
        let Self { board, file, source } = self;
        for path in std::iter::once(file).chain(&self.seed()) {
            check_nameable(path)?;
            check_readable(path).map_err(|cause| match cause.kind() {
                ErrorKind::NotFound => gone(path, board),
                _ => Error::file(path, cause),
            })?;
        }
        if let Source::Combined { sha256 } = source {
            return check_digest(file, sha256.as_deref(), name);
        }
        let image = read_image(file)?;
        let identity = board_identity::Identity::parse(&image).map_err(|error| image_error(file, error))?;
        let is_of_board = match trust.by_name(name.as_str()) {
            Some(peer) => peer.certificate.hash() == identity.certificate_hash(),
            None => name.is(identity.name.as_str()),
        };
        if is_of_board { Ok(()) } else { Err(other_identity(file, identity.name.as_str(), name)) }
    }

    /// The commands that flash the board, with this program.
    fn commands(&self, firmware: Option<&Path>) -> Vec<CommandLine> {
        match self.source {
            Source::Separate => self.board.flash_commands(FlashFiles { identity: &self.file, firmware }),
            Source::Combined { .. } => self.board.flash_image(&self.file),
        }
    }

    /// Whether the file is UF2, and can also be copied onto the drive of the board's boot loader.
    fn is_for_drive(&self) -> bool {
        self.source != Source::Separate && self.board.uf2.is_some()
    }

    /// Checks that there are commands, and that they can be run in this folder.
    fn check_tools(&self, name: &Name, folder: Option<&Path>) -> Result<(), Error> {
        let by_drive = self.is_for_drive().then(|| by_drive(&self.file));
        let commands = self.commands(None);
        if commands.is_empty() {
            let why = format!("no command flashes {} onto {name}", shown(&self.file));
            return Err(Error::usage(why).with_advice(match by_drive {
                Some(by_drive) => format!("Instead, {by_drive}"),
                None => {
                    format!("Give its identity image with --identity, or provision {name} again without --firmware.")
                }
            }));
        }
        let checked = commands.iter().try_for_each(|command| tools::check(command, &self.board, folder));
        checked.map_err(|error| match by_drive {
            Some(by_drive) => {
                let advice = format!("{} Or {by_drive}", error.advice());
                error.with_advice(advice)
            }
            None => error,
        })
    }
}

/// Checks that a file with everything is the one that was made for the board. Its parts are not read again: any of them could
/// be another board's.
fn check_digest(file: &Path, known: Option<&str>, name: &Name) -> Result<(), Error> {
    let Some(known) = known else { return Err(unverified(file, name)) };
    let found = sha256(file).map_err(|cause| Error::file(file, cause))?;
    if found == known { Ok(()) } else { Err(other_file(file, name)) }
}

/// The program in an ELF file, given or built here, that was found to be for the board.
async fn program(given: Option<PathBuf>, board: &Board, interrupt: &Interrupt, ui: &Ui) -> Result<PathBuf, Error> {
    let program = given_or_built(given, board, interrupt, ui).await?;
    check_nameable(&program)?;
    match Format::of(board, &board.image_commands).or(Format::of(board, &board.update_commands)) {
        Some(_) => Image::read(&program, board).map(drop)?,
        // The flashing tool computes the addresses in the flash.
        None => check_program(&program, board)?,
    }
    Ok(program)
}

/// Shows the commands, and asks whether to run them. Which board is connected is not known, and what commands erase neither.
async fn confirm(
    name: &Name,
    target: &Target,
    commands: &[CommandLine],
    interrupt: &Interrupt,
    ui: &Ui,
) -> Result<(), Error> {
    ui.must(format!("These commands flash {name}:"));
    commands.iter().for_each(|command| ui.must(format!("  {}", command.line)));
    ui.must(
        "The board that is connected now, whichever it is, loses everything on it: identity, settings, trusted senders and \
         folder.",
    );
    if target.is_for_drive() {
        ui.must("It forgets its folder; the bytes stay in its flash until a new folder takes their place.");
    }
    let question = async { Ok(ui.ask(Question::Confirmation, "Flash it (yes or no)?", yes_or_no).await?) };
    match interrupt.or(question).await? {
        true => Ok(()),
        false => Err(Error::new(Class::Interrupted, "Nothing was flashed.", "The board is as it was.")),
    }
}

/// Shows a command, and runs it to its end.
async fn run_command(
    command: &CommandLine,
    folder: Option<&Path>,
    interrupt: &Interrupt,
    ui: &Ui,
) -> Result<(), Error> {
    ui.event(&Event::Running { command: &command.line });
    ui.say(&command.line);
    let mut child = Command::new(tools::find(command.program(), folder).unwrap_or_else(|| command.program().into()));
    child.args(&command.words[1..]).kill_on_drop(true);
    if let Some(folder) = folder {
        child.current_dir(folder);
    }
    if ui.is_json() {
        // Standard output is for events.
        child.stdout(Stdio::from(std::io::stderr()));
    }
    let ended = async { child.status().await.map_err(|cause| Error::file(command.program(), cause)) };
    let status = tokio::select! {
        // Ctrl-C reaches the tool, too: report the interruption rather than the tool's failure.
        status = ended => interrupt.check().map_err(unfinished).and(status)?,
        () = interrupt.raised() => return Err(unfinished(Error::interrupted())),
    };
    if status.success() { Ok(()) } else { Err(failed(command, status)) }
}

fn unfinished(interrupted: Error) -> Error {
    interrupted.with_advice("The board may be flashed in part: run the command again.")
}

/// The error for a tool that failed. Its exit status becomes that of this command.
fn failed(command: &CommandLine, status: ExitStatus) -> Error {
    let advice = "The messages of the tool are above. The commands after it were not run: when its cause is gone, run this one again.";
    Error::new(Class::Storage, format!("{} failed: {status}.", command.program()), advice).with_exit(exit_code(status))
}

/// The exit status of a process as one of this command: 128 and the signal if one ended it, as shells have it.
fn exit_code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(signal).map_or(1, |signal| signal | 0x80);
    }
    status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(1)
}

/// The error for a board of which something is not known.
fn unknown(what: &str) -> Error {
    Error::usage(format!("it is not known {what}")).with_advice(
        "`waft provision` remembers it on the machine where it runs. Elsewhere, give both: --board BOARD --identity FILE.",
    )
}

/// The error for a board of another kind than the one that was provisioned.
fn other_board(name: &Name, typed: &Board, known: &Board) -> Error {
    Error::new(
        Class::Usage,
        format!("{name} was provisioned as the board {}, and not {}.", known.name, typed.name),
        "Leave --board out; or provision the other board under a name of its own, so that it has its own identity.",
    )
}

/// The error for a remembered board whose description cannot be used any more.
fn moved(known: &str, error: Error) -> Error {
    match Path::new(known).is_absolute() && !Path::new(known).exists() {
        true => error.with_advice("If the description was moved, give its new place: --board DESCRIPTION."),
        false => error,
    }
}

/// The error for a file that was replaced or changed since it was made.
fn other_file(path: &Path, name: &Name) -> Error {
    let what = format!("{} is not the file that `waft provision` made for {name}, or was changed since.", shown(path));
    Error::new(Class::Identity, what, again(name))
}

/// The error for a file of which no digest was stored.
fn unverified(path: &Path, name: &Name) -> Error {
    let what =
        format!("It is not known whether {} is the file of {name}: an earlier version of waft made it.", shown(path));
    Error::new(Class::Identity, what, again(name))
}

fn again(name: &Name) -> String {
    format!("Provision the board again, into another file: waft trust remove {name}, then waft provision.")
}

/// The error for a file that was moved or deleted.
fn gone(path: &Path, board: &Board) -> Error {
    let advice = format!(
        "If it was moved, give its new place: --identity FILE. If it was deleted after it was flashed, make a file that updates \
         just the program: waft firmware --board {} -o FILE.",
        board.folder.as_deref().map_or_else(|| board.name.clone(), |_| "DESCRIPTION".into())
    );
    Error::new(Class::Storage, format!("{} is not there any more.", shown(path)), advice)
}

/// The error for the identity of another board.
fn other_identity(path: &Path, of: &str, name: &Name) -> Error {
    let what = match name.is(of) {
        true => format!("{} has an identity of {name} that is not trusted here.", shown(path)),
        false => format!("{} is the identity of {of}, and not of {name}.", shown(path)),
    };
    Error::new(
        Class::Identity,
        what,
        format!(
            "Give the file that `waft provision` made for {name} with --identity. If it is lost, provision the board again: \
             waft trust remove {name}, then waft provision."
        ),
    )
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn the_exit_status_is_that_of_the_tool() {
        for (status, code) in [(7 << 8, 7), (255 << 8, 255), (9, 137), (2 | 0x80, 130)] {
            assert_eq!(exit_code(ExitStatus::from_raw(status)), code, "{status:#x}");
        }
    }
}
