//! Relative paths that are safe by construction, and the escaping of untrusted text before a terminal shows it.
//!
//! Every path that comes from a peer is parsed into a [`RelPath`] before any other code uses it; from then on it is
//! trusted. Names that only some platforms cannot hold are legal here: the receiver's store checks for those of its own
//! platform. PROTOCOL.md, section 8.2.

use core::cmp::Ordering;
use core::fmt::{self, Write};

use crate::limits::{COMPONENT_MAX, DEPTH_MAX, PATH_MAX};

/// A relative path: 1 to 1024 bytes of UTF-8, 1 to 64 components joined by `/`, each of 1 to 255 bytes, none of
/// them `.` or `..`, no control characters. Paths are ordered component by component, as in a manifest.
///
/// `Display` escapes characters that could mislead a reader, as [`escape`] does; [`RelPath::as_str`] returns the path
/// unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RelPath<'a>(&'a str);

impl<'a> RelPath<'a> {
    /// Parses `path`, and checks it against all rules of this type.
    pub fn new(path: &'a str) -> Result<Self, PathError> {
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        if path.len() > PATH_MAX {
            return Err(PathError::TooLong);
        }
        if path.starts_with('/') {
            return Err(PathError::Absolute);
        }
        if path.chars().any(char::is_control) {
            return Err(PathError::Control);
        }
        let mut depth = 0;
        for component in path.as_bytes().split(is_separator) {
            check_component(component)?;
            depth += 1;
        }
        if depth > DEPTH_MAX {
            return Err(PathError::TooDeep);
        }
        Ok(Self(path))
    }

    /// The path as it is written in a manifest.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// The components, outermost first.
    pub fn components(self) -> impl Iterator<Item = &'a str> {
        self.0.split('/')
    }

    /// The path of the directory that contains this entry; `None` if that is the root.
    pub fn parent(self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent))
    }

    /// The last component.
    pub fn name(self) -> &'a str {
        self.0.rsplit_once('/').map_or(self.0, |(_, name)| name)
    }

    /// Whether this path is inside `directory`, at any depth.
    pub fn is_below(self, directory: RelPath<'_>) -> bool {
        self.0.strip_prefix(directory.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl Ord for RelPath<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        // Component by component: a separator comes before every other byte, and a path has no byte 0.
        let order = |byte: u8| if byte == b'/' { 0 } else { byte };
        self.0.bytes().map(order).cmp(other.0.bytes().map(order))
    }
}

impl PartialOrd for RelPath<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RelPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", escape(self.0))
    }
}

impl fmt::Debug for RelPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for RelPath<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self));
    }
}

/// The name of a folder, which its sender chose: one component of a [`RelPath`].
///
/// `Display` escapes characters that could mislead a reader, as [`escape`] does.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FolderName<'a>(&'a str);

impl<'a> FolderName<'a> {
    /// Checks a name against the rules of [`RelPath`], and that it has no slash.
    pub fn new(name: &'a str) -> Result<Self, PathError> {
        // The name is checked as a whole first, so that its own error comes before that of a part.
        if name.len() > COMPONENT_MAX {
            return Err(PathError::ComponentTooLong);
        }
        if name.contains('/') {
            return Err(PathError::Separator);
        }
        RelPath::new(name).map(|path| Self(path.0))
    }

    /// The name as its sender wrote it.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for FolderName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        RelPath(self.0).fmt(f)
    }
}

impl fmt::Debug for FolderName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// An owned [`RelPath`], or none, for code that keeps a path longer than the buffer it was read from: about 1 KiB.
#[derive(Clone, Default)]
pub struct PathBuffer(heapless::String<PATH_MAX>);

impl PathBuffer {
    /// A buffer that holds no path.
    pub const fn new() -> Self {
        Self(heapless::String::new())
    }

    /// Removes the path.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Replaces the path by a copy of `path`.
    pub fn set(&mut self, path: RelPath<'_>) {
        self.0.clear();
        self.0.push_str(path.0).expect("a RelPath has at most PATH_MAX bytes");
    }

