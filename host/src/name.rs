//! The name of a machine or board. It is chosen by the machine's owner or by the user who trusts it, and never
//! claimed by a peer.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Maximum length of a name, in characters.
pub const NAME_MAX: usize = 32;

/// A name of 1 to 32 characters out of `a-z A-Z 0-9 . _ -` that does not begin with `-` or `.`. Names are compared
/// without regard to case.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// Validates a name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(character) = name.chars().find(|&c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
            return Err(NameError::Character(character));
        }
        if name.starts_with(['-', '.']) {
            return Err(NameError::Start);
        }
        if name.len() > NAME_MAX {
            return Err(NameError::Long);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` is equal to this name, without regard to case.
    pub fn is(&self, name: &str) -> bool {
        self.0.eq_ignore_ascii_case(name)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl Eq for Name {}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(&name)
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty.
    #[error("a name has at least one character")]
    Empty,
    /// The name has more than [`NAME_MAX`] characters.
    #[error("a name has at most 32 characters")]
    Long,
    /// The name has a character that is not allowed.
    #[error("a name cannot have the character {0:?}; letters, digits, '.', '_' and '-' can be used")]
    Character(char),
    /// The name begins with `-` or `.`.
    #[error("a name cannot begin with '-' or '.'")]
    Start,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "kitchen", "Board_2.west-1", "0", &"x".repeat(32)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        for (bad, error) in [
            ("", NameError::Empty),
            ("-a", NameError::Start),
            (".a", NameError::Start),
            ("a b", NameError::Character(' ')),
            ("a@b", NameError::Character('@')),
            ("a:1", NameError::Character(':')),
            ("a/b", NameError::Character('/')),
            ("küche", NameError::Character('ü')),
            ("a\u{202e}b", NameError::Character('\u{202e}')),
            (&"x".repeat(33), NameError::Long),
        ] {
            assert_eq!(Name::new(bad), Err(error), "{bad:?}");
        }
    }

    #[test]
    fn case_does_not_make_another_name() {
        assert_eq!(Name::new("Kitchen"), Name::new("kitchen"));
        assert_ne!(Name::new("kitchen"), Name::new("kitchen2"));
    }
}
