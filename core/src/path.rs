//! Paths of entries, and how untrusted text is shown.
//!
//! A [`RelPath`] cannot be unsafe: whoever has one need not look at it again. What only some platform
//! cannot hold is that platform's affair. PROTOCOL.md, section 8.2.

use core::cmp::Ordering;
use core::fmt;

use crate::limits::{COMPONENT_MAX, DEPTH_MAX, PATH_MAX};

/// A relative path of UTF-8 components joined by `/`: never empty, absolute, leading outwards, with control characters, or past the limits.
///
/// Ordered component by component, as manifests are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RelPath<'a>(&'a str);

/// Why text is no [`RelPath`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PathError {
    /// Empty, or with an empty component: a leading, trailing or double `/`.
    Empty,
    /// A component is `.` or `..`.
    Dots,
    /// A control character (U+0000 to U+001F, U+007F to U+009F).
    Control,
    /// Longer than [`PATH_MAX`].
    TooLong,
    /// A component longer than [`COMPONENT_MAX`].
    ComponentTooLong,
    /// More than [`DEPTH_MAX`] components.
    TooDeep,
}

impl<'a> RelPath<'a> {
    /// Checks `text`.
    pub fn new(text: &'a str) -> Result<Self, PathError> {
        if text.len() > PATH_MAX {
            return Err(PathError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(PathError::Control);
        }
        let mut depth = 0;
        for component in text.split('/') {
            depth += 1;
            match component {
                "" => return Err(PathError::Empty),
                "." | ".." => return Err(PathError::Dots),
                long if long.len() > COMPONENT_MAX => return Err(PathError::ComponentTooLong),
                _ => {}
            }
        }
        if depth > DEPTH_MAX { Err(PathError::TooDeep) } else { Ok(Self(text)) }
    }

    /// The path as text.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Its components, outermost first.
    pub fn components(self) -> impl DoubleEndedIterator<Item = &'a str> {
        self.0.split('/')
    }

    /// The path of the directory that holds it; `None` for the root.
    pub fn parent(self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent))
    }

    /// Its last component.
    pub fn name(self) -> &'a str {
        self.0.rsplit_once('/').map_or(self.0, |(_, name)| name)
    }

    /// Whether it lies below `directory`, or is it.
    pub fn is_within(self, directory: RelPath<'_>) -> bool {
        self.0.strip_prefix(directory.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Ord for RelPath<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.split('/').cmp(other.0.split('/'))
    }
}

impl PartialOrd for RelPath<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RelPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&escape(self.0), f)
    }
}

impl fmt::Debug for RelPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&escape(self.0), f)
    }
}

/// Shows untrusted text so that it can neither steer a terminal nor pass for other text: control characters,
/// bidirectional marks and invisible characters appear as `\u{..}`.
pub fn escape(text: &str) -> Escaped<'_> {
    Escaped(text)
}

/// See [`escape`].
pub struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0
            .chars()
            .try_for_each(|c| if is_hostile(c) { write!(f, "{}", c.escape_unicode()) } else { f.write_char(c) })
    }
}

/// Control characters, bidirectional marks (Unicode TR 9), line and paragraph separators, invisible characters and tags.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::ToString;

    use super::*;

    #[test]
    fn ordinary_and_odd_names_are_paths() {
        for text in ["a", "a/b", ".hidden", "...", "..a", "a b", "-rf", "aux.c", "a:b", "a\\b", "naïve/日本", "~"] {
            assert_eq!(RelPath::new(text).map(RelPath::as_str), Ok(text));
        }
    }

    #[test]
    fn unsafe_paths_are_refused_by_name() {
        for (text, error) in [
            ("", PathError::Empty),
            ("/", PathError::Empty),
            ("/etc/passwd", PathError::Empty),
            ("a//b", PathError::Empty),
            ("a/", PathError::Empty),
            (".", PathError::Dots),
            ("..", PathError::Dots),
            ("a/../b", PathError::Dots),
            ("a/./b", PathError::Dots),
            ("a\0b", PathError::Control),
            ("a\nb", PathError::Control),
            ("\u{1b}[2J", PathError::Control),
            ("a\u{7f}", PathError::Control),
            ("a\u{9b}m", PathError::Control),
        ] {
            assert_eq!(RelPath::new(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn limits_are_kept_to_the_byte() {
        let component = "c".repeat(COMPONENT_MAX);
        assert!(RelPath::new(&component).is_ok());
        assert_eq!(RelPath::new(&format!("{component}c")), Err(PathError::ComponentTooLong));
        let deep = ["d"; DEPTH_MAX].join("/");
        assert!(RelPath::new(&deep).is_ok());
        assert_eq!(RelPath::new(&format!("{deep}/d")), Err(PathError::TooDeep));
        let long = [component.as_str(); 4].join("/");
        assert_eq!(long.len(), PATH_MAX - 1);
        assert!(RelPath::new(&long).is_ok());
        assert_eq!(RelPath::new(&format!("{long}/c")), Err(PathError::TooLong));
    }

    #[test]
    fn order_goes_component_by_component() {
        let path = |text| RelPath::new(text).unwrap();
        // By bytes alone `a-b` would come before `a/x`.
        assert!(path("a") < path("a/x"));
        assert!(path("a/x") < path("a-b"));
        assert!(path("B") < path("a"));
    }

    #[test]
    fn a_path_knows_its_place() {
        let path = RelPath::new("a/b/c").unwrap();
        assert_eq!(path.parent().map(RelPath::as_str), Some("a/b"));
        assert_eq!(path.name(), "c");
        assert!(path.is_within(RelPath::new("a/b").unwrap()));
        assert!(!path.is_within(RelPath::new("a/").unwrap_or(RelPath::new("a/bb").unwrap())));
        assert!(!RelPath::new("ab").unwrap().is_within(RelPath::new("a").unwrap()));
    }

    #[test]
    fn hostile_characters_are_shown_escaped() {
        assert_eq!(escape("\u{1b}[31mred").to_string(), "\\u{1b}[31mred");
        assert_eq!(RelPath::new("gpj.\u{202e}exe").unwrap().to_string(), "gpj.\\u{202e}exe");
        assert_eq!(escape("a\u{200b}b\u{feff}").to_string(), "a\\u{200b}b\\u{feff}");
        assert_eq!(escape("naïve 日本").to_string(), "naïve 日本");
    }
}
