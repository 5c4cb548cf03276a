//! Generates the linker's memory regions and the programs' memory map from the board's description.
//!
//! ```text
//! virt.toml ──► OUT_DIR/<program>/memory.x   regions, included by the linker script `link.x` of riscv-rt
//!           └─► OUT_DIR/map.rs               the constant MAP, included by the programs
//! ```

use waft_board_build::Board;

/// What `link.x` of riscv-rt needs beside the regions: its names for them. And the tables for unwinding are left out, which
/// would take 44 KiB: a panic does not unwind.
const FOR_RISCV_RT: &str = "\
REGION_ALIAS(\"REGION_TEXT\", FLASH);
REGION_ALIAS(\"REGION_RODATA\", FLASH);
REGION_ALIAS(\"REGION_DATA\", RAM);
REGION_ALIAS(\"REGION_BSS\", RAM);
REGION_ALIAS(\"REGION_HEAP\", RAM);
REGION_ALIAS(\"REGION_STACK\", STACK);
SECTIONS { /DISCARD/ : { *(.eh_frame .eh_frame_hdr) } }
";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // If no board is chosen, as on a host, only the library is built, which needs none of these files.
    if let Some(board) = Board::chosen() {
        board.write_map();
        for program in ["waft-virt", "waft-virt-trials"] {
            board.link_with(program, FOR_RISCV_RT);
        }
    }
}
