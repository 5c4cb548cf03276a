//! Generates `memory.x` for the linker and `map.rs` for the programs from the board's description, `mps2.toml`.
//!
//! Each program has its own `memory.x`, because the web server needs more RAM than the others.

#[path = "../map.rs"]
mod map;

use std::path::{Path, PathBuf};
use std::{env, fs};

use map::{Description, Span};

const DESCRIPTION: &str = "mps2.toml";

/// The programs that use the RAM of the description.
const PROGRAMS: [&str; 2] = ["waft-mps2", "waft-mps2-trials"];
/// The program of the web server. It needs a socket for each connection that a browser opens at a time.
const WEB: &str = "waft-mps2-web";
/// The RAM of the web server: after the regions of the description, in a block of 4 MiB that this machine has there.
const WEB_RAM: Span = Span { at: 0x2001_8000, size: 0x3_0000 };

/// Additions to the linker script: the stack and the retained memory have regions of their own.
const MORE: &str = "\
_stack_start = ORIGIN(STACK) + LENGTH(STACK);
_stack_end = ORIGIN(STACK);
_retained = ORIGIN(RETAINED);
_retained_end = ORIGIN(RETAINED) + LENGTH(RETAINED);
";

fn main() {
    for input in ["build.rs", "../map.rs", DESCRIPTION] {
        println!("cargo:rerun-if-changed={input}");
    }
    let mut board = description();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    write(&out.join("map.rs"), &board.map_rs());
    for program in PROGRAMS {
        write_linker_script(&out, program, &board);
    }
    board.memory.insert("ram".into(), WEB_RAM);
    write_linker_script(&out, WEB, &board);
    // cortex-m-rt includes this file. It stays empty because the firmware defines its interrupt vector table itself.
    write(&out.join("device.x"), "");
    println!("cargo:rustc-link-search={}", out.display());
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}

/// Writes the linker script of a program, with the regions of `board`.
fn write_linker_script(out: &Path, program: &str, board: &Description) {
    let folder = out.join(program);
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    write(&folder.join("memory.x"), &board.memory_x(MORE));
    println!("cargo:rustc-link-arg-bin={program}=-L{}", folder.display());
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
