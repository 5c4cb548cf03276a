//! What the target holds already: the folder that was received last, offered again by its own sender, or one that is
//! compared with a sealed file.

use std::io::{Read, Seek};

use cap_std::fs::Dir;
use waft_core::archive::Shape;
use waft_core::digest::Digest;
use waft_core::session::Offered;

use super::blocking::BlockingStore;
use super::capabilities::Capabilities;
use super::compare::{Rules, Whole, compare, resembles};
use super::failure::Result;
use super::place::Found;
use super::received::Record;
use super::staging::Staging;

impl BlockingStore {
    /// The manifest's digest and the archive's digests, if the target holds the offered folder, and that sender sent it.
    pub(super) fn committed(
        &mut self,
        target: Dir,
        offered: &Offered,
        is_it: &dyn Fn(&Digest) -> bool,
    ) -> Option<(Digest, Whole)> {
        let record = self.record(offered).filter(|record| is_it(&record.manifest_digest))?;
        // Where nothing can be written, nothing was rounded either, as far as can be told.
        let capabilities = self.measure_now().unwrap_or(Capabilities::ALL);
        let (file, start) = (record.file, record.manifest_start);
        let whole = compare(target, file, start, &offered.shape, self.rules(capabilities, self.overwrite))?;
        // Only what that sender has sent is told to it: not what somebody changed here.
        (whole.root == record.root).then_some((record.manifest_digest, whole))
    }

    /// Whether that sender's last folder seems to be in the target still, and has that shape. Reads no content, and
    /// writes nothing.
    pub(super) fn may_be_committed(&self, target: Dir, offered: &Offered) -> bool {
        let Some(Record { file, manifest_start, .. }) = self.record(offered) else { return false };
        let capabilities = self.capabilities.unwrap_or(Capabilities::NONE);
        resembles(target, file, manifest_start, &offered.shape, self.rules(capabilities, self.overwrite))
    }

    /// Whether the target holds just the folder with that manifest: the digests of its archive.
    pub(super) fn holds(&mut self, manifest: impl Read + Seek, shape: &Shape) -> Option<Whole> {
        let Ok(Found::Filled(target)) = self.place.look() else { return None };
        let capabilities = self.measure_now().unwrap_or(Capabilities::ALL);
        compare(target, manifest, 0, shape, self.rules(capabilities, false))
    }

    fn rules(&self, capabilities: Capabilities, others: bool) -> Rules<'_> {
        Rules { capabilities, others, place: &self.place }
    }

    /// What the target holds, if it came from the sender of that offer and has a manifest of that length.
    fn record(&self, offered: &Offered) -> Option<Record> {
        let record = self.received.as_ref()?.load(&self.place.target_path())?;
        let is_it = record.sender == offered.sender && record.manifest_length == offered.shape.manifest;
        is_it.then_some(record)
    }

    /// Measures what the file system keeps, in a staging area that goes again if nothing is in it.
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

    /// Measures what the file system keeps, once.
    pub(super) fn measure(&mut self, staging: &Staging) -> Result<Capabilities> {
        if let Some(known) = self.capabilities {
            return Ok(known);
        }
        let measured = Capabilities::measure(&staging.dir).map_err(|error| self.place.at_staging("", error))?;
        Ok(*self.capabilities.insert(measured))
    }
}
