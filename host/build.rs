//! Collects the boards' files into the list that `src/board.rs` includes. A file with an error stops the build with a
//! message that names it.
//!
//! In waft's source they are `firmware/boards/<family>/<board>.toml`. The package of this crate has a copy of each in
//! `boards`, made by cargo from the links in that folder; every board must have one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

#[path = "src/board/description.rs"]
#[expect(dead_code, reason = "only the command uses every key")]
mod description;

use description::Description;

/// The boards of waft's source.
const SOURCE: &str = "../firmware/boards";
/// The links to their files, or the copies in the package of this crate.
const PACKAGED: &str = "boards";
/// Other files in these folders whose names end in `.toml`.
const OTHERS: [&str; 3] = ["Cargo", "memory", "rustfmt"];

fn main() {
    let is_source = Path::new(SOURCE).is_dir();
    println!("cargo::rerun-if-changed={}", if is_source { SOURCE } else { PACKAGED });
    match gather(is_source) {
        Ok(boards) => {
            let out =
                PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for a build script")).join("boards.rs");
            fs::write(out, list(&boards)).expect("cargo's own folder can be written");
        }
        Err(problem) => println!("cargo::error={problem}"),
    }
}

/// The descriptions of all boards, by name.
fn gather(is_source: bool) -> Result<BTreeMap<String, String>, String> {
    let mut boards = BTreeMap::new();
    let found = if is_source { files_in_source() } else { files_in(Path::new(PACKAGED)) };
    for path in found.map_err(|error| format!("the boards' files: {error}"))? {
        let failed = |problem: String| format!("{}: {}", path.display(), problem.replace('\n', " "));
        let text = fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        let board = Description::parse(&text).map_err(failed)?;
        let file = format!("{}.toml", board.name);
        if path.file_name().is_none_or(|name| name != file.as_str()) {
            return Err(failed(format!("a file is named after its board, {}", board.name)));
        }
        if Path::new(PACKAGED).join(&file).symlink_metadata().is_err() {
            return Err(failed(format!("the package needs a link to this file, host/{PACKAGED}/{file}")));
        }
        if boards.insert(board.name.clone(), text).is_some() {
            return Err(failed(format!("another family has a board {} too", board.name)));
        }
    }
    Ok(boards)
}

fn files_in_source() -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for family in fs::read_dir(SOURCE)? {
        let family = family?.path();
        if family.is_dir() {
            found.extend(files_in(&family)?);
        }
    }
    Ok(found)
}

/// The boards' files in a folder.
fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(folder)?.map(|file| file.map(|file| file.path()));
    paths.filter(|path| path.as_ref().map_or(true, |path| is_board(path))).collect()
}

fn is_board(path: &Path) -> bool {
    let other = path.file_stem().is_none_or(|stem| OTHERS.iter().any(|other| stem == *other));
    path.extension().is_some_and(|extension| extension == "toml") && !other
}

/// The list as Rust source.
fn list(boards: &BTreeMap<String, String>) -> String {
    let texts: Vec<&String> = boards.values().collect();
    format!(
        "/// The descriptions of the boards of waft's source, ordered by name.\nconst DESCRIPTIONS: &[&str] = &{texts:?};\n"
    )
}
