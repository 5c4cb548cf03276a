//! The manifest while it arrives: it is checked and written to the staging area before any file is created from it.
//!
//! PROTOCOL.md, sections 8.1 and 8.2.

use std::fs::File;
use std::io::Write as _;

use waft_core::archive::{ManifestReader, Shape, Summary};
use waft_core::path::RelPath;
use waft_core::session::StoreError;

use super::error::{Failure, Result};
use super::place::Place;
use super::staging::MANIFEST;
use crate::platform;

/// A manifest that has arrived in part.
pub(super) struct Incoming {
    reader: ManifestReader,
    names: Names,
    file: File,
}

impl Incoming {
    /// Starts with an empty `file`.
    pub(super) fn new(file: File, length: u32) -> Self {
        Self { reader: ManifestReader::new(length), names: Names::default(), file }
    }

    /// Consumes the bytes at the front of `archive` that belong to the manifest.
    pub(super) fn write(&mut self, place: &Place, archive: &mut &[u8]) -> Result<()> {
        let before = *archive;
        while let Some(entry) = self.reader.next(archive).map_err(StoreError::Archive)? {
            self.names.check(entry.path)?;
        }
        let taken = &before[..before.len() - archive.len()];
        self.file.write_all(taken).map_err(|error| Failure::Io(place.at_staging(MANIFEST, error)))
    }

    pub(super) fn is_complete(&self) -> bool {
        self.reader.is_complete()
    }

    /// Returns the summary of the complete manifest, if it agrees with the offer.
    pub(super) fn finish(self, stated: &Shape) -> Result<Summary> {
        let summary = self.reader.finish().map_err(StoreError::Archive)?;
        summary.check(stated).map_err(StoreError::Archive)?;
        Ok(summary)
    }
}

/// Checks names by the rules of this platform.
#[derive(Default)]
pub(super) struct Names {
    index: u32,
}

impl Names {
    /// Checks the name of the next entry. The names of its parents were checked before.
    pub(super) fn check(&mut self, path: RelPath<'_>) -> Result<()> {
        let entry = self.index;
        self.index += 1;
        if platform::holds_name(path.name()) { Ok(()) } else { Err(StoreError::Name { entry }.into()) }
    }
}
