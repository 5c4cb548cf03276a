//! The trusted peers of this machine: what each of them may do and where it was last reached. Stored as `trust.json`
//! in the configuration folder.
//!
//! Texts for the user always show the name under which *this machine* trusts a peer, never a name that the peer
//! claims.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use waft_core::certificate::CertificateHash;

use crate::address::Address;
use crate::certificate::Certificate;
use crate::error::{Class, Error, sentence};
use crate::home::{Home, HomeError};
use crate::name::Name;
use crate::platform::{self, FileVersion};

/// The name of the file in the configuration folder.
const FILE: &str = "trust.json";

const TEXT_MAX: u64 = 8 << 20;

/// A trusted certificate, and what its holder may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// The name of the peer on this machine.
    pub name: Name,
    /// The certificate that the peer has to present.
    pub certificate: Certificate,
    /// Whether the peer may send to this machine.
    pub sends: bool,
    /// Whether the peer may receive from this machine.
    pub receives: bool,
    /// The address that the user gave for the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Address>,
    /// The address at which the peer last authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Address>,
}

impl Peer {
    /// The address to use if the user gives none: the one where the peer was last reached, else the one that the user
    /// gave when adding it.
    pub fn address(&self) -> Option<&Address> {
        self.last.as_ref().or(self.at.as_ref())
    }
}

/// All trusted peers. No two of them have the same name or certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    #[serde(deserialize_with = "distinct")]
    peers: Vec<Peer>,
}

impl Trust {
    /// Reads the file in `home`. Without a file no peer is trusted.
    pub fn load(home: &Home) -> Result<Self, TrustError> {
        let Some(text) = home.read(FILE, TEXT_MAX)? else { return Ok(Self::default()) };
        serde_json::from_slice(&text).map_err(|problem| TrustError::Damaged { path: home.file(FILE), problem })
    }

    /// Loads the file, applies a change, and stores the result, under a lock against other processes. If the change
    /// fails, nothing is stored.
    pub fn change<T, E: From<TrustError>>(home: &Home, change: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let _turn = home.lock().map_err(TrustError::from)?;
        let before = Self::load(home)?;
        let mut after = before.clone();
        let outcome = change(&mut after)?;
        if after != before {
            let text = serde_json::to_vec_pretty(&after)
                .expect("peers have only texts and booleans, and writing to a vector cannot fail");
            home.write(FILE, &text).map_err(TrustError::from)?;
        }
        Ok(outcome)
    }

    /// Stores the address where the holder of a certificate authenticated. Returns without taking the lock if the
    /// stored address is already the same.
    pub fn remember(home: &Home, certificate: CertificateHash, address: Address) -> Result<(), TrustError> {
        let known = Self::load(home)?;
        if known.by_hash(certificate).is_none_or(|peer| peer.address() == Some(&address)) {
            return Ok(());
        }
        Self::change(home, |trust| {
            if let Some(peer) = trust.peers.iter_mut().find(|peer| peer.certificate.hash() == certificate) {
                peer.last = Some(address);
            }
            Ok(())
        })
    }

    /// Adds a peer. `own` is this machine's certificate, which cannot be added.
    pub fn add(&mut self, peer: Peer, own: &Certificate) -> Result<(), TrustError> {
        if peer.certificate == *own {
            return Err(TrustError::Own);
        }
        self.push(peer)
    }

    /// Adds a peer. If the peer is trusted already under this name, changes what it may do, and its address. Returns the
    /// peer as it is trusted now.
    ///
    /// A certificate that is trusted under another name is refused. Whoever pairs can introduce the certificate of a third
    /// machine, and must not change what that one may do.
    pub fn add_or_update(&mut self, peer: Peer, own: &Certificate) -> Result<Peer, TrustError> {
        let is_same = |known: &Peer| known.certificate == peer.certificate && known.name == peer.name;
        let Some(known) = self.peers.iter_mut().find(|known| is_same(known)) else {
            self.add(peer.clone(), own)?;
            return Ok(peer);
        };
        (known.sends, known.receives) = (peer.sends, peer.receives);
        if peer.at.is_some() {
            // The address at which it last answered is older.
            (known.at, known.last) = (peer.at, None);
        }
        Ok(known.clone())
    }

