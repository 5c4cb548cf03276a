//! Collects the boards' files, `firmware/boards/<family>/<board>.toml`, into the list that `src/board.rs` includes. A
//! file with an error stops the build with a message that names it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

#[path = "src/board/description.rs"]
#[expect(dead_code, reason = "only the command uses every key")]
mod description;

use description::Description;

const FOLDER: &str = "../firmware/boards";
/// Other files in these folders whose names end in `.toml`.
const OTHERS: [&str; 3] = ["Cargo", "memory", "rustfmt"];

fn main() {
    println!("cargo::rerun-if-changed={FOLDER}");
    match gather() {
        Ok(boards) => {
            let out =
                PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for a build script")).join("boards.rs");
            fs::write(out, list(&boards)).expect("cargo's own folder can be written");
        }
        Err(problem) => println!("cargo::error={problem}"),
    }
}

/// The descriptions of all boards, by name.
fn gather() -> Result<BTreeMap<String, String>, String> {
    let mut boards = BTreeMap::new();
    for path in files().map_err(|error| format!("{FOLDER}: {error}"))? {
        let failed = |problem: String| format!("{}: {}", path.display(), problem.replace('\n', " "));
        let text = fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        let board = Description::parse(&text).map_err(failed)?;
        if path.file_stem().is_none_or(|stem| stem != board.name.as_str()) {
            return Err(failed(format!("a file is named after its board, {}", board.name)));
        }
        if boards.insert(board.name.clone(), text).is_some() {
            return Err(failed(format!("another family has a board {} too", board.name)));
        }
    }
    Ok(boards)
}

fn files() -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for family in fs::read_dir(FOLDER)? {
        let family = family?.path();
        if family.is_dir() {
            for file in fs::read_dir(family)? {
                found.extend(Some(file?.path()).filter(|path| is_board(path)));
            }
        }
    }
    Ok(found)
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
