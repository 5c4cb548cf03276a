//! Files that file managers put into a folder when a user only looks at it: view settings, thumbnails, attributes.
//!
//! In an inbox such a file does not make a received folder an edited one (see `compare` and `replace`), and it is removed
//! with the folder when that is replaced. A file manager is known by the name and by how the file begins. Only small
//! regular files count, whose loss costs a user little. A file of such a name that was sent is a part of the folder, as any
//! other.

use std::ffi::OsStr;
use std::io::Read as _;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_std::fs::{Dir, OpenOptions};

/// The names, in any case, and the first bytes, of files of macOS, Windows (two) and KDE.
const KNOWN: [(&str, &[u8]); 4] = [
    (".DS_Store", b"\0\0\0\x01Bud1"),
    ("Thumbs.db", b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"),
    ("desktop.ini", b"["),
    (".directory", b"["),
];
/// What macOS puts before the name of a file for a file of that file's attributes, where the file system keeps none, and
/// the first bytes of that.
const ATTRIBUTES_OF: (&str, &[u8]) = ("._", b"\0\x05\x16\x07");
/// Byte order marks, which may precede the text of a file.
const MARKS: [&[u8]; 2] = [b"\xFF\xFE", b"\xEF\xBB\xBF"];
/// Most bytes of such a file.
const SIZE_MAX: u64 = 1 << 20;

/// Whether a file manager may have put this entry into the directory.
pub(super) fn has_put(dir: &Dir, name: &OsStr) -> bool {
    let Some(beginning) = beginning_of(dir, name) else { return false };
    let is_small_file = |found: &cap_std::fs::Metadata| found.is_file() && found.len() <= SIZE_MAX;
    dir.symlink_metadata(name).is_ok_and(|found| is_small_file(&found)) && begins(dir, name, beginning).unwrap_or(false)
}

/// How a file manager's file of this name begins.
fn beginning_of(dir: &Dir, name: &OsStr) -> Option<&'static [u8]> {
    let name = name.to_str()?;
    let is_beside = |of: &str| !of.is_empty() && dir.symlink_metadata(of).is_ok();
    let known = KNOWN.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, beginning)| *beginning);
    known.or_else(|| name.strip_prefix(ATTRIBUTES_OF.0).is_some_and(is_beside).then_some(ATTRIBUTES_OF.1))
}

fn begins(dir: &Dir, name: &OsStr, beginning: &[u8]) -> std::io::Result<bool> {
    let mut options = OpenOptions::new();
    // If a pipe has taken the file's place, do not block until it has a writer.
    options.read(true).follow(FollowSymlinks::No).nonblock(true);
    let file = dir.open_with(name, &options)?;
    let mut found = Vec::new();
    file.take(16).read_to_end(&mut found)?;
    let text = MARKS.iter().find_map(|mark| found.strip_prefix(*mark)).unwrap_or(&found);
    Ok(text.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cap_std::ambient_authority;

    use super::*;

    #[test]
    fn only_small_regular_files_of_known_names_count() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        let [store, thumbnails, ini, attributes]: [&[u8]; 4] =
            [b"\0\0\0\x01Bud1\0", b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", b"\xFF\xFE[\0.\0", b"\0\x05\x16\x07\0\x02"];
        for (name, content) in [
            (".DS_Store", store),
            ("thumbs.db", thumbnails),
            ("Desktop.ini", ini),
            ("photo", b"photo"),
            ("._photo", attributes),
            ("._alone", attributes),
            ("._", attributes),
            ("._.x", attributes),
            ("DS_Store", store),
            ("notes", b"notes"),
            ("._notes", b"of a user"),
        ] {
            fs::write(at(name), content).unwrap();
        }
        fs::create_dir(at(".directory")).unwrap();
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        let has_put = |name: &str| super::has_put(&dir, name.as_ref());
        assert!([".DS_Store", "thumbs.db", "Desktop.ini", "._photo"].into_iter().all(has_put));
        let others = ["photo", "._alone", "._", "._.x", "DS_Store", ".directory", "absent", "notes", "._notes"];
        assert!(!others.into_iter().any(has_put));
        fs::write(at("desktop.ini"), "to do").unwrap();
        assert!(!has_put("desktop.ini"));
        fs::File::create(at("thumbs.db")).unwrap().set_len(SIZE_MAX + 1).unwrap();
        assert!(!has_put("thumbs.db"));
    }
}
