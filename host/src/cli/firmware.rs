//! `waft firmware`: puts the program of a board into a file that updates it. Identity, settings, seed and folder of the board
//! stay as they are, because the file has no content for their addresses.

use std::path::{Path, PathBuf, absolute};

use crate::board::{Board, CommandLine};
use crate::cli::arguments::Firmware;
use crate::cli::interrupt::Interrupt;
use crate::cli::simulate::firmware::build_here;
use crate::cli::ui::{Event, Ui};
use crate::error::{Error, shown};
use crate::files::{NewFile, folder_of};
use crate::image::{Format, Image};

/// Runs the command.
pub(super) async fn run(args: Firmware, ui: &Ui) -> Result<(), Error> {
    super::check_is_file(&args.output, "standard output")?;
    let board = &Board::find(&args.board)?;
    let format = format_of(board, &board.update_commands)?;
    let output = args.output.as_path();
    check_nameable(output)?;
    if output.symlink_metadata().is_ok() {
        return Err(Error::exists(output));
    }
    let program = given_or_built(args.firmware, board, &Interrupt::listen(), ui).await?;
    let file = Image::read(&program, board)?.encode(format);
    let written = NewFile::write_public(folder_of(output), &file).and_then(|new| new.publish(output));
    written.map_err(|cause| Error::file(output, cause))?.keep();
    let commands: Vec<String> = board.flash_update(output).into_iter().map(|CommandLine { line, .. }| line).collect();
    ui.say(format!("Put the program into {}, for: {}. Nothing else on the board changes.", shown(output), board.title));
    ui.event(&Event::Firmware { board: &board.name, path: shown(output), commands: &commands });
    print_how(output, format, &commands, ui);
    Ok(())
}

/// Rejects a file that a command cannot name: commands are text, and its path is not.
pub(super) fn check_nameable(file: &Path) -> Result<(), Error> {
    let path = absolute(file).map_err(|cause| Error::file(file, cause))?;
    match path.to_str() {
        Some(_) => Ok(()),
        None => {
            let why = format!("the path {} is not UTF-8, so no command for a flashing tool can name it", shown(path));
            Err(Error::usage(why).with_advice("Rename it, or choose another folder."))
        }
    }
}

/// A program that is given, or one that is built here.
pub(super) async fn given_or_built(
    given: Option<PathBuf>,
    board: &Board,
    interrupt: &Interrupt,
    ui: &Ui,
) -> Result<PathBuf, Error> {
    match given {
        Some(path) => Ok(path),
        None => build_here(board, interrupt, ui).await,
    }
}

/// The format of a file that these commands flash. An error if the board takes no such file.
pub(super) fn format_of(board: &Board, commands: &[String]) -> Result<Format, Error> {
    check_real(board)?;
    Format::of(board, commands).ok_or_else(|| {
        let why = format!("nothing that flashes the board {} takes such a file", board.name);
        Error::usage(why).with_advice(
            "Flash each part by itself, with the commands that `waft provision` prints without --firmware. To update a \
             board in use, run only the command that flashes the firmware. The keys `flash.uf2`, `flash.image` and `flash.update` of a \
             description say what a board takes.",
        )
    })
}

/// Rejects an emulated board, whose program is never flashed.
pub(super) fn check_real(board: &Board) -> Result<(), Error> {
    match &board.machine {
        None => Ok(()),
        Some(_) => {
            let advice = format!(
                "Run its program by `waft simulate --qemu --board {}`, with --firmware ELF if it was built elsewhere.",
                board.name
            );
            Err(Error::usage(format!("the board {} is emulated, so nothing is flashed", board.name))
                .with_advice(advice))
        }
    }
}

/// How a UF2 file is flashed, as the end of a sentence.
pub(super) fn by_drive(file: &Path) -> String {
    format!(
        "hold the button BOOTSEL while you connect the board by USB, and copy {} onto the drive that appears.",
        shown(file)
    )
}

/// Prints how a file is flashed: by a tool, or by copying it onto a drive.
pub(super) fn print_how(file: &Path, format: Format, commands: &[String], ui: &Ui) {
    if let Format::Uf2(_) = format {
        ui.print(format!("\nTo flash it, {}", by_drive(file)));
    }
    match (format, commands.is_empty()) {
        (_, true) => {}
        (Format::Uf2(_), false) => ui.print("Or with a tool:"),
        (Format::Hex, false) => ui.print("\nTo flash it:"),
    }
    commands.iter().for_each(|command| ui.print_command(command));
    ui.print("");
}