    /// The path, if there is one.
    pub fn path(&self) -> Option<RelPath<'_>> {
        // Only `set` writes to the buffer, so its text is that of a `RelPath`.
        (!self.0.is_empty()).then_some(RelPath(&self.0))
    }
}

/// Why a text is not a [`RelPath`]. The side that made the archive is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PathError {
    /// The path is empty.
    Empty,
    /// The path begins with `/`.
    Absolute,
    /// The path has more than 1024 bytes.
    TooLong,
    /// The path has more than 64 components.
    TooDeep,
    /// A component has more than 255 bytes.
    ComponentTooLong,
    /// A component is empty: the path has two `/` in a row, or one at its end.
    EmptyComponent,
    /// A component is `.` or `..`.
    Dots,
    /// The path has a control character.
    Control,
    /// The name of a folder has a slash.
    Separator,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the path is empty",
            Self::Absolute => "the path is absolute",
            Self::TooLong => "the path has more than 1024 bytes",
            Self::TooDeep => "the path has more than 64 components",
            Self::ComponentTooLong => "a name in the path has more than 255 bytes",
            Self::EmptyComponent => "the path has two slashes in a row, or one at its end",
            Self::Dots => "the path has a component `.` or `..`",
            Self::Control => "the path has a control character",
            Self::Separator => "the name has a slash",
        })
    }
}

impl core::error::Error for PathError {}

/// Displays untrusted text, and replaces every character that could move, hide or reorder text on a terminal by
/// `\u{..}`: controls, bidirectional marks, zero-width characters, line separators, byte order marks, tags.
pub fn escape(text: &str) -> impl fmt::Display {
    Escaped { text, keeps_tabs: false }
}

/// Does what [`escape`] does, but keeps tabs.
pub fn escape_except_tabs(text: &str) -> impl fmt::Display {
    Escaped { text, keeps_tabs: true }
}

struct Escaped<'a> {
    text: &'a str,
    keeps_tabs: bool,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_kept = |character| self.keeps_tabs && character == '\t';
        self.text.chars().try_for_each(|character| match is_unsafe_to_display(character) && !is_kept(character) {
            true => write!(f, "{}", character.escape_unicode()),
            false => f.write_char(character),
        })
    }
}

