//! The fuzz targets. Each takes any bytes, and panics where the code that it tests does not keep a promise.
//!
//! They run in two ways: `tests/fixed_inputs.rs` feeds each of them a fixed number of inputs, with the compiler that
//! everything else is built with; cargo-fuzz feeds them for as long as it is asked to, with a nightly one, through the
//! binaries in `fuzz_targets/`.

#[path = "../../tests/session/actors.rs"]
#[allow(dead_code)]
mod actors;
#[path = "../../tests/session/source.rs"]
#[allow(dead_code)]
mod source;
#[path = "../../tests/session/world.rs"]
#[allow(dead_code)]
mod world;

pub mod archive;
mod cipher;
pub mod replay;
pub mod sealed;
pub mod session;
mod sides;
pub mod text;
pub mod wire;
