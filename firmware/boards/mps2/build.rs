//! Generates `memory.x` for the linker and `map.rs` for the program from the board's description, `mps2.toml`.

#[path = "../map.rs"]
mod map;

use std::path::{Path, PathBuf};
use std::{env, fs};

use map::Description;

const DESCRIPTION: &str = "mps2.toml";

/// Additions to the linker script: the stack and the retained memory have regions of their own.
const MORE: &str = "\
_stack_start = ORIGIN(STACK) + LENGTH(STACK);
_stack_end = ORIGIN(STACK);
_kept = ORIGIN(KEPT);
_kept_end = ORIGIN(KEPT) + LENGTH(KEPT);
";

fn main() {
    for input in ["build.rs", "../map.rs", DESCRIPTION] {
        println!("cargo:rerun-if-changed={input}");
    }
    let board = description();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    write(&out.join("memory.x"), &board.memory_x(MORE));
    write(&out.join("map.rs"), &board.map_rs());
    // cortex-m-rt includes this file. It stays empty because the firmware defines its interrupt vector table itself.
    write(&out.join("device.x"), "");
    println!("cargo:rustc-link-search={}", out.display());
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}

fn description() -> Description {
    let text = fs::read_to_string(DESCRIPTION).unwrap_or_else(|error| panic!("{DESCRIPTION}: {error}"));
    let board = Description::parse(&text).unwrap_or_else(|error| panic!("{DESCRIPTION}: {error}"));
    assert_eq!(
        (&*board.name, &*board.features),
        ("mps2", &["an386".to_owned()][..]),
        "{DESCRIPTION} is of another board"
    );
    board
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}
