//! The firmware of an emulated board: a file that is given, else built from the source.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::board::Board;
use crate::error::Error;
use crate::ui::Ui;

/// Where the families of boards are in the source.
const FAMILIES: &str = "firmware/boards";

/// The file that is given.
pub fn given(path: &Path) -> Result<PathBuf, Error> {
    match path.metadata() {
        Ok(_) => Ok(path.to_owned()),
        Err(cause) => Err(Error::File(path.to_owned(), cause)),
    }
}

/// The top of the source of waft that has this board: `folder`, or a folder above it.
pub fn source(folder: &Path, board: &Board) -> Option<PathBuf> {
    let has_board = |folder: &&Path| {
        let families = std::fs::read_dir(folder.join(FAMILIES)).into_iter().flatten().flatten();
        let mut files = families.map(|family| family.path().join(board.name).with_extension("toml"));
        files.any(|file| file.is_file())
    };
    folder.ancestors().find(has_board).map(Path::to_owned)
}

/// Builds the firmware from the source in `root`.
pub async fn build(root: &Path, board: &Board, ui: &Ui) -> Result<PathBuf, Error> {
    ui.say(format!("Building the firmware for {}.", board.title));
    fetch_target(root, board, ui).await;
    // Whatever the environment says about it, the program is found there.
    let target = root.join("target");
    let mut cargo = Command::new("cargo");
    cargo.args(board.build()).arg("--target-dir").arg(&target).current_dir(root).stdin(Stdio::null());
    // What people read goes where our own words go; standard output may have events.
    cargo.stdout(Stdio::null()).kill_on_drop(true);
    let status = cargo.status().await.map_err(|cause| Error::File("cargo".into(), cause))?;
    match status.success() {
        true => Ok(root.join(board.firmware())),
        false => Err(Error::Build(board.target)),
    }
}

/// A pinned toolchain that is there already does not fetch its missing targets by itself.
async fn fetch_target(root: &Path, board: &Board, ui: &Ui) {
    let asked = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", board.target])
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .await;
    let is_there = asked.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir());
    if !is_there {
        ui.say(format!("Fetching what compiles for {}.", board.target));
        // Where there is no rustup, the build says what is missing.
        let mut rustup = Command::new("rustup");
        let _ = rustup.args(["toolchain", "install"]).current_dir(root).stdin(Stdio::null()).output().await;
    }
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
    fn a_program_that_is_given_has_to_be_there() {
        assert!(matches!(given(Path::new("/no/such.elf")), Err(Error::File(..))));
    }
}