/// Whether [`escape`] replaces the character.
pub(crate) fn is_unsafe_to_display(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn is_separator(byte: &u8) -> bool {
    *byte == b'/'
}

fn check_component(component: &[u8]) -> Result<(), PathError> {
    match component {
        b"" => Err(PathError::EmptyComponent),
        b"." | b".." => Err(PathError::Dots),
        _ if component.len() > COMPONENT_MAX => Err(PathError::ComponentTooLong),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;

    fn path(text: &str) -> RelPath<'_> {
        RelPath::new(text).expect("a legal path")
    }

    #[test]
    fn paths_are_ordered_component_by_component() {
        let parts = ["a", "b", "a!", "a0", "aé", "-", "a b"];
        let mut paths = Vec::from(parts.map(String::from));
        for one in parts {
            paths.extend(parts.map(|other| format!("{one}/{other}")));
            paths.extend(parts.map(|other| format!("{one}/{other}/{one}")));
        }
        for one in paths.iter().map(|text| path(text)) {
            for other in paths.iter().map(|text| path(text)) {
                assert_eq!(one.cmp(&other), one.components().cmp(other.components()), "{one} {other}");
            }
        }
    }

    #[test]
    fn names_that_only_some_platforms_refuse_are_legal() {
        for text in ["a", "a/b", "...", "..a", "a.", "a ", "aux.c", "C:\\x", "-rf", "~", "naïve/日本", "e\u{301}"] {
            assert_eq!(RelPath::new(text).map(RelPath::as_str), Ok(text));
        }
    }

    #[test]
    fn every_illegal_path_has_its_error() {
        for (text, error) in [
            ("", PathError::Empty),
            ("/", PathError::Absolute),
            ("/etc/passwd", PathError::Absolute),
            ("a//b", PathError::EmptyComponent),
            ("a/", PathError::EmptyComponent),
            (".", PathError::Dots),
            ("a/./b", PathError::Dots),
            ("a/..", PathError::Dots),
            ("../a", PathError::Dots),
            ("a\0", PathError::Control),
            ("a\nb", PathError::Control),
            ("\u{1b}[2J", PathError::Control),
            ("\u{7f}", PathError::Control),
            ("a\u{9b}m", PathError::Control),
        ] {
            assert_eq!(RelPath::new(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_name_of_a_folder_is_one_component() {
        let longest = "n".repeat(COMPONENT_MAX);
        for name in ["a", "photos 2024", "...", "naïve", "C:\\x", ".a.waft", &longest] {
            assert_eq!(FolderName::new(name).map(FolderName::as_str), Ok(name));
        }
        for (name, error) in [
            ("", PathError::Empty),
            (".", PathError::Dots),
            ("..", PathError::Dots),
            ("a/b", PathError::Separator),
            ("/a", PathError::Separator),
            ("a/", PathError::Separator),
            ("a\0", PathError::Control),
            ("\u{1b}[2J", PathError::Control),
            (&format!("{longest}n"), PathError::ComponentTooLong),
        ] {
            assert_eq!(FolderName::new(name), Err(error), "{name:?}");
        }
        assert_eq!(FolderName::new("x\u{202e}y").unwrap().to_string(), "x\\u{202e}y");
    }

    #[test]
    fn limits_are_exact_to_the_byte() {
        let name = "n".repeat(COMPONENT_MAX);
        assert!(RelPath::new(&name).is_ok());
        assert_eq!(RelPath::new(&format!("{name}n")), Err(PathError::ComponentTooLong));

        let deep = ["d"; DEPTH_MAX].join("/");
        assert!(RelPath::new(&deep).is_ok());
        assert_eq!(RelPath::new(&format!("{deep}/d")), Err(PathError::TooDeep));

        let mut long = [name.as_str(); 4].join("/");
        long.replace_range(..1, "é");
        assert_eq!(long.len(), PATH_MAX);
        assert_eq!(RelPath::new(&long), Err(PathError::ComponentTooLong));
        let long = format!("{}/a/b", [&name[1..]; 4].join("/"));
        assert_eq!(long.len(), PATH_MAX - 1);
        assert!(RelPath::new(&format!("{long}c")).is_ok());
        assert_eq!(RelPath::new(&format!("{long}cc")), Err(PathError::TooLong));
    }

    #[test]
    fn paths_are_ordered_by_components() {
        let ascending = ["A", "a", "a/x", "a/x/y", "a/x-", "a-b", "a.b", "ab", "é"];
        assert!(ascending.is_sorted_by(|a, b| path(a) < path(b)));
    }

    #[test]
    fn name_parent_and_is_below_split_at_slashes() {
        assert_eq!(path("a/b/c").parent(), Some(path("a/b")));
        assert_eq!(path("a").parent(), None);
        assert_eq!((path("a/b/c").name(), path("a").name()), ("c", "a"));
        assert!(path("a/b/c").is_below(path("a")));
        assert!(!path("a").is_below(path("a")));
        assert!(!path("ab/c").is_below(path("a")));
    }

    #[test]
    fn misleading_characters_are_escaped() {
        assert_eq!(path("x\u{202e}gpj.exe").to_string(), "x\\u{202e}gpj.exe");
        assert_eq!(escape("\u{1b}[31m\n").to_string(), "\\u{1b}[31m\\u{a}");
        for unsafe_one in
            ['\u{200e}', '\u{200f}', '\u{202a}', '\u{2066}', '\u{2069}', '\u{61c}', '\u{200b}', '\u{feff}']
        {
            assert_eq!(escape(&String::from(unsafe_one)).to_string(), format!("{}", unsafe_one.escape_unicode()));
        }
        assert_eq!(escape("naïve 日本 😀").to_string(), "naïve 日本 😀");
    }

    #[test]
    fn a_buffer_holds_the_path_that_was_set_last() {
        let mut buffer = PathBuffer::new();
        assert_eq!(buffer.path(), None);
        buffer.set(path("long/one"));
        buffer.set(path("b"));
        assert_eq!(buffer.path(), Some(path("b")));
    }
}