    /// Removes a peer and returns it.
    pub fn remove(&mut self, name: &str) -> Result<Peer, TrustError> {
        let unknown = || TrustError::Unknown { name: name.to_owned() };
        let index = self.peers.iter().position(|peer| peer.name.is(name)).ok_or_else(unknown)?;
        Ok(self.peers.remove(index))
    }

    /// All peers, in the order in which they were added.
    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    /// The peer with this name.
    pub fn by_name(&self, name: &str) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.name.is(name))
    }

    /// The peer with this certificate.
    pub fn by_hash(&self, hash: CertificateHash) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.certificate.hash() == hash)
    }

    /// The peer that may receive from this machine, if there is exactly one.
    pub fn only_receiver(&self) -> Result<&Peer, TrustError> {
        let mut receivers = self.peers.iter().filter(|peer| peer.receives);
        match (receivers.next(), receivers.next()) {
            (Some(peer), None) => Ok(peer),
            (None, _) => Err(TrustError::NoReceiver),
            (Some(_), Some(_)) => Err(TrustError::SeveralReceivers),
        }
    }

    fn push(&mut self, peer: Peer) -> Result<(), TrustError> {
        if let Some(known) = self.by_hash(peer.certificate.hash()) {
            return Err(TrustError::KnownAs { name: known.name.clone() });
        }
        if let Some(known) = self.by_name(peer.name.as_str()) {
            return Err(TrustError::NameTaken { name: known.name.clone() });
        }
        self.peers.push(peer);
        Ok(())
    }
}

/// Where a sender or receiver looks its peers up: in the trust file of a [`Home`], which may change while it runs, or in a
/// fixed [`Trust`]. Clones share one state.
#[derive(Clone, Debug)]
pub struct TrustSource(Source);

#[derive(Clone, Debug)]
enum Source {
    /// A cached view of the file. It is read and parsed again only after it has changed, so that a connection from an
    /// unknown peer costs only a check of the file's metadata.
    File {
        home: Home,
        read: Arc<Mutex<Option<ReadTrust>>>,
    },
    Fixed(Arc<Trust>),
}

/// A version of the file (`None` if it did not exist) and its content.
type ReadTrust = (Option<FileVersion>, Arc<Trust>);

impl From<Home> for TrustSource {
    fn from(home: Home) -> Self {
        Self(Source::File { home, read: Arc::default() })
    }
}

impl From<Trust> for TrustSource {
    fn from(trust: Trust) -> Self {
        Self(Source::Fixed(trust.into()))
    }
}

impl TrustSource {
    /// The trusted peers as they are now. Blocks the thread.
    pub fn current(&self) -> Result<Arc<Trust>, TrustError> {
        match &self.0 {
            Source::File { home, read } => current(home, read),
            Source::Fixed(trust) => Ok(trust.clone()),
        }
    }

    /// Stores where the holder of a certificate authenticated, if the peers come from a file. Blocks the thread.
    pub(crate) fn save_address(&self, certificate: CertificateHash, address: Address) -> Result<(), TrustError> {
        match &self.0 {
            Source::File { home, .. } => Trust::remember(home, certificate, address),
            Source::Fixed(_) => Ok(()),
        }
    }
}

fn current(home: &Home, read: &Mutex<Option<ReadTrust>>) -> Result<Arc<Trust>, TrustError> {
    let path = home.file(FILE);
    // The version is taken before the file is read, so a change in between is noticed by the next call.
    let version = match platform::file_version(&path) {
        Ok(version) => Some(version),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(HomeError::Read { path, source }.into()),
    };
    let mut read = read.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some((known, trust)) = &*read
        && *known == version
    {
        return Ok(trust.clone());
    }
    let trust = Arc::new(Trust::load(home)?);
    *read = Some((version, trust.clone()));
    Ok(trust)
}

