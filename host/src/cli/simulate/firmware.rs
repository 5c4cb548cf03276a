//! Finds the firmware of a board: a given file for an emulated one, or one built from the source.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::emulator;
use crate::board::Board;
use crate::cli::interrupt::Interrupt;
use crate::cli::ui::Ui;
use crate::error::{Class, Error, shown};
use crate::platform;

/// Folder of the board families in the source.
const FAMILIES: &str = "firmware/boards";
/// Number of bytes at the start of an ELF file that identify it.
const ELF_HEAD: usize = 20;

/// Accepts a given file if it is a program for such a board. QEMU itself would run anything.
pub(crate) fn given(path: &Path, board: &Board) -> Result<PathBuf, Error> {
    let failed = |cause| Error::file(path, cause);
    let mut head = Vec::new();
    // Reading a pipe would block, and its content could be read only once.
    if path.metadata().map_err(failed)?.is_file() {
        let file = File::open(path).map_err(failed)?;
        file.take(ELF_HEAD as u64).read_to_end(&mut head).map_err(failed)?;
    }
    let is_program = is_program(&head, emulator::elf_machine(board));
    if is_program { Ok(path.to_owned()) } else { Err(not_firmware(path, board)) }
}

/// Checks the start of an ELF file: class 1 for 32 bits, data 1 for little-endian, type 2 for an executable, and the number
/// of the machine.
///
/// ```text
/// 0 .. 4   0x7F 'E' 'L' 'F'
/// 4        class
/// 5        data
/// 16..18   type
/// 18..20   machine
/// ```
fn is_program(head: &[u8], machine: u16) -> bool {
    let [low, high] = machine.to_le_bytes();
    head.starts_with(b"\x7fELF\x01\x01") && head.get(16..ELF_HEAD) == Some(&[2, 0, low, high])
}

/// The root of the waft source that contains this board: `folder`, or one of its parents.
pub(crate) fn source(folder: &Path, board: &Board) -> Option<PathBuf> {
    let has_board = |folder: &&Path| {
        let families = std::fs::read_dir(folder.join(FAMILIES)).into_iter().flatten().flatten();
        let mut files = families.map(|family| family.path().join(&board.name).with_extension("toml"));
        files.any(|file| file.is_file())
    };
    folder.ancestors().find(has_board).map(Path::to_owned)
}

/// The root of the project that has the board's firmware: the folder of its description, or the waft source in which the
/// command runs.
pub(crate) fn project(board: &Board) -> Result<PathBuf, Error> {
    match &board.folder {
        Some(project) => Ok(project.clone()),
        None => {
            let here = std::env::current_dir().map_err(|cause| Error::file(".", cause))?;
            let root = source(&here, board).ok_or_else(no_firmware)?;
            check_owner(&root).map(|()| root)
        }
    }
}

/// The files and folders in the source that decide what a build runs.
const DECISIVE: [&str; 4] = ["Cargo.toml", "firmware", FAMILIES, ".cargo"];

/// Rejects a source that belongs to another user. It was found in a folder above the current one, which may be shared, and
/// a user who can write to it decides what a build runs.
fn check_owner(root: &Path) -> Result<(), Error> {
    for path in std::iter::once(root.to_owned()).chain(DECISIVE.map(|name| root.join(name))) {
        match platform::is_foreign(&path) {
            Ok(false) => {}
            Ok(true) => return Err(foreign(root, &path)),
            Err(cause) if cause.kind() == ErrorKind::NotFound => {}
            Err(cause) => return Err(Error::file(path, cause)),
        }
    }
    Ok(())
}

/// Builds the firmware from the board's project, or from the source in which the command runs.
pub(crate) async fn build_here(board: &Board, interrupt: &Interrupt, ui: &Ui) -> Result<PathBuf, Error> {
    let root = project(board)?;
    tokio::select! {
        // Ctrl-C reaches cargo, too: report the interruption rather than cargo's failure.
        built = build(&root, board, ui) => interrupt.check().and(built),
        () = interrupt.raised() => Err(Error::interrupted()),
    }
}

