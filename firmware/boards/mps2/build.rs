//! Generates the linker's memory regions and the programs' memory map from the board's description.
//!
//! ```text
//! mps2.toml ──► OUT_DIR/<program>/memory.x   regions, included by the linker script `link.x` of cortex-m-rt
//!           └─► OUT_DIR/map.rs               the constant MAP, included by the programs
//! ```

use std::{env, fs};

use waft_board_build::{Board, Span};

/// The region `ram` of the web server, in place of the description's: a browser opens several connections at once, and
/// each needs a socket with buffers. It begins at the address where the regions of the description end. The emulated
/// machine has 4 MiB of RAM from 0x2000_0000.
const WEB_RAM: Span = Span { at: 0x2001_8000, size: 0x3_0000 };

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let mut board = Board::read("mps2.toml");
    board.write_map();
    board.link("waft-mps2");
    board.link("waft-mps2-trials");
    board.description.memory.insert("ram".into(), WEB_RAM);
    board.link("waft-mps2-web");
    // `link.x` includes this file, which names the handler of each interrupt. It is empty because
    // `src/drivers/interrupts.rs` defines the table of handlers itself.
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR for a build script");
    fs::write(format!("{out}/device.x"), "").expect("cargo's own folder can be written");
    println!("cargo:rustc-link-search={out}");
}
