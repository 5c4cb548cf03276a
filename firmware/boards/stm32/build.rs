//! Generates the linker's memory regions and the program's memory map from the description of the chosen board.
//!
//! ```text
//! <board>.toml ──► OUT_DIR/<program>/memory.x   regions, included by the linker script `link.x` of cortex-m-rt
//!              └─► OUT_DIR/map.rs               the constant MAP, included by `src/main.rs`
//! ```

use waft_board_build::Board;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // If no board is chosen, as on a host, only the library is built, which needs none of these files.
    if let Some(board) = Board::chosen() {
        board.write_map();
        board.link(&board.description.package);
    }
}