/// Why trust cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The configuration folder or a file in it cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The file is not valid; the problem names the line.
    #[error("{} is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The error and its position.
        problem: serde_json::Error,
    },
    /// The certificate to add is this machine's own.
    #[error("that is this machine's own certificate; add the other machine's")]
    Own,
    /// Another certificate already has this name.
    #[error("another certificate is trusted as {name} already; remove it first, or choose another name")]
    NameTaken {
        /// The name that is taken.
        name: Name,
    },
    /// The certificate is already trusted.
    #[error("that certificate is trusted already, as {name}")]
    KnownAs {
        /// The name under which it is trusted.
        name: Name,
    },
    /// No peer has this name.
    #[error("no peer is trusted as {name:?}")]
    Unknown {
        /// The name as the user typed it.
        name: String,
    },
    /// No peer may receive from this machine.
    #[error("no receiver is trusted yet")]
    NoReceiver,
    /// More than one peer may receive from this machine, so the user has to name one.
    #[error("more than one receiver is trusted; say which")]
    SeveralReceivers,
}

impl From<TrustError> for Error {
    fn from(error: TrustError) -> Self {
        let (class, next) = match error {
            TrustError::Home(error) => return error.into(),
            TrustError::Damaged { .. } => {
                (Class::Identity, "Repair the file, or remove it and pair with all peers again: waft pair NAME.")
            }
            TrustError::Own => (Class::Usage, "The other machine prints its own with `waft id cert`."),
            TrustError::NameTaken { .. } | TrustError::KnownAs { .. } => {
                (Class::Usage, "`waft trust list` shows all peers.")
            }
            TrustError::Unknown { .. } => {
                (Class::Usage, "`waft trust list` shows all peers; `waft pair NAME` adds one.")
            }
            TrustError::NoReceiver => (
                Class::Identity,
                "Pair with the receiver: `waft pair` there shows a code. Or copy its certificate here (`waft id cert` there): waft trust add NAME CERT.pem",
            ),
            TrustError::SeveralReceivers => (Class::Usage, "Give its name: waft send FOLDER NAME, or NAME@HOST."),
        };
        Self::new(class, sentence(&error), next).caused_by(error)
    }
}

