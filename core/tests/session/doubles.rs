//! The users, the archive and the store of a session in memory.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use rand_core::{CryptoRng, RngCore};
use waft_core::archive::{
    ArchiveError, Content, ContentReader, ENTRY_PREFIX, Entry, Kind, ManifestReader, ManifestWriter, Modified,
};
use waft_core::certificate::CertificateHash;
use waft_core::code::{AuthCode, TransferKey};
use waft_core::digest::{Digest, Hasher};
use waft_core::limits;
use waft_core::path::{FolderName, RelPath};
use waft_core::session::peers::LockoutSnapshot;
use waft_core::session::sender::{ArchiveInfo, Source, SourceError};
use waft_core::session::{Capacity, Clock as _, Held, Offered, Receipt, Store, StoreError, receiver, sender};
use waft_core::wire::message::{BaseFile, BaseFiles};

use crate::simulation::VirtualClock;
use crate::source::{HandMade, files_of};

/// A seeded generator in place of entropy, so that sessions are reproducible.
pub(crate) struct Seeded(pub(crate) u64);

impl RngCore for Seeded {
    fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }

    fn next_u64(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = self.next_u64() as u8);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Seeded {}

/// The archive of these files with their contents, in the manifest's order.
pub(crate) fn archive_of(files: &[(&str, &[u8])]) -> HandMade {
    archive_at(1_700_000_000, files)
}

/// The same, of files that were modified at that time, in seconds since 1970.
pub(crate) fn archive_at(seconds: i64, files: &[(&str, &[u8])]) -> HandMade {
    let mut writer = ManifestWriter::new();
    let mut manifest = Vec::new();
    for (path, bytes) in files {
        let entry = Entry {
            kind: Kind::File { size: bytes.len() as u64 },
            path: RelPath::new(path).unwrap(),
            mode: 0o644,
            modified: Modified { seconds, nanos: 0 },
        };
        let mut out = [0; ENTRY_PREFIX + limits::ENTRY_MAX];
        let length = writer.push(&entry, &mut out).unwrap();
        manifest.extend(&out[..length]);
    }
    let contents: Vec<&[u8]> = files.iter().map(|(_, bytes)| *bytes).collect();
    let mut archive = HandMade::of(&manifest, files.len() as u32, &contents);
    assert_eq!(archive.info.shape, writer.finish().shape);
    archive.info.longest_path = files.iter().map(|(path, _)| path.len() as u16).max().unwrap_or(0);
    archive
}

/// Number of steps of a commit that takes time.
const COMMIT_STEPS: u64 = 100;

/// A store in memory, with its staged and its committed archive.
pub(crate) struct MemoryStore {
    pub(crate) capacity: Capacity,
    pub(crate) staged: Vec<u8>,
    pub(crate) owner: Option<Offered>,
    pub(crate) committed: Vec<u8>,
    /// The sender of the committed archive.
    pub(crate) committed_by: Option<CertificateHash>,
    pub(crate) committed_manifest: u32,
    pub(crate) generation: u64,
    pub(crate) written: u64,
    /// Writing fails with this error once so many bytes are staged.
    pub(crate) fails_at: Option<(u64, StoreError)>,
    /// Checking an offer fails with this error.
    pub(crate) refuses: Option<StoreError>,
    /// Checking an offer takes until then.
    pub(crate) checked: Moment,
    /// Reading back the held prefix takes until then.
    pub(crate) read_back: Option<Moment>,
    /// Milliseconds that each write takes, and that a commit takes.
    pub(crate) delay: Option<(Rc<VirtualClock>, u64, u64)>,
    /// When a commit that takes time was done.
    pub(crate) committed_at: u64,
    /// The store never returns the manifest's digest.
    pub(crate) returns_no_manifest: bool,
    /// A reader has a lease on the storage until then.
    pub(crate) leased: Option<(Rc<VirtualClock>, u64)>,
    /// Whether the committed archive is used as a base, and what happens to it.
    pub(crate) base: Option<Base>,
    /// Number of files that were listed.
    listed: usize,
    /// Number of bytes that were taken from the base.
    pub(crate) taken: u64,
    /// A discard takes until then.
    pub(crate) discarded: Moment,
    /// The names that the store was given.
    pub(crate) names: Vec<String>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        let capacity = Capacity { total: 1 << 30, entries: 1_000, manifest: 1 << 20, path: 255, free: 1 << 30 };
        Self {
            capacity,
            staged: Vec::new(),
            owner: None,
            committed: Vec::new(),
            committed_by: None,
            committed_manifest: 0,
            generation: 0,
            written: 0,
            fails_at: None,
            refuses: None,
            checked: Moment::default(),
            read_back: None,
            delay: None,
            committed_at: 0,
            returns_no_manifest: false,
            leased: None,
            base: None,
            listed: 0,
            taken: 0,
            discarded: Moment::default(),
            names: Vec::new(),
        }
    }
}

