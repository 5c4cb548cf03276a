//! Generates the linker's memory regions and the programs' memory map from the description of the chosen board.
//!
//! ```text
//! <board>.toml ──► OUT_DIR/<program>/memory.x   regions, included by the linker script `link.x` of cortex-m-rt
//!              └─► OUT_DIR/map.rs               the constant MAP, included by the programs
//! ```

use std::{env, fs};

use waft_board_build::{Board, Span};

/// The size of the region `ram` of the web server, which is at another place than the description's: a browser opens
/// several connections at once, and each needs a socket with buffers.
const WEB_RAM: u32 = 0x3_0000;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // If no board is chosen, as on a host, only the library is built, which needs none of these files.
    if let Some(mut board) = Board::chosen() {
        board.write_map();
        board.link("waft-mps2");
        board.link("waft-mps2-trials");
        // The regions of the description end here. Each machine has at least 2 MiB of RAM from the stack on.
        let memory = &mut board.description.memory;
        let end = memory["retained"].at + memory["retained"].size;
        memory.insert("ram".into(), Span { at: end, size: WEB_RAM });
        board.link("waft-mps2-web");
    }
    // `link.x` includes this file, which names the handler of each interrupt. It is empty because
    // `src/drivers/interrupts.rs` defines the table of handlers itself.
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR for a build script");
    fs::write(format!("{out}/device.x"), "").expect("cargo's own folder can be written");
    println!("cargo:rustc-link-search={out}");
}
