//! The archive: a folder as one stream of bytes.
//!
//! ```text
//! manifest | content of the 1st file | its BLAKE3 | ... | content of the last file | its BLAKE3 | root
//! ```
//!
//! A sender walks its folder, writes the manifest through a [`ManifestWriter`], and then passes each file through a
//! [`ContentHasher`]. A receiver reads the first [`Shape::manifest`] bytes with a [`ManifestReader`] and all others
//! with a [`ContentReader`]. Both readers accept the bytes in pieces of any size. PROTOCOL.md, section 8.

mod content;
mod entry;
mod error;
mod manifest;
mod rules;
mod shape;

pub use content::{Content, ContentHasher, ContentReader};
pub use entry::{ENTRY_PREFIX, Entry, KIND_MAX, Kind, MODE_MAX, Modified, START_MAX};
pub use error::ArchiveError;
pub use manifest::{ManifestReader, ManifestWriter};
pub use shape::{DIGEST, Shape, Summary};
