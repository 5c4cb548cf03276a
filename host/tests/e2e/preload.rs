//! Libraries that are preloaded into a process of the built command and replace functions of the system.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::needs::skip;
use super::world::World;

/// Builds the library from a C file in this folder. `None` if libraries cannot be preloaded.
pub(crate) fn library(world: &World, name: &str) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e").join(name).with_extension("c");
    let library = world.root.path().join(name).with_extension("so");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    if cfg!(not(all(target_os = "linux", target_env = "gnu"))) || !built.is_ok_and(|status| status.success()) {
        skip("a process cannot be given a library here: that needs Linux, glibc and cc");
        return None;
    }
    Some(library)
}