/// Builds the firmware from the source in `root`.
pub(crate) async fn build(root: &Path, board: &Board, ui: &Ui) -> Result<PathBuf, Error> {
    ui.say(format!(
        "Building the firmware for {} from {}.\nThe first time that takes about a minute.",
        board.title,
        shown(root)
    ));
    fetch_target(root, board, ui).await;
    let mut cargo = Command::new("cargo");
    cargo.args(board.build()).current_dir(root).stdin(Stdio::null());
    // Cargo's messages go to standard error like waft's own; standard output may carry events.
    cargo.stdout(Stdio::null()).kill_on_drop(true);
    let status = cargo.status().await.map_err(|cause| Error::file("cargo", cause))?;
    match status.success() {
        true => Ok(root.join(board.firmware())),
        false => Err(build_failed(&board.target)),
    }
}

/// Installs the target. A pinned toolchain that is already installed does not fetch missing targets automatically.
async fn fetch_target(root: &Path, board: &Board, ui: &Ui) {
    let asked = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", &board.target])
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .await;
    let is_there = asked.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir());
    if !is_there {
        ui.say(format!("Fetching what compiles for {}.", board.target));
        // Without rustup, the build reports what is missing.
        let mut rustup = Command::new("rustup");
        rustup.args(["toolchain", "install"]).current_dir(root).stdin(Stdio::null()).kill_on_drop(true);
        let _ = rustup.output().await;
    }
}

/// The error for a missing firmware.
fn no_firmware() -> Error {
    Error::new(
        Class::Usage,
        "There is no firmware: this is not in waft's source.",
        "Give the program with --firmware ELF, or run the command in the source, which builds it.",
    )
}

/// The error for a source of another user.
fn foreign(root: &Path, path: &Path) -> Error {
    Error::new(
        Class::Storage,
        format!("Nothing is built from {}: {} belongs to another user.", shown(root), shown(path)),
        "A build runs programs that the source names. Run the command in a copy of your own, or give the program with --firmware ELF.",
    )
}

/// The error for a file that is not a firmware.
fn not_firmware(path: &Path, board: &Board) -> Error {
    let (cores, package) = (emulator::cores(board), &board.package);
    Error::new(
        Class::Storage,
        format!("{} is not a firmware for {}: it is not an ELF program for {cores}.", shown(path), board.name),
        format!(
            "Give the file that cargo built, {package}, and no .bin or .hex of it. In waft's source --firmware can be left out."
        ),
    )
}

/// The error for a firmware that cannot be built.
fn build_failed(target: &str) -> Error {
    Error::new(
        Class::Storage,
        "The firmware could not be built; cargo's messages are above.",
        format!(
            "If the target is missing: rustup target add {target}. A firmware built elsewhere can be given with --firmware."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::BOARDS;

    #[test]
    fn the_source_is_found_from_inside_it() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(source(&here.join("src"), &BOARDS[0]).as_deref(), here.parent());
        assert_eq!(source(tempfile::tempdir().unwrap().path(), &BOARDS[0]), None);
    }

    #[test]
    fn a_program_that_is_given_is_one_for_the_board() {
        let (arm, riscv) = (Board::named("mps2").unwrap(), Board::named("virt").unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("firmware");
        let given_with = |change: &[(usize, u8)]| {
            let mut head = *b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x28\0\x01\0\0\0";
            change.iter().for_each(|(at, byte)| head[*at] = *byte);
            std::fs::write(&path, head).unwrap();
            given(&path, arm)
        };
        assert_eq!(given_with(&[]).unwrap(), path);
        let error = given(&path, riscv).unwrap_err().to_string();
        assert!(error.contains("is not a firmware for virt") && error.contains("32-bit RISC-V"), "{error}");
        let is_rejected = |given: Result<PathBuf, Error>| given.unwrap_err().to_string().contains("is not a firmware");
        // Not ELF, 64 bits, big-endian, an object file, x86-64, RISC-V.
        for change in [(1, b'e'), (4, 2), (5, 2), (16, 1), (18, 62), (18, 243)] {
            assert!(is_rejected(given_with(&[change])), "{change:?}");
        }
        given_with(&[(18, 243)]).unwrap_err();
        assert_eq!(given(&path, riscv).unwrap(), path);
        std::fs::write(&path, b"\x7fELF\x01\x01").unwrap();
        assert!(is_rejected(given(&path, arm)));
        assert!(is_rejected(given(folder.path(), arm)));
        assert!(given(&folder.path().join("none"), arm).unwrap_err().to_string().contains("cannot be used"));
    }
}
