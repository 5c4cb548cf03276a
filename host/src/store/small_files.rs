//! Threads that write small files, while the store's own thread verifies and creates the next ones.
//!
//! A small file costs its calls to the file system, not its bytes. The store's thread creates every file, in the order of
//! the archive, so that the same name fails every time and a directory is complete when it gets its time. Writing the
//! content, and setting mode and time, is left to these threads:
//!
//! ```text
//! store: verify, create | small files: write, mode, time, close
//! ```
//!
//! They get files whose whole content has arrived and matches its digest, in batches. An archive counts as written only
//! up to the oldest batch that is not. What an interruption leaves unwritten is shorter than the manifest says, and a
//! later transfer resumes there.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use super::capabilities::Capabilities;
use super::staged_file::StagedFile;
use crate::queue::{Input, Output, queue};
use crate::worker::{is_given_up, start_helper};

/// Number of threads. The store's thread has more to do for each file than two of them.
const THREADS: usize = 2;
/// Most files in a batch. It bounds the number of open files, of which some systems allow a process 256.
const FILES: usize = 16;
/// A batch of this length, in bytes of content, is complete.
const BYTES: usize = 64 << 10;

/// Writes small files on threads of its own, which end with `'scope`.
pub(super) struct SmallFiles<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    /// One queue for each thread. Empty until there is a first batch.
    threads: Vec<Input<Batch>>,
    batch: Batch,
    /// Number of the next batch.
    next: usize,
    /// The batches that are not written yet, oldest first.
    unwritten: VecDeque<Unwritten>,
    /// For further threads.
    report: Option<Sender<Done>>,
    done: Receiver<Done>,
}

/// Files and their contents, one after the other.
#[derive(Default)]
struct Batch {
    number: usize,
    files: Vec<SmallFile>,
    content: Vec<u8>,
}

struct SmallFile {
    file: StagedFile,
    /// Its path in the folder.
    path: String,
    /// Length of its content.
    length: usize,
    capabilities: Capabilities,
}

/// A batch that is not written yet.
struct Unwritten {
    number: usize,
    /// Offset in the archive, before the batch's first file.
    start: u64,
    is_written: bool,
}

/// The result of writing a batch.
struct Done {
    number: usize,
    result: Result<(), Failed>,
}

/// A file that could not be written.
pub(super) struct Failed {
    /// Its path in the folder.
    pub(super) path: String,
    pub(super) error: io::Error,
}

impl<'scope, 'env> SmallFiles<'scope, 'env> {
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>) -> Self {
        let (report, done) = channel();
        let (batch, unwritten) = (Batch::default(), VecDeque::new());
        Self { scope, threads: Vec::new(), batch, next: 0, unwritten, report: Some(report), done }
    }

    /// Adds the next bytes of the file whose content arrives at present.
    pub(super) fn add_content(&mut self, content: &[u8]) {
        self.batch.content.extend_from_slice(content);
    }

    /// Adds a file. Its content is what was added since the last file. `start` is an offset in the archive before it.
    pub(super) fn add(
        &mut self,
        file: StagedFile,
        path: &str,
        capabilities: Capabilities,
        start: u64,
    ) -> Result<(), Failed> {
        let before: usize = self.batch.files.iter().map(|file| file.length).sum();
        let length = self.batch.content.len() - before;
        self.batch.files.push(SmallFile { file, path: path.to_owned(), length, capabilities });
        if self.batch.files.len() < FILES && self.batch.content.len() < BYTES { Ok(()) } else { self.hand_over(start) }
    }

    /// Hands the files that were added to a thread, and waits while it has too many. Fails if a file could not be
    /// written. `start` is an offset in the archive before these files.
    pub(super) fn hand_over(&mut self, start: u64) -> Result<(), Failed> {
        self.collect()?;
        if self.batch.files.is_empty() {
            return Ok(());
        }
        let at = self.next % THREADS;
        if let Some(report) = self.report.as_ref().filter(|_| at == self.threads.len()) {
            let (input, output) = queue(1);
            let report = report.clone();
            let helper = start_helper(self.scope, move || write_batches(output, &report));
            helper.map_err(|error| self.not_handed_over(error))?;
            self.threads.push(input);
        }
        let thread = &self.threads[at];
        let mut batch = std::mem::replace(&mut self.batch, thread.buffer());
        batch.number = self.next;
        self.unwritten.push_back(Unwritten { number: self.next, start, is_written: false });
        self.next += 1;
        match thread.blocking_send(batch) {
            Ok(()) => Ok(()),
            // The thread ends early only after a failure, which it has reported.
            Err(_) => self.collect(),
        }
    }

    /// The failure of the first file that was to be handed over.
    fn not_handed_over(&self, error: io::Error) -> Failed {
        Failed { path: self.batch.files.first().map(|file| file.path.clone()).unwrap_or_default(), error }
    }

    /// Number of bytes at the front of the archive that are written, if the store's thread has written `position`.
    pub(super) fn durable(&self, position: u64) -> u64 {
        self.unwritten.front().map_or(position, |batch| batch.start)
    }

    /// Waits until all files are written, and ends the threads. Fails if a file could not be written.
    pub(super) fn finish(mut self) -> Result<(), Failed> {
        self.threads.clear();
        self.report = None;
        while let Ok(done) = self.done.recv() {
            self.note(done)?;
        }
        Ok(())
    }

    fn collect(&mut self) -> Result<(), Failed> {
        while let Ok(done) = self.done.try_recv() {
            self.note(done)?;
        }
        Ok(())
    }

    fn note(&mut self, Done { number, result }: Done) -> Result<(), Failed> {
        result?;
        if let Some(batch) = self.unwritten.iter_mut().find(|batch| batch.number == number) {
            batch.is_written = true;
        }
        while self.unwritten.pop_front_if(|batch| batch.is_written).is_some() {}
        Ok(())
    }
}

/// Writes batches until there are no more, or until a file cannot be written.
fn write_batches(mut batches: Output<Batch>, report: &Sender<Done>) {
    while let Some(mut batch) = batches.blocking_next() {
        let (number, result) = (batch.number, batch.write());
        let has_failed = result.is_err();
        // Nothing receives the result if something else has failed.
        let _ = report.send(Done { number, result });
        if has_failed {
            return;
        }
        batches.give_back(batch);
    }
}

impl Batch {
    /// Writes the files, and leaves the batch empty.
    fn write(&mut self) -> Result<(), Failed> {
        let mut rest = &self.content[..];
        for SmallFile { file, path, length, capabilities } in self.files.drain(..) {
            let (content, others) = rest.split_at(length);
            rest = others;
            write(file, content, capabilities).map_err(|error| Failed { path, error })?;
        }
        self.content.clear();
        Ok(())
    }
}

fn write(mut file: StagedFile, content: &[u8], capabilities: Capabilities) -> io::Result<()> {
    if is_given_up() {
        return Err(io::Error::other("nothing waits for it any more"));
    }
    file.write(content, capabilities)?;
    file.finish(capabilities)
}
