//! Generates the linker's memory regions and the program's memory map from the board's description.
//!
//! ```text
//! lm3s6965evb.toml ──► OUT_DIR/<program>/memory.x   regions, included by the linker script `link.x` of cortex-m-rt
//!                  └─► OUT_DIR/map.rs               the constant MAP, included by the program
//! ```

use std::{env, fs};

use waft_board_build::Board;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let board = Board::read("lm3s6965evb.toml");
    board.write_map();
    board.link(&board.description.package);
    // `link.x` includes this file, which names the handler of each interrupt. It is empty because
    // `src/drivers/interrupts.rs` defines the table of handlers itself.
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR for a build script");
    fs::write(format!("{out}/device.x"), "").expect("cargo's own folder can be written");
    println!("cargo:rustc-link-search={out}");
}