/// What happens to a base after its files were listed.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Base {
    Stays,
    /// It can no longer be read.
    Goes,
    /// A byte of the first file that is taken changes.
    Changes,
}

/// A file of the archive that is being received that the base has with the same path and length.
struct Listed {
    file: u32,
    /// Where its content is in the archive.
    content: Range<usize>,
    /// Where its content is in the base.
    base: Range<usize>,
}

/// Verifies a whole archive as a receiver must. Returns its root, number of files and manifest digest.
pub(crate) fn check(archive: &[u8], manifest: u32) -> Result<(Digest, u32, Digest), ArchiveError> {
    let mut reader = ManifestReader::new(manifest);
    let (mut head, mut body) = archive.split_at(manifest as usize);
    let mut sizes = VecDeque::new();
    while let Some(entry) = reader.next(&mut head)? {
        if let Kind::File { size } = entry.kind {
            sizes.push_back(size);
        }
    }
    let summary = reader.finish()?;
    let mut content = ContentReader::new(&summary);
    loop {
        match content.next(&mut body)? {
            Some(Content::NeedFile) => content.begin_file(sizes.pop_front().expect("the summary counts the files"))?,
            Some(Content::End { root }) => return Ok((root, summary.shape.files, summary.digest)),
            Some(_) => {}
            None => return Err(ArchiveError::Truncated),
        }
    }
}

impl MemoryStore {
    fn check_lease(&self) -> Result<(), StoreError> {
        let is_leased = self.leased.as_ref().is_some_and(|(clock, until)| clock.now() < *until);
        if is_leased { Err(StoreError::InUse) } else { Ok(()) }
    }

    /// The files that may be taken from the base.
    fn listed(&self) -> Vec<Listed> {
        let Some(owner) = self.owner else { return Vec::new() };
        let has = files_of(&self.committed, self.committed_manifest);
        let files = files_of(&self.staged, owner.shape.manifest).into_iter().enumerate();
        let listed = files.filter_map(|(file, (path, content))| {
            let same = |(other, base): &&(String, Range<usize>)| *other == path && base.len() == content.len();
            let base = has.iter().find(same)?.1.clone();
            (!content.is_empty()).then_some(Listed { file: file as u32, content, base })
        });
        listed.collect()
    }

    fn prefix(&self) -> Held {
        let mut hasher = Hasher::new();
        hasher.update(&self.staged);
        Held { offset: self.staged.len() as u64, digest: hasher.digest() }
    }
}

impl Store for MemoryStore {
    const TAKES_NAME: bool = true;

    fn capacity(&mut self) -> Capacity {
        self.capacity
    }

    async fn check(&mut self, _: &Offered) -> Result<(), StoreError> {
        self.checked.reached_if_set().await;
        self.refuses.map_or(Ok(()), Err)
    }

    fn folder_name(&mut self, name: FolderName<'_>) {
        self.names.push(name.as_str().to_owned());
    }

    async fn begin(&mut self, offered: &Offered, matches: &dyn Fn(&Digest) -> bool) -> Result<Held, StoreError> {
        let manifest = offered.shape.manifest as usize;
        if self.committed.len() > manifest
            && self.committed_by == Some(offered.sender)
            && matches(&Digest::of(&self.committed[..manifest]))
        {
            self.staged = self.committed.clone();
            self.owner = Some(*offered);
            return Ok(self.prefix());
        }
        self.check_lease()?;
        if !(self.owner.is_some_and(|owner| owner.sender == offered.sender)
            && self.staged.len() > manifest
            && matches(&Digest::of(&self.staged[..manifest])))
        {
            self.staged.clear();
        }
        self.owner = Some(*offered);
        (self.listed, self.taken) = (0, 0);
        if let Some(moment) = &self.read_back {
            moment.reached().await;
        }
        Ok(self.prefix())
    }

