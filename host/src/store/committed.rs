//! Recognises what the target already holds: the folder that was received last, when its sender offers it again, or a
//! folder that is compared with a sealed file.

use std::io::{Read, Seek};

use cap_std::fs::Dir;
use waft_core::archive::Shape;
use waft_core::digest::Digest;
use waft_core::session::Offered;

use super::blocking::BlockingStore;
use super::capabilities::Capabilities;
use super::compare::{Rules, Whole, compare, resembles};
use super::error::Result;
use super::place::Found;
use super::received::Record;
use super::staging::Staging;

impl BlockingStore {
    /// Returns the manifest's digest and the archive's digests if the target holds the offered folder and this sender
    /// sent it.
    pub(super) fn committed(
        &mut self,
        target: Dir,
        offered: &Offered,
        is_it: &dyn Fn(&Digest) -> bool,
    ) -> Option<(Digest, Whole)> {
        let record = self.record(offered).filter(|record| is_it(&record.manifest_digest))?;
        // Capabilities cannot be measured if nothing can be written; then the values are compared exactly.
        let capabilities = self.measure_now().unwrap_or(Capabilities::ALL);
        let (file, start) = (record.file, record.manifest_start);
        let whole = compare(target, file, start, &offered.shape, self.rules(capabilities, self.overwrite))?;
        // The digests are returned only for content that this sender sent. They must reveal nothing about local
        // changes.
        (whole.root == record.root).then_some((record.manifest_digest, whole))
    }

    /// Whether the last folder of this sender still seems to be in the target, and has the offered shape. Reads no
    /// content and writes nothing.
    pub(super) fn may_be_committed(&self, target: Dir, offered: &Offered) -> bool {
        let Some(Record { file, manifest_start, .. }) = self.record(offered) else { return false };
        let capabilities = self.capabilities.unwrap_or(Capabilities::NONE);
        resembles(target, file, manifest_start, &offered.shape, self.rules(capabilities, self.overwrite))
    }

    /// Compares the target with `manifest` (see [`compare`]). The target must hold no other files.
    pub(super) fn holds(&mut self, manifest: impl Read + Seek, shape: &Shape) -> Option<Whole> {
        let Ok(Found::Filled(target)) = self.place.inspect() else { return None };
        let capabilities = self.measure_now().unwrap_or(Capabilities::ALL);
        compare(target, manifest, 0, shape, self.rules(capabilities, false))
    }

    fn rules(&self, capabilities: Capabilities, others: bool) -> Rules<'_> {
        Rules { capabilities, others, place: &self.place }
    }

    /// Returns the record of the target if it names this sender and a manifest of the offered length.
    fn record(&self, offered: &Offered) -> Option<Record> {
        let record = self.received.as_ref()?.load(&self.place.target_path())?;
        let is_it = record.sender == offered.sender && record.manifest_length == offered.shape.manifest;
        is_it.then_some(record)
    }

    /// Measures the capabilities of the file system in a staging area that is removed again if it is empty.
    fn measure_now(&mut self) -> Result<Capabilities> {
        if let Some(known) = self.capabilities {
            return Ok(known);
        }
        let staging = Staging::open(&self.place)?;
        let measured = self.measure(&staging);
        if !staging.is_used() {
            let _ = staging.remove(&self.place);
        }
        measured
    }

    /// Measures the capabilities of the file system, once.
    pub(super) fn measure(&mut self, staging: &Staging) -> Result<Capabilities> {
        if let Some(known) = self.capabilities {
            return Ok(known);
        }
        let measured = Capabilities::measure(&staging.dir).map_err(|error| self.place.at_staging("", error))?;
        Ok(*self.capabilities.insert(measured))
    }
}
