//! Target for the journal and the slots in flash. Any content can be mounted, read, and changed without a panic, and a
//! mount shows the same folder as the one before.

use embassy_futures::block_on;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use waft_core::digest::Hasher;
use waft_receiver::slots::{BUFFER_MIN, Digest, Folder, Slots, Transfer};

use crate::flash::{BLOCK, BLOCKS, Flash};

/// Bytes of a cell of the journal, and of the checksum at the end of a record.
const CELL: usize = 32;
const CHECKSUM: usize = 6;
/// Bytes that the input has for each of the journal's blocks. The rest of the input is the content of slot A.
const JOURNAL: usize = 12 * CELL;

/// The input is a byte of flags, the start of both blocks of the journal, and the start of slot A. Where a flag is set,
/// the records of a block get a valid head and valid checksums.
pub fn run(data: &[u8]) {
    let [flags, rest @ ..] = data else { return };
    let mut flash = Flash::new();
    for (block, content) in rest.chunks(JOURNAL).take(2).enumerate() {
        let target = &mut flash.0[block * BLOCK..][..JOURNAL];
        target[..content.len()].copy_from_slice(content);
        if flags >> block & 1 != 0 {
            correct(target, block as u32 + u32::from(flags >> 2 & 1));
        }
    }
    let slot = rest.get(2 * JOURNAL..).unwrap_or_default();
    let length = slot.len().min(BLOCK);
    flash.0[2 * BLOCK..][..length].copy_from_slice(&slot[..length]);

    let flash = Mutex::new(flash);
    let first = mount(&flash, flags >> 3);
    let second = mount(&flash, 0);
    assert!(flags >> 3 & 3 != 0 || first == second, "{first:?} became {second:?}");
    mount(&flash, flags >> 3 | 1);
}

/// Gives a block a head of this layout with this sequence number, and all its records the right checksums.
fn correct(block: &mut [u8], sequence: u32) {
    let slot = ((BLOCKS - 2) / 2 * BLOCK) as u32;
    let fields = [BLOCK as u32, slot, sequence].map(u32::to_be_bytes);
    block[..8].copy_from_slice(b"WAFTSLOT");
    block[8] = 2;
    block[9..21].copy_from_slice(fields.as_flattened());
    close(0, &mut block[..CELL]);
    let mut at = CELL;
    while at < block.len() {
        let cells = match block[at] {
            1 | 4 => 2,
            3 => 5,
            _ => 1,
        };
        let end = (at + cells * CELL).min(block.len());
        if block[at..end].iter().any(|byte| *byte != 0xff) {
            close(sequence, &mut block[at..end]);
        }
        at = end;
    }
}

fn close(sequence: u32, bytes: &mut [u8]) {
    let (body, end) = bytes.split_last_chunk_mut::<CHECKSUM>().expect("a record is longer");
    let mut hasher = Hasher::new();
    hasher.update(&sequence.to_be_bytes());
    hasher.update(body);
    end.copy_from_slice(&hasher.digest().0[..CHECKSUM]);
}

/// Mounts the slots, reads the folder, and performs the changes of the flags. Returns what was shown before them.
fn mount(flash: &Mutex<NoopRawMutex, Flash>, changes: u8) -> Option<(u64, Digest)> {
    block_on(async {
        let slots = Slots::new(flash, 0..(BLOCKS * BLOCK) as u32).await.expect("the layout is valid");
        slots.mount(&mut [0; BUFFER_MIN]).await.expect("the buffer is long enough");
        let folder = slots.folder();
        let shown = folder.as_ref().map(|folder| (folder.generation(), folder.digest()));
        if let Some(folder) = folder {
            read(&folder).await;
        }
        if changes & 1 != 0 {
            let _ = slots.revert().await;
        }
        if changes & 2 != 0 {
            slots.forget().await.expect("the flash does not fail");
            assert!(slots.folder().is_none());
        }
        shown
    })
}

async fn read(folder: &Folder<'_, NoopRawMutex, Flash>) {
    let mut entries = folder.entries();
    while let Ok(Some(listed)) = entries.next().await {
        if let Some(file) = listed.file {
            let _ = file.read_at(0, &mut [0; 64]).await;
        }
    }
    let mut memory = Transfer::new();
    let mut verification = folder.verify(&mut memory).await;
    while let Ok(Some(_)) = verification.next().await {}
}
