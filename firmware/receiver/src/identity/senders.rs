//! The senders that a board trusts. The list can change while the receiver runs, so it is behind a shared reference.

use core::cell::RefCell;

use heapless::{String, Vec};
use waft_core::certificate::CertificateHash;

use super::{IdentityError, NAME_MAX, SENDERS_MAX, TrustedSender};

/// The list of trusted senders. Its methods take turns: none of them runs while another one has access.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedSenders(RefCell<Vec<TrustedSender, SENDERS_MAX>>);

impl TrustedSenders {
    /// An empty list.
    pub const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// The number of senders.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether no sender is trusted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for another sender.
    pub fn is_full(&self) -> bool {
        self.0.borrow().is_full()
    }

    /// Whether the sender with this certificate is trusted.
    pub fn contains(&self, certificate: &CertificateHash) -> bool {
        self.0.borrow().iter().any(|sender| sender.hash == *certificate)
    }

    /// The sender at this position.
    pub fn get(&self, index: usize) -> Option<TrustedSender> {
        self.0.borrow().get(index).cloned()
    }

    /// The sender with this certificate.
    pub fn find(&self, certificate: &CertificateHash) -> Option<TrustedSender> {
        self.0.borrow().iter().find(|sender| sender.hash == *certificate).cloned()
    }

    /// The certificate of the sender with this name. Names are compared without regard to case.
    pub fn find_name(&self, name: &str) -> Option<CertificateHash> {
        self.0.borrow().iter().find(|sender| sender.name.eq_ignore_ascii_case(name)).map(|sender| sender.hash)
    }

    /// A valid name for a sender that suggests this one: without the characters that names cannot have, and with a number
    /// at its end if another sender has the name.
    pub(crate) fn free_name(&self, suggested: &str) -> String<NAME_MAX> {
        let mut name = String::new();
        for character in suggested.chars().filter(|it| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-')) {
            if (!name.is_empty() || character.is_ascii_alphanumeric() || character == '_')
                && name.push(character).is_err()
            {
                break;
            }
        }
        if name.is_empty() {
            name.push_str("sender").expect("it is short enough");
        }
        let length = name.len();
        for number in 2_u8.. {
            if self.find_name(&name).is_none() {
                break;
            }
            // Room for a dash and a digit: there are at most eight senders.
            name.truncate(length.min(NAME_MAX - 2));
            name.push('-').and_then(|()| name.push(char::from(b'0' + number % 10))).expect("there is room");
        }
        name
    }

    /// Adds a sender at the end. Fails if the list is full.
    pub fn push(&mut self, sender: TrustedSender) -> Result<(), IdentityError> {
        self.add(sender)
    }

    pub(crate) fn add(&self, sender: TrustedSender) -> Result<(), IdentityError> {
        self.0.borrow_mut().push(sender).map_err(|_| IdentityError::Senders)
    }

    pub(crate) fn remove(&self, certificate: &CertificateHash) {
        self.0.borrow_mut().retain(|sender| sender.hash != *certificate);
    }

    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    /// Calls `read` with the sender at this position. `read` must not use the list.
    pub(crate) fn with<T>(&self, index: usize, read: impl FnOnce(&TrustedSender) -> T) -> Option<T> {
        self.0.borrow().get(index).map(read)
    }

    /// Calls `read` with the sender that has this certificate. `read` must not use the list.
    pub(crate) fn with_certificate<T>(
        &self,
        certificate: &CertificateHash,
        read: impl FnOnce(&TrustedSender) -> T,
    ) -> Option<T> {
        self.0.borrow().iter().find(|sender| sender.hash == *certificate).map(read)
    }

    pub(super) fn check(&self) -> Result<(), IdentityError> {
        self.0.borrow().iter().try_for_each(TrustedSender::check)
    }

    pub(super) fn try_for_each<E>(&self, visit: impl FnMut(&TrustedSender) -> Result<(), E>) -> Result<(), E> {
        self.0.borrow().iter().try_for_each(visit)
    }
}

impl TryFrom<&[TrustedSender]> for TrustedSenders {
    type Error = IdentityError;

    fn try_from(senders: &[TrustedSender]) -> Result<Self, IdentityError> {
        Vec::from_slice(senders).map(|senders| Self(RefCell::new(senders))).map_err(|_| IdentityError::Senders)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::is_name;

    #[test]
    fn a_suggested_name_becomes_a_valid_and_free_one() {
        let long = "x".repeat(40);
        let senders = TrustedSenders::new();
        for (suggested, name) in [
            ("anna", "anna"),
            ("Anna's PC", "AnnasPC"),
            ("", "sender"),
            ("k\u{fc}che", "kche"),
            ("\u{202e}\x1b[2J", "2J"),
            ("-.-a-", "a-"),
            ("\u{fc}", "sender"),
            (&long, &long[..32]),
        ] {
            let free = senders.free_name(suggested);
            assert!(free == name && is_name(&free), "{suggested:?}: {free}");
        }
        let add = |name: &str| {
            let name = senders.free_name(name);
            let sender =
                TrustedSender { name: name.clone(), hash: CertificateHash([senders.len() as u8; 32]), point: [4; 65] };
            senders.add(sender).unwrap();
            name
        };
        assert_eq!(["anna", "Anna", "ANNA"].map(add), ["anna", "Anna-2", "ANNA-3"]);
        assert_eq!([&long[..]; 4].map(add).map(|name| name.len()), [32; 4]);
        assert!((0..7).all(|index| is_name(&senders.get(index).unwrap().name)));
    }
}