    async fn restart(&mut self) -> Result<(), StoreError> {
        self.check_lease()?;
        self.staged.clear();
        Ok(())
    }

    async fn write(&mut self, archive: &[u8]) -> Result<(), StoreError> {
        if let Some((at, error)) = self.fails_at
            && self.staged.len() as u64 >= at
        {
            return Err(error);
        }
        if let Some((clock, write, _)) = &self.delay {
            clock.sleep_until(clock.now() + write).await;
        }
        self.written += archive.len() as u64;
        self.staged.extend(archive);
        Ok(())
    }

    fn has_base(&self) -> bool {
        let sender = self.owner.map(|owner| owner.sender);
        self.base.is_some() && !self.committed.is_empty() && self.committed_by == sender
    }

    async fn base_files(&mut self, files: &mut BaseFiles) -> Result<(), StoreError> {
        let at = self.staged.len();
        let listed = self.listed().into_iter().filter(|listed| listed.content.end + 32 > at);
        let mut next = 0;
        for (index, Listed { file, base, .. }) in listed.enumerate() {
            if index >= self.listed {
                let digest = Digest::of(&self.committed[base]);
                if files.push(BaseFile { skipped: file - next, digest }).is_err() {
                    break;
                }
                self.listed += 1;
            }
            next = file + 1;
        }
        Ok(())
    }

    async fn take(&mut self, mut length: u64) -> Result<(), StoreError> {
        if let Some((clock, write, _)) = &self.delay {
            clock.sleep_until(clock.now() + write).await;
        }
        let listed = self.listed();
        while length > 0 {
            let at = self.staged.len();
            let within = |listed: &&Listed| listed.content.start <= at && at < listed.content.end + 32;
            let Some(Listed { content, base, .. }) = listed.iter().find(within) else {
                return Err(StoreError::NotListed);
            };
            let mut bytes = self.committed[base.start + at - content.start..base.end + 32].to_vec();
            match self.base {
                Some(Base::Goes) => return Err(StoreError::BaseLost),
                Some(Base::Changes) if self.taken == 0 => bytes[0] ^= 1,
                _ => {}
            }
            length = length.checked_sub(bytes.len() as u64).ok_or(StoreError::NotListed)?;
            self.taken += bytes.len() as u64;
            self.staged.extend(bytes);
        }
        Ok(())
    }

    fn manifest(&self) -> Option<Digest> {
        let manifest = self.owner?.shape.manifest as usize;
        if self.returns_no_manifest {
            return None;
        }
        self.staged.get(..manifest).map(Digest::of)
    }

    fn durable(&self) -> u64 {
        self.staged.len() as u64
    }

    async fn commit(&mut self) -> Result<Receipt, StoreError> {
        if let Some((clock, _, commit)) = &self.delay {
            // In many steps: a session that does not poll the commit delays it.
            for _ in 0..COMMIT_STEPS {
                clock.sleep_until(clock.now() + commit / COMMIT_STEPS).await;
            }
            self.committed_at = clock.now();
        }
        let manifest = self.owner.expect("begun").shape.manifest;
        let checked = check(&self.staged, manifest);
        let (digest, files, _) = checked.map_err(|error| match self.taken {
            0 => StoreError::Archive(error),
            _ => StoreError::BaseLost,
        })?;
        if self.committed != self.staged {
            self.generation += 1;
            self.committed = self.staged.clone();
        }
        self.committed_manifest = manifest;
        self.committed_by = self.owner.map(|owner| owner.sender);
        Ok(Receipt { digest, files, bytes: self.committed.len() as u64, generation: self.generation })
    }

    async fn suspend(&mut self) {}

    async fn discard(&mut self) {
        self.discarded.reached_if_set().await;
        self.staged.clear();
        self.owner = None;
    }
}

