//! Collects the boards' files, `firmware/boards/<family>/<board>.toml`, into the table that `src/board.rs` includes. A
//! file with an error stops the build with a message that names it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

#[path = "src/board/description.rs"]
mod description;

use description::{Description, Span};

const FOLDER: &str = "../firmware/boards";
/// Other files in these folders whose names end in `.toml`.
const OTHERS: [&str; 3] = ["Cargo", "memory", "rustfmt"];

fn main() {
    println!("cargo::rerun-if-changed={FOLDER}");
    match gather() {
        Ok(boards) => {
            let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("boards.rs");
            fs::write(out, table(&boards)).expect("cargo's own folder can be written");
        }
        Err(problem) => println!("cargo::error={problem}"),
    }
}

/// All boards, by name.
fn gather() -> Result<BTreeMap<String, Description>, String> {
    let mut boards = BTreeMap::new();
    for path in files().map_err(|error| format!("{FOLDER}: {error}"))? {
        let told = |problem: String| format!("{}: {}", path.display(), problem.replace('\n', " "));
        let text = fs::read_to_string(&path).map_err(|error| told(error.to_string()))?;
        let board = Description::parse(&text).map_err(told)?;
        if path.file_stem().is_none_or(|stem| stem != board.name.as_str()) {
            return Err(told(format!("a file is named after its board, {}", board.name)));
        }
        if let Some(other) = boards.insert(board.name.clone(), board) {
            return Err(told(format!("another family has a board {} too", other.name)));
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

/// The table as Rust source.
fn table(boards: &BTreeMap<String, Description>) -> String {
    let mut text = "/// All boards, by name.\npub const BOARDS: &[Board] = &[\n".to_owned();
    for board in boards.values() {
        let Description { name, title, package, target, features, wifi, memory: _, identity, storage, flash } = board;
        let (identity, slots) = (span(*identity), span(storage.slots));
        let (at, seeds, commands) = (storage.at, storage.seeds, &flash.commands);
        writeln!(
            text,
            "Board {{ name: {name:?}, title: {title:?}, package: {package:?}, target: {target:?}, features: &{features:?}, \
             wifi: {wifi}, identity: {identity}, storage: Storage {{ at: {at}, seeds: {seeds:?}, slots: {slots} }}, \
             commands: &{commands:?} }},"
        )
        .expect("a text takes everything");
    }
    text + "];\n"
}

fn span(Span { at, size }: Span) -> String {
    format!("Span {{ at: {at}, size: {size} }}")
}
