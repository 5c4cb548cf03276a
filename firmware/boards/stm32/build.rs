//! Generates the linker's memory regions and the program's constants from the description of the chosen board.
//!
//! ```text
//! <board>.toml ──► OUT_DIR/memory.x   regions, included by the linker script `link.x` of cortex-m-rt
//!              └─► OUT_DIR/map.rs     constants, included by `src/main.rs`
//! ```

#[path = "../map.rs"]
mod map;

use std::path::{Path, PathBuf};
use std::{env, fs};

use map::Description;

/// A symbol for the linker script: the lowest address of the stack, at which the core detects an overflow (MSPLIM). The
/// 2 KiB below it are for the handlers that run after an overflow.
const MORE: &str = "_stack_end = __euninit + 0x800;\n";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../map.rs");
    println!("cargo:rerun-if-changed=.");
    // If no board is chosen, as on a host, only the library is built, which needs none of these files.
    if let Some(board) = chosen() {
        let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for a build script"));
        write(&out.join("memory.x"), &board.memory_x(MORE));
        write(&out.join("map.rs"), &board.map_rs());
        println!("cargo:rustc-link-search={}", out.display());
        for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
            println!("cargo:rustc-link-arg-bins={argument}");
        }
    }
}

/// The board whose features are all enabled, if any.
fn chosen() -> Option<Description> {
    let chosen: Vec<_> =
        descriptions().into_iter().filter(|board| board.features.iter().all(|feature| is_chosen(feature))).collect();
    assert!(
        chosen.len() < 2,
        "only one board can be chosen, but these are: {:?}",
        chosen.iter().map(|board| &board.name).collect::<Vec<_>>()
    );
    chosen.into_iter().next()
}

fn descriptions() -> Vec<Description> {
    let files =
        fs::read_dir(".").expect("the package can be read").map(|file| file.expect("its files can be read").path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.filter(|file| !file.ends_with("Cargo.toml")).map(|file| description(&file)).collect()
}

fn description(file: &Path) -> Description {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Description::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn is_chosen(feature: &str) -> bool {
    let variable = feature.to_uppercase().replace('-', "_");
    env::var_os(format!("CARGO_FEATURE_{variable}")).is_some()
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}
