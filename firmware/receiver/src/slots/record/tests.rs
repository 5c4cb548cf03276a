//! Tests of the byte format of records.

use std::string::String;
use std::vec::Vec;

use super::*;

fn records() -> [Record; 9] {
    let sizes = Sizes { total: 0x0102_0304, manifest: 5, entries: 6, files: 7 };
    let sender = CertificateHash([0x11; 32]);
    [
        Record::Begin(Begun { slot: Slot::B, sizes, sender }),
        Record::Progress { offset: 0x2000 },
        Record::Commit(Committed {
            slot: Slot::A,
            sizes,
            sender,
            created: 8,
            generation: 9,
            manifest: Digest([0x22; 32]),
            root: Digest([0x33; 32]),
        }),
        Record::Stamp(Stamp { sender, created: 10 }),
        Record::Clear,
        Record::Abandon,
        Record::Forget { generation: 11 },
        Record::Ack,
        Record::Revert { generation: 12 },
    ]
}

fn bytes_of(record: &Record) -> Vec<u8> {
    record.encode(77, &mut [0xee; RECORD_MAX]).to_vec()
}

#[test]
fn what_was_written_is_read() {
    for record in records() {
        let bytes = bytes_of(&record);
        assert_eq!(bytes.len() / CELL, record.cells() as usize);
        assert_eq!(Record::decode(77, &bytes), Some(record));
        assert_eq!(Record::decode(78, &bytes), None, "of another block");
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert_eq!(Record::decode(77, &bytes), None, "{at}");
        }
    }
}

/// Boards in the field hold these bytes: if this fails, the version of the head has to change, not the test alone.
#[test]
fn the_bytes_stay() {
    let all: Vec<u8> = records().iter().flat_map(bytes_of).collect();
    let layout = Layout::new(0..40960, 4096, 40960).unwrap();
    let head = Head { sequence: 77, snapshot: 22, before: 33 };
    let cell = head.encode(&layout);
    assert_eq!(Head::decode(&layout, &cell), Ok(head));
    assert_eq!((&void()[..9], checked(0, &void()).is_some()), (&b"WAFTVOID\x01"[..], true));
    assert_eq!(hex_of(&cell), "57414654534c4f540200001000000040000000004d00160021000ab916f93795");
    assert_eq!(
        std::format!("{}", Digest::of(&all)),
        "6964207ebab0015775817a30bfe0e0000317b58cb1d9a79435b05f9127082479"
    );
}

/// A board whose firmware is updated keeps its folder.
#[test]
fn a_head_of_the_first_version_is_read() {
    let layout = Layout::new(0..40960, 4096, 40960).unwrap();
    let mut cell = Head { sequence: 77, snapshot: 22, before: 33 }.encode(&layout);
    cell[MAGIC.len()] = 1;
    close(0, &mut cell);
    assert_eq!(hex_of(&cell), "57414654534c4f540100001000000040000000004d0016002100613557466587");
    assert_eq!(Head::decode(&layout, &cell), Ok(Head { sequence: 77, snapshot: 22, before: 33 }));
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| std::format!("{byte:02x}")).collect()
}

#[test]
fn a_head_of_another_layout_or_version_is_recognized_as_one() {
    let layout = |end| Layout::new(0..end, 4096, 1 << 20).unwrap();
    let mut cell = Head { sequence: 1, snapshot: 2, before: 3 }.encode(&layout(40960));
    let larger_blocks = Layout::new(0..49152, 8192, 1 << 20).unwrap();
    assert_eq!(
        (larger_blocks.slot(), Head::decode(&larger_blocks, &cell)),
        (layout(40960).slot(), Err(CellError::Foreign))
    );
    assert_eq!(Head::decode(&layout(49152), &cell), Err(CellError::Foreign));
    assert_eq!(Head::decode(&layout(45056), &cell), Ok(Head { sequence: 1, snapshot: 2, before: 3 }), "the same slots");
    cell[MAGIC.len()] += 1;
    assert_eq!(Head::decode(&layout(40960), &cell), Err(CellError::Torn), "its checksum is wrong");
    // A later version may use the bytes in between as it likes.
    for filling in [0, 0xa5, 0xff] {
        cell[MAGIC.len() + 1..CELL - CHECKSUM].fill(filling);
        close(0, &mut cell);
        assert_eq!(Head::decode(&layout(40960), &cell), Err(CellError::Foreign));
    }
    assert_eq!(Head::decode(&layout(40960), &[0xff; CELL]), Err(CellError::Blank));
    assert_eq!(Head::decode(&layout(40960), &void()), Err(CellError::Torn));
}
