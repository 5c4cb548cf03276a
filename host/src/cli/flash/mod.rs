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

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::process::Command;
use waft_receiver::identity as board_identity;

use self::record::{Provisioned, Record};
use crate::board::{Board, CommandLine, FlashFiles};
use crate::cli::arguments::Flash;
use crate::cli::firmware::{by_drive, check_real, given_or_built};
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
    // Before anything is built: the tools are known without the program.
    target.check_tools(&name)?;
    let firmware = match target.source {
        Source::Combined => None,
        Source::Separate => Some(program(args.firmware, &target.board, &interrupt, ui).await?),
    };
    let commands = target.commands(firmware.as_deref());
    if target.erases(&commands) && !args.yes {
        confirm(&name, &interrupt, ui).await?;
    }
    let folder = target.board.folder.clone().or_else(|| project(&target.board).ok());
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
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The identity.
    Separate,
    /// The identity, the seed and the program.
    Combined,
}

impl Target {
    /// Combines what is remembered of a board and what the command line says.
    fn find(name: &Name, args: &Flash, known: Option<&Provisioned>) -> Result<Self, Error> {
        let typed = args.board.as_deref().map(Board::find).transpose()?;
        let remembered = known.map(|known| Board::find(&known.board)).transpose()?;
        let board = match (typed, remembered) {
            (Some(typed), Some(known)) if typed.name != known.name => return Err(other_board(name, &typed, &known)),
            (Some(board), _) | (None, Some(board)) => board,
            (None, None) => return Err(unknown(&format!("which kind of board {name} is"))),
        };
        // A program that is given takes the place of the one in a file with everything.
        match (&args.identity, known) {
            (Some(file), _) => Ok(Self { board, file: file.clone(), source: Source::Separate }),
            (None, Some(Provisioned { file, combined: true, .. })) if args.firmware.is_none() => {
                Ok(Self { board, file: file.clone(), source: Source::Combined })
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

    /// Checks that the files are there, and that the identity is the one of the board with this name.
    fn check(&self, name: &Name, trust: &Trust) -> Result<(), Error> {
        let Self { board, file, source } = self;
        for path in std::iter::once(file).chain(&self.seed()) {
            if !path.exists() {
                return Err(gone(path, board));
            }
        }
        if *source == Source::Combined {
            return Ok(());
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
            Source::Combined => self.board.flash_image(&self.file),
        }
    }

    /// Checks that there are commands, and that they can be run. A UF2 file can also be flashed without any.
    fn check_tools(&self, name: &Name) -> Result<(), Error> {
        let by_drive = (self.source == Source::Combined && self.board.uf2.is_some()).then(|| by_drive(&self.file));
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
        commands.iter().try_for_each(|command| tools::check(command, &self.board)).map_err(|error| match by_drive {
            Some(by_drive) => {
                let advice = format!("{} Or {by_drive}", error.advice());
                error.with_advice(advice)
            }
            None => error,
        })
    }

    /// Whether the commands take away what the board holds. A UF2 file with everything has blank sectors for it.
    fn erases(&self, commands: &[CommandLine]) -> bool {
        let has_blanks = self.source == Source::Combined && self.board.uf2.is_some();
        has_blanks || commands.iter().any(CommandLine::erases)
    }
}

/// The program in an ELF file, given or built here, that was found to be for the board.
async fn program(given: Option<PathBuf>, board: &Board, interrupt: &Interrupt, ui: &Ui) -> Result<PathBuf, Error> {
    let program = given_or_built(given, board, interrupt, ui).await?;
    match Format::of(board, &board.image_commands).or(Format::of(board, &board.update_commands)) {
        Some(_) => Image::read(&program, board).map(drop)?,
        // The flashing tool computes the addresses in the flash.
        None => check_program(&program, board)?,
    }
    Ok(program)
}

/// Asks whether the board may be erased. Without a terminal nothing is: a line of the input may be meant for another
/// command.
async fn confirm(name: &Name, interrupt: &Interrupt, ui: &Ui) -> Result<(), Error> {
    if !ui.is_at_terminal() {
        return Err(AskError::NoAnswer(Question::Erasure).into());
    }
    ui.must(format!(
        "Everything on {name} will be erased: settings, trusted senders and the folder that it has received."
    ));
    let question = async { Ok(ui.ask(Question::Erasure, "Erase and flash it (yes or no)?", yes_or_no).await?) };
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
    let mut child = Command::new(tools::find(command.program()).unwrap_or_else(|| command.program().into()));
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
