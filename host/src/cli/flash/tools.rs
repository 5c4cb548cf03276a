//! The programs that flash boards: where they are installed, and what a user does if one is missing.

use std::path::{Path, PathBuf, absolute};

use crate::board::{Board, CommandLine};
use crate::error::{Class, Error, shown};

/// A flashing tool.
struct Tool {
    program: &'static str,
    /// What it is for.
    purpose: &'static str,
    /// How to get it.
    install: &'static str,
}

const TOOLS: [Tool; 3] = [
    Tool {
        program: "probe-rs",
        purpose: "writes to chips through a debug probe, such as the ST-LINK on a NUCLEO",
        install: "https://probe.rs/docs/getting-started/installation has installers; with Rust: cargo install probe-rs-tools --locked",
    },
    Tool {
        program: "espflash",
        purpose: "writes to Espressif's chips by USB",
        install: "With Rust: cargo install espflash --locked",
    },
    Tool {
        program: "picotool",
        purpose: "writes to an RP2040 or RP2350 by USB, while its boot loader runs",
        install: "https://github.com/raspberrypi/picotool/releases has it for each system; Homebrew and some distributions, too",
    },
];

/// Checks that a command can be run in this folder: its program is installed, and no shell is needed.
pub(super) fn check(command: &CommandLine, board: &Board, folder: Option<&Path>) -> Result<(), Error> {
    if command.needs_shell {
        return Err(Error::usage(format!("a command for the board {} needs a shell: {}", board.name, command.line))
            .with_advice(
                "Run the commands that `waft provision` printed by hand, or describe the board with simpler ones.",
            ));
    }
    match find(command.program(), folder) {
        Some(_) => Ok(()),
        None => Err(missing(command.program(), board, folder)),
    }
}

/// Finds a program in `PATH`, or one with a path that is relative to `folder`, where commands run. The result is absolute,
/// because it is not the same from there.
pub(super) fn find(program: &str, folder: Option<&Path>) -> Option<PathBuf> {
    let with_suffix = format!("{program}{}", std::env::consts::EXE_SUFFIX);
    let is_found = |path: &PathBuf| is_program(path);
    let found = match is_path(program) {
        true => {
            let folder = folder.unwrap_or(Path::new(""));
            [program, &with_suffix].into_iter().map(|file| folder.join(file)).find(is_found)?
        }
        false => {
            let folders = std::env::var_os("PATH")?;
            std::env::split_paths(&folders).map(|folder| folder.join(&with_suffix)).find(is_found)?
        }
    };
    absolute(found).ok()
}

fn is_path(program: &str) -> bool {
    program.contains(std::path::is_separator)
}

fn is_program(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    path.is_file()
}

/// The error for a program that is not installed.
fn missing(program: &str, board: &Board, folder: Option<&Path>) -> Error {
    let advice = match TOOLS.iter().find(|tool| tool.program == program) {
        None if is_path(program) => format!(
            "The description of the board {} names it, and it is no program in {}. Put it there, or correct the path.",
            board.name,
            shown(folder.unwrap_or(Path::new(".")))
        ),
        Some(tool) => format!("{program} {}. {}.", tool.purpose, tool.install),
        None => format!("The description of the board {} names it. Install it, or add its folder to PATH.", board.name),
    };
    Error::new(Class::Storage, format!("{program} is not installed, and flashing {} needs it.", board.title), advice)
}
