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

pub mod announce;
pub mod archive;
pub mod certificate;
mod cipher;
mod flash;
pub mod identity;
pub mod journal;
pub mod pairing;
pub mod replay;
pub mod sealed;
pub mod seed;
pub mod session;
pub mod settings;
mod sides;
pub mod text;
pub mod wire;

/// The CRC-32 of IEEE 802.3, which identity images, the seed and the settings end with.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 != 0 { 0xedb8_8320 } else { 0 })
    })
}
