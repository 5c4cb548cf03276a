//! Generates the program's memory map and a part of its linker script from the description of the chosen board.
//!
//! ```text
//! <board>.toml ──► OUT_DIR/map.rs       the constant MAP, included by `src/main.rs`
//!              └─► OUT_DIR/waft.x       what `waft-board` expects of the linker; it follows esp-hal's `linkall.x`
//! ```

use std::path::PathBuf;
use std::{env, fs};

use waft_board_build::Board;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // If no board is chosen, as on a host, only the library is built, which needs none of these files.
    let Some(board) = Board::chosen() else { return };
    board.write_map();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    let [flash, retained] = ["flash", "retained"].map(|name| &board.description.memory[name]);
    fs::write(out.join("waft.x"), script(flash.size, retained.at)).expect("cargo's folder can be written");
    let program = &board.description.package;
    for argument in [&format!("-L{}", out.display()), "-Tlinkall.x", "-Twaft.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bin={program}={argument}");
    }
}

/// The symbols of `waft-board`. esp-hal guards a word near the end of the stack with a watchpoint, and the stack that may be
/// used begins behind that word. The image of the program may have `size` bytes: its read-only data, its code and what
/// is copied to its memory, aligned to a page of the flash cache, which has 64 KiB.
fn script(size: u32, retained: u32) -> String {
    format!(
        "_retained = {retained:#X};\n\
         _waft_stack_end = __stack_chk_guard + 4;\n\
         _waft_code = ADDR(.text);\n\
         _waft_code_end = ADDR(.text) + SIZEOF(.text);\n\
         ASSERT(_rtc_fast_persistent_end <= _retained, \"the chip's low-power RAM is full\");\n\
         ASSERT(_waft_code_end - ORIGIN(ROTEXT) + _bss_start - ORIGIN(RWDATA) + 0x10000 <= {size:#X}, \
         \"the program is larger than its part of the flash\");\n"
    )
}
