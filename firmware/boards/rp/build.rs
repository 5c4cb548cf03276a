//! Generates the linker's memory regions and the program's memory map from the description of the chosen board.
//!
//! ```text
//! <board>.toml ──► OUT_DIR/<program>/memory.x   regions, included by the linker script `link.x` of cortex-m-rt
//!              └─► OUT_DIR/map.rs               the constant MAP, included by `src/main.rs`
//! boot_block.x ──► the linker                   where the boot ROM finds the block that embassy-rp defines
//! ```

use waft_board_build::Board;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=boot_block.x");
    // If no board is chosen, as on a host, only the library is built, which needs none of these files.
    if let Some(board) = Board::chosen() {
        let program = &board.description.package;
        board.write_map();
        // Before `link.x`, which sets `_stext` only if no earlier script has done so.
        println!("cargo:rustc-link-arg-bin={program}=-L{}", env!("CARGO_MANIFEST_DIR"));
        println!("cargo:rustc-link-arg-bin={program}=-Tboot_block.x");
        board.link(program);
    }
}
