//! Generates the linker's memory regions and the programs' constants from the board's description.
//!
//! ```text
//! mps2.toml ──► OUT_DIR/<program>/memory.x   regions, included by the linker script `link.x` of cortex-m-rt
//!           └─► OUT_DIR/map.rs               constants, included by `src/board.rs`
//! ```
//!
//! Each program has its own `memory.x`, because the web server needs more RAM than the other programs.

#[path = "../map.rs"]
mod map;

use std::path::{Path, PathBuf};
use std::{env, fs};

use map::{Description, Span};

const DESCRIPTION: &str = "mps2.toml";

/// The programs whose RAM is the region `ram` of the description.
const PROGRAMS: [&str; 2] = ["waft-mps2", "waft-mps2-trials"];
/// The web server's program. A browser opens several connections at once, and each needs a socket with buffers in RAM.
const WEB: &str = "waft-mps2-web";
/// The region `ram` of the web server, in place of the description's. It begins at the address where the regions of the
/// description end. The emulated machine has 4 MiB of RAM from 0x2000_0000.
const WEB_RAM: Span = Span { at: 0x2001_8000, size: 0x3_0000 };

/// Symbols for the linker script: the ends of the region `stack`, between which cortex-m-rt puts the stack, and the
/// ends of the region `retained`, whose content survives a reset (see `src/retained.rs`).
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
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for a build script"));
    write(&out.join("map.rs"), &board.map_rs());
    for program in PROGRAMS {
        write_linker_script(&out, program, &board);
    }
    // `map.rs` is the same for all programs: it has no constant for the RAM.
    board.memory.insert("ram".into(), WEB_RAM);
    write_linker_script(&out, WEB, &board);
    // `link.x` includes this file, which names the handler of each interrupt. It is empty because `src/interrupts.rs`
    // defines the table of handlers itself.
    write(&out.join("device.x"), "");
    println!("cargo:rustc-link-search={}", out.display());
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}

/// Writes `memory.x` for a program, with the regions of `board`, into a folder that only this program's linker
/// searches.
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
        "{DESCRIPTION} describes another board"
    );
    board
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}
