//! The name under which a folder crosses, if its sender chooses no other: the last component of the path that is sent.
//!
//! A name in the file system may have characters that the name of a folder cannot have (PROTOCOL.md, section 8.2), or none
//! at all, as `/` has none. The walk replaces them, so that every folder that can be read can be sent.

use std::path::Path;

use waft_core::limits::COMPONENT_MAX;
use waft_core::path::FolderName;

/// The name of a path that has none.
const NAMELESS: &str = "folder";

/// The name for the folder at `path`.
pub(super) fn of_path(path: &Path) -> String {
    // A path such as `.` has a name only in its absolute form.
    let name = match path.file_name() {
        Some(name) => Some(name.to_owned()),
        None => path.canonicalize().ok().and_then(|whole| whole.file_name().map(|name| name.to_owned())),
    };
    name.map_or(NAMELESS.to_owned(), |name| sanitize(&name.to_string_lossy()))
}

/// The name without the characters that the name of a folder cannot have.
fn sanitize(name: &str) -> String {
    let mut clean: String = name.chars().map(|c| if c.is_control() || c == '/' { '_' } else { c }).collect();
    // Bytes that are no UTF-8 were replaced by longer ones.
    clean.truncate(clean.floor_char_boundary(COMPONENT_MAX));
    if FolderName::new(&clean).is_ok() { clean } else { NAMELESS.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_called_by_its_last_component() {
        for (path, name) in [("a/photos", "photos"), ("photos/", "photos"), ("notes.txt", "notes.txt"), ("/", NAMELESS)]
        {
            assert_eq!(of_path(Path::new(path)), name, "{path}");
        }
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().canonicalize().unwrap();
        assert_eq!(of_path(&folder.path().join("x/..")), NAMELESS, "`x` does not exist");
        std::fs::create_dir(folder.path().join("x")).unwrap();
        assert_eq!(of_path(&folder.path().join("x/..")), whole.file_name().unwrap().to_str().unwrap());
    }

    #[test]
    fn every_name_becomes_one_that_can_be_sent() {
        for (name, clean) in [("a\nb", "a_b"), ("\u{1b}[2J", "_[2J"), ("", NAMELESS), ("..", NAMELESS), ("ok", "ok")] {
            assert_eq!(sanitize(name), clean, "{name:?}");
        }
        let long = "\u{fffd}".repeat(100);
        assert_eq!(sanitize(&long), "\u{fffd}".repeat(85));
    }
}
