//! Target for archives. The first byte of the input is the length of the manifest, the second the length of the pieces
//! in which the rest is read. The result must not depend on the pieces.

use std::collections::VecDeque;

use waft_core::archive::{ArchiveError, Content, ContentReader, Kind, ManifestReader};
use waft_core::digest::Digest;

/// Reads an archive in one piece and in many pieces.
pub fn run(data: &[u8]) {
    let [manifest, cut, archive @ ..] = data else { return };
    let whole = read(archive, u32::from(*manifest), usize::MAX);
    let cut = read(archive, u32::from(*manifest), usize::from(*cut).max(1));
    // Bytes after the end are an error only if the reader sees them.
    if whole != Err(ArchiveError::Trailing) && !matches!(cut, Ok(Some(_))) {
        assert_eq!(whole.is_err(), cut.is_err());
    }
}

fn read(archive: &[u8], manifest: u32, cut: usize) -> Result<Option<Digest>, ArchiveError> {
    let mut reader = ManifestReader::new(manifest);
    let mut sizes = VecDeque::new();
    let mut content = None;
    for mut piece in archive.chunks(cut) {
        while content.is_none() {
            let kind = reader.next(&mut piece)?.map(|entry| entry.kind);
            match kind {
                Some(Kind::File { size }) => sizes.push_back(size),
                Some(Kind::Directory) => {}
                None if reader.is_complete() => content = Some(ContentReader::new(&reader.finish()?)),
                None => break,
            }
        }
        let Some(content) = &mut content else { continue };
        loop {
            match content.next(&mut piece)? {
                Some(Content::NeedFile) => content.begin_file(sizes.pop_front().expect("counted"))?,
                None => break,
                Some(Content::End { root }) if piece.is_empty() => return Ok(Some(root)),
                _ => {}
            }
        }
    }
    Ok(None)
}
