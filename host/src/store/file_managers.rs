//! Files that file managers put into a folder when a user only looks at it: view settings, thumbnails, attributes.
//!
//! In an inbox such a file does not make a received folder an edited one (see `compare` and `replace`), and it is removed
//! with the folder when that is replaced. That a file manager made it is known only by its name, so only small regular
//! files count, whose loss costs a user little. A file of such a name that was sent is a part of the folder, as any other.

use std::ffi::OsStr;

use cap_std::fs::Dir;

/// Their names, in any case: those of macOS, Windows (two) and KDE.
const NAMES: [&str; 4] = [".DS_Store", "Thumbs.db", "desktop.ini", ".directory"];
/// What macOS puts before the name of a file for a file of that file's attributes, where the file system keeps none.
const ATTRIBUTES_OF: &str = "._";
/// Most bytes of such a file.
const SIZE_MAX: u64 = 1 << 20;

/// Whether a file manager may have put this entry into the directory.
pub(super) fn has_put(dir: &Dir, name: &OsStr) -> bool {
    is_name(dir, name) && dir.symlink_metadata(name).is_ok_and(|found| found.is_file() && found.len() <= SIZE_MAX)
}

fn is_name(dir: &Dir, name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let is_beside = |of: &str| !of.is_empty() && dir.symlink_metadata(of).is_ok();
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
        || name.strip_prefix(ATTRIBUTES_OF).is_some_and(is_beside)
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
        for name in [".DS_Store", "thumbs.db", "Desktop.ini", "photo", "._photo", "._alone", "._", "._.x", "DS_Store"] {
            fs::write(at(name), name).unwrap();
        }
        fs::create_dir(at(".directory")).unwrap();
        let dir = Dir::open_ambient_dir(temp.path(), ambient_authority()).unwrap();
        let has_put = |name: &str| super::has_put(&dir, name.as_ref());
        assert!([".DS_Store", "thumbs.db", "Desktop.ini", "._photo"].into_iter().all(has_put));
        assert!(!["photo", "._alone", "._", "._.x", "DS_Store", ".directory", "absent"].into_iter().any(has_put));
        fs::File::create(at("thumbs.db")).unwrap().set_len(SIZE_MAX + 1).unwrap();
        assert!(!has_put("thumbs.db"));
    }
}
