//! The fuzz targets. Each takes any bytes, and panics if the code under test breaks one of its invariants.
//!
//! They run in two ways: `tests/fixed_inputs.rs` runs each of them on a fixed number of inputs, with the project's own
//! compiler; cargo-fuzz runs them for as long as requested, with a nightly compiler, through the binaries in
//! `fuzz_targets/`.

#[path = "../../tests/session/doubles.rs"]
#[allow(dead_code)]
mod doubles;
#[path = "../../tests/session/simulation.rs"]
#[allow(dead_code)]
mod simulation;
#[path = "../../tests/session/source.rs"]
#[allow(dead_code)]
mod source;

pub mod archive;
mod cipher;
pub mod replay;
pub mod sealed;
pub mod session;
mod sides;
pub mod text;
pub mod wire;
