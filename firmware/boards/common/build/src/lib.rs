//! Generates the linker's memory map and the program's constants from a board's description. Build scripts of boards call
//! it.
//!
//! ```text
//! <board>.toml ──► memory.x   regions for the linker
//!              └─► map.rs     the constant MAP for the program: include!(concat!(env!("OUT_DIR"), "/map.rs"))
//! ```
//!
//! `waft provision` reads the same description, so that flash commands, linker and program always agree. It checks the
//! whole file; this crate checks only what the firmware depends on.
//!
//! The build script of a package with one board:
//!
//! ```no_run
//! let board = waft_board_build::Board::read("kitchen.toml");
//! board.write_map();
//! board.link(&board.description.package);
//! ```
//!
//! Everything here panics if it fails, because a build script can only stop the build.

mod description;

use std::path::{Path, PathBuf};
use std::{env, fs};

pub use description::{Description, Span};

/// The board for which a package is built.
#[derive(Debug)]
pub struct Board {
    /// Its description.
    pub description: Description,
}

impl Board {
    /// Reads the description in `file`, a path relative to the package.
    pub fn read(file: impl AsRef<Path>) -> Self {
        let file = file.as_ref();
        println!("cargo:rerun-if-changed={}", file.display());
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let description = Description::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self { description }
    }

    /// The board whose features are all enabled, of those that the package describes in its folder. On a host none is.
    pub fn chosen() -> Option<Self> {
        println!("cargo:rerun-if-changed=.");
        let files = fs::read_dir(".").expect("the package can be read");
        let files = files.map(|file| file.expect("its files can be read").path());
        let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "toml"));
        let boards = files.filter(|file| !file.ends_with("Cargo.toml")).map(Self::read);
        let mut chosen: Vec<_> =
            boards.filter(|board| board.description.features.iter().all(|feature| is_enabled(feature))).collect();
        let names: Vec<_> = chosen.iter().map(|board| board.description.name.clone()).collect();
        assert!(chosen.len() < 2, "only one board can be chosen, but these are: {names:?}");
        chosen.pop()
    }

    /// Writes `map.rs`, for this package.
    pub fn write_map(&self) {
        write(&out().join("map.rs"), &self.description.map_rs());
    }

    /// Links the program with this name by the memory map of the board. Several programs of a package may have different
    /// regions, so each gets its own folder with a `memory.x`.
    pub fn link(&self, program: &str) {
        self.link_with(program, "");
    }

    /// The same with more text at the end of `memory.x`: what the start-up code expects there beside the regions.
    pub fn link_with(&self, program: &str, more: &str) {
        let folder = out().join(program);
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        write(&folder.join("memory.x"), &(self.description.memory_x() + more));
        for argument in [&format!("-L{}", folder.display()), "--nmagic", "-Tlink.x", "-Tdefmt.x"] {
            println!("cargo:rustc-link-arg-bin={program}={argument}");
        }
    }
}

fn is_enabled(feature: &str) -> bool {
    let variable = feature.to_uppercase().replace('-', "_");
    env::var_os(format!("CARGO_FEATURE_{variable}")).is_some()
}

fn out() -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"))
}

fn write(file: &Path, text: &str) {
    fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}