/// A sender's user, who types these codes one after the other.
#[derive(Default)]
pub(crate) struct SenderUser {
    pub(crate) codes: VecDeque<AuthCode>,
    pub(crate) asked: Vec<Option<u8>>,
    pub(crate) events: Vec<sender::Event>,
    /// Milliseconds until a code is typed.
    pub(crate) code_delay: Option<(Rc<VirtualClock>, u64)>,
    /// The user interrupts the session then.
    pub(crate) interrupts_at: Moment,
}

impl sender::Operator for SenderUser {
    async fn code(&mut self, left: Option<u8>) -> Option<AuthCode> {
        self.asked.push(left);
        if let Some((clock, delay)) = &self.code_delay {
            clock.sleep_until(clock.now() + delay).await;
        }
        self.codes.pop_front()
    }

    fn event(&mut self, event: sender::Event) {
        self.events.push(event);
    }

    async fn interrupted(&mut self) {
        self.interrupts_at.reached().await;
    }
}

/// A receiver's user, who types these keys one after the other, and then nothing.
#[derive(Default)]
pub(crate) struct ReceiverUser {
    pub(crate) keys: VecDeque<TransferKey>,
    pub(crate) asked: Vec<Option<u8>>,
    pub(crate) events: Vec<receiver::Event>,
    pub(crate) codes: Vec<[u8; 4]>,
    /// The lockouts that are kept through a reset.
    pub(crate) kept_lockouts: Option<LockoutSnapshot>,
    /// The user types no key before then.
    pub(crate) types_at: Moment,
    /// The user interrupts the session then.
    pub(crate) interrupts_at: Moment,
}

/// A time that is reached, or never.
#[derive(Default)]
pub(crate) struct Moment(pub(crate) Option<(Rc<VirtualClock>, u64)>);

impl Moment {
    /// Waits until the time is reached; returns at once if there is none.
    async fn reached_if_set(&self) {
        if self.0.is_some() {
            self.reached().await;
        }
    }

    /// Waits until the time is reached, or without end if there is none.
    async fn reached(&self) {
        match &self.0 {
            Some((clock, at)) => clock.sleep_until(*at).await,
            None => std::future::pending().await,
        }
    }
}

impl receiver::Operator for ReceiverUser {
    fn keep_lockouts(&mut self, lockouts: &LockoutSnapshot) {
        self.kept_lockouts = Some(*lockouts);
    }

    fn code(&mut self, code: &AuthCode) {
        self.codes.push(*code.digits());
    }

    async fn key(&mut self, _: &Offered, left: Option<u8>, key: &mut TransferKey) -> receiver::KeyAnswer {
        self.asked.push(left);
        self.types_at.reached_if_set().await;
        match self.keys.pop_front() {
            Some(typed) => {
                key.copy_from(&typed);
                receiver::KeyAnswer::Given
            }
            None => std::future::pending().await,
        }
    }

    fn event(&mut self, event: receiver::Event) {
        self.events.push(event);
    }

    async fn interrupted(&mut self) {
        self.interrupts_at.reached().await;
    }
}

/// A source whose reads take long.
pub(crate) struct Slow<'s> {
    pub(crate) source: &'s mut HandMade,
    pub(crate) clock: &'s VirtualClock,
    /// Milliseconds that each read takes.
    pub(crate) delay: u64,
}

impl Source for Slow<'_> {
    fn info(&self) -> ArchiveInfo {
        self.source.info()
    }

    async fn rewind(&mut self) -> Result<(), SourceError> {
        self.source.rewind().await
    }

    fn uses_base(&self) -> bool {
        self.source.uses_base()
    }

    fn note_base_file(&mut self, file: u32, digest: &Digest) {
        self.source.note_base_file(file, digest);
    }

    async fn compare_base(&mut self, from: u64) -> Result<(), SourceError> {
        if self.delay > 0 {
            self.clock.sleep_until(self.clock.now() + self.delay).await;
        }
        self.source.compare_base(from).await
    }

    fn left_out(&mut self, from: u64) -> Range<u64> {
        self.source.left_out(from)
    }

    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, SourceError> {
        if self.delay > 0 {
            self.clock.sleep_until(self.clock.now() + self.delay).await;
        }
        self.source.read(buffer).await
    }

    fn root(&self) -> Option<Digest> {
        self.source.root()
    }
}
