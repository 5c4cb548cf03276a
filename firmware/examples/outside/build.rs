//! Generates `memory.x` for the linker and `map.rs` for the program from the board's description.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let board = waft_board_build::Board::read("kitchen.toml");
    board.write_map();
    board.link(&board.description.package);
}