/// Deserializes the list of peers and rejects duplicates. The error names the duplicate.
fn distinct<'de, D: Deserializer<'de>>(list: D) -> Result<Vec<Peer>, D::Error> {
    let mut trust = Trust::default();
    Vec::deserialize(list)?.into_iter().try_for_each(|peer| trust.push(peer)).map_err(D::Error::custom)?;
    Ok(trust.peers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn peer(name: &str, sends: bool, receives: bool) -> Peer {
        let certificate = Identity::generate().certificate().clone();
        Peer { name: Name::new(name).unwrap(), certificate, sends, receives, at: None, last: None }
    }

    fn home() -> (tempfile::TempDir, Home, Certificate) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        (folder, home, Identity::generate().certificate().clone())
    }

    #[test]
    fn kept_from_run_to_run() {
        let (_folder, home, own) = home();
        assert!(Trust::load(&home).unwrap().peers().is_empty());
        let mut kitchen = peer("kitchen", false, true);
        kitchen.at = Some("kitchen.local".parse().unwrap());
        Trust::change(&home, |trust| trust.add(kitchen.clone(), &own)).unwrap();
        Trust::change(&home, |trust| trust.add(peer("desk", true, false), &own)).unwrap();
        Trust::remember(&home, kitchen.certificate.hash(), "192.0.2.7:99".parse().unwrap()).unwrap();
        let trust = Trust::load(&home).unwrap();
        let found = trust.by_hash(kitchen.certificate.hash()).unwrap();
        assert_eq!(found.at, kitchen.at);
        assert_eq!(found.address().unwrap().to_string(), "192.0.2.7:99");
        assert_eq!(trust.by_name("KITCHEN").unwrap(), found);
        assert_eq!(trust.only_receiver().unwrap(), found);
        Trust::change(&home, |trust| trust.remove("kitchen")).unwrap();
        assert_eq!(Trust::load(&home).unwrap().peers().len(), 1);
        assert!(matches!(
            Trust::change(&home, |trust| trust.remove("kitchen")),
            Err(TrustError::Unknown { name }) if name == "kitchen"
        ));
    }

    #[test]
    fn an_unchanged_file_is_parsed_once() {
        let (_folder, home, own) = home();
        let source = TrustSource::from(home.clone());
        let nobody = source.current().unwrap();
        assert!(nobody.peers().is_empty() && Arc::ptr_eq(&nobody, &source.current().unwrap()));
        for count in 1..4 {
            Trust::change(&home, |trust| trust.add(peer(&format!("board{count}"), false, true), &own)).unwrap();
            let trust = source.current().unwrap();
            assert_eq!(trust.peers().len(), count);
            assert!(Arc::ptr_eq(&trust, &source.clone().current().unwrap()));
        }
        // A text of the same length, written in place of the old one.
        let text = String::from_utf8(home.read(FILE, TEXT_MAX).unwrap().unwrap()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(home.file(FILE), text.replace("board1", "board9")).unwrap();
        assert!(source.current().unwrap().by_name("board9").is_some());
        std::fs::remove_file(home.file(FILE)).unwrap();
        assert!(source.current().unwrap().peers().is_empty());
        home.write(FILE, b"{").unwrap();
        assert!(matches!(source.current(), Err(TrustError::Damaged { .. })));
    }

    #[test]
    fn where_a_peer_is_looked_for_anyway_is_not_stored_again() {
        let (_folder, home, own) = home();
        let mut kitchen = peer("kitchen", false, true);
        kitchen.at = Some("kitchen.local".parse().unwrap());
        Trust::change(&home, |trust| trust.add(kitchen.clone(), &own)).unwrap();
        let met = |address: &str| Trust::remember(&home, kitchen.certificate.hash(), address.parse().unwrap());
        met("192.0.2.7").unwrap();
        let turn = home.lock().unwrap();
        met("192.0.2.7").unwrap();
        drop(turn);
        met("kitchen.local").unwrap();
        assert_eq!(Trust::load(&home).unwrap().peers()[0].address(), kitchen.at.as_ref(), "it moved back");
    }

    #[test]
    fn what_would_be_ambiguous_is_refused() {
        let own = Identity::generate().certificate().clone();
        let mut trust = Trust::default();
        let kitchen = peer("kitchen", false, true);
        trust.add(kitchen.clone(), &own).unwrap();
        assert!(matches!(trust.add(peer("Kitchen", false, true), &own), Err(TrustError::NameTaken { .. })));
        let again = Peer { name: Name::new("other").unwrap(), ..kitchen };
        assert!(matches!(trust.add(again, &own), Err(TrustError::KnownAs { name }) if name.as_str() == "kitchen"));
        let mine = Peer { certificate: own.clone(), ..peer("me", true, true) };
        assert!(matches!(trust.add(mine, &own), Err(TrustError::Own)));
        assert_eq!(trust.peers().len(), 1);
    }

    #[test]
    fn what_a_peer_may_do_changes_only_under_its_own_name() {
        let own = Identity::generate().certificate().clone();
        let mut trust = Trust::default();
        let kitchen = peer("kitchen", false, true);
        trust.add_or_update(kitchen.clone(), &own).unwrap();
        let posing = Peer { name: "mallory".parse().unwrap(), sends: true, ..kitchen.clone() };
        assert!(matches!(trust.add_or_update(posing, &own), Err(TrustError::KnownAs { name }) if name.is("kitchen")));
        let other = Peer { certificate: Identity::generate().certificate().clone(), ..kitchen.clone() };
        assert!(matches!(trust.add_or_update(other, &own), Err(TrustError::NameTaken { .. })));
        assert_eq!(trust.peers(), std::slice::from_ref(&kitchen));
        let wider = Peer { sends: true, ..kitchen };
        assert_eq!(trust.add_or_update(wider.clone(), &own).unwrap(), wider);
        assert_eq!(trust.peers(), std::slice::from_ref(&wider));
        // An address that is given replaces the one at which it last answered.
        trust.peers[0].last = Some("192.0.2.1:1".parse().unwrap());
        trust.add_or_update(wider.clone(), &own).unwrap();
        assert!(trust.peers()[0].last.is_some());
        trust.add_or_update(Peer { at: Some("192.0.2.2".parse().unwrap()), ..wider }, &own).unwrap();
        assert_eq!((trust.peers()[0].last.is_none(), trust.peers()[0].at.is_some()), (true, true));
    }

    #[test]
    fn the_only_receiver() {
        let own = Identity::generate().certificate().clone();
        let mut trust = Trust::default();
        trust.add(peer("a", true, false), &own).unwrap();
        assert!(matches!(trust.only_receiver(), Err(TrustError::NoReceiver)));
        trust.add(peer("b", true, true), &own).unwrap();
        assert!(trust.only_receiver().unwrap().name.is("b"));
        trust.add(peer("c", false, true), &own).unwrap();
        assert!(matches!(trust.only_receiver(), Err(TrustError::SeveralReceivers)));
    }

    #[test]
    fn an_error_in_the_file_is_reported_with_its_line() {
        let (_folder, home, own) = home();
        for name in ["a", "b"] {
            Trust::change(&home, |trust| trust.add(peer(name, true, true), &own)).unwrap();
        }
        let good = String::from_utf8(home.read(FILE, TEXT_MAX).unwrap().unwrap()).unwrap();
        let first_peer = good.find("\n    {").unwrap()..good.find("\n    {").unwrap() + 1;
        let twice = {
            let list: serde_json::Value = serde_json::from_str(&good).unwrap();
            let entry = &list["peers"][0];
            serde_json::to_string_pretty(&serde_json::json!({ "peers": [entry, entry] })).unwrap()
        };
        for (text, line, reason) in [
            (good.replacen("\"a\"", "\"a b\"", 1), 4, "cannot have the character ' '"),
            (good.replacen("\"sends\": true", "\"sends\": 1", 1), 6, "expected a boolean"),
            (good.replacen("sends", "send", 1), 6, "unknown field"),
            (good.replacen("-----BEGIN", "-----", 1), 5, "not a PEM certificate"),
            (good.replacen("\"b\"", "\"A\"", 1), 16, "trusted as a already"),
            (twice, 16, "trusted already, as a"),
            (good[..first_peer.end].to_owned(), 3, "EOF"),
            (String::new(), 1, "EOF"),
            (format!("{good}x"), 17, "trailing characters"),
        ] {
            home.write(FILE, text.as_bytes()).unwrap();
            let Err(TrustError::Damaged { problem, .. }) = Trust::load(&home) else { panic!("must not load: {text}") };
            assert!(problem.to_string().contains(reason), "{problem}");
            assert!(problem.line().abs_diff(line) <= 1, "line {line}: {problem}\n{text}");
            assert!(Trust::change(&home, |trust| trust.remove("a")).is_err());
            assert_eq!(home.read(FILE, TEXT_MAX).unwrap().unwrap(), text.as_bytes(), "a damaged file is left alone");
        }
    }

    #[test]
    fn processes_at_once_lose_nothing() {
        let (_folder, home, own) = home();
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let (home, own) = (home.clone(), own.clone());
                std::thread::spawn(move || {
                    let peer = peer(&format!("board{number}"), false, true);
                    Trust::change(&home, |trust| trust.add(peer, &own)).unwrap();
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(Trust::load(&home).unwrap().peers().len(), 8);
    }
}
