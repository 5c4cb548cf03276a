//! Provisioning of a board: creates its identity and the first record of its seed, writes them as images for the board's
//! flash, or into one file with the program, and trusts it on this machine as a receiver.
//!
//! Either all of these steps take effect or none. A trusted peer without an image could never prove its identity, and
//! an image whose certificate is not trusted would be useless. [`waft_receiver::identity`] and [`waft_receiver::seed`]
//! define the bytes of the images.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::slice;

use rand_core::{OsRng, RngCore};
use waft_core::sealed::hpke::HpkeSecret;
use waft_receiver::identity::{
    self as board, IMAGE_MAX, IdentityError, Network, Policy, TrustedSender, TrustedSenders,
};
use waft_receiver::seed::{Secret, provisioned};
use zeroize::Zeroizing;

use crate::address::Address;
use crate::board::Board;
use crate::certificate::Certificate;
use crate::error::{Class, Error, shown};
use crate::files::{NewFile, Published, folder_of};
use crate::home::Home;
use crate::identity::Identity;
use crate::image::{Format, Image};
use crate::name::Name;
use crate::trust::{Peer, Trust, TrustError};

/// The advice where an image can only be made anew.
const AGAIN: &str = "Provision the board again: waft trust remove NAME, then waft provision.";

/// The settings of a new board.
#[derive(Debug)]
pub struct Plan {
    /// The name of the board, on the board and on this machine.
    pub name: Name,
    /// The senders that the board trusts: 1 to [`SENDERS_MAX`](board::SENDERS_MAX).
    pub senders: Vec<Sender>,
    /// What the board requires of senders.
    pub policy: Policy,
    /// The board's network settings.
    pub network: Network,
    /// The address where the board will listen, if it is known.
    pub at: Option<Address>,
}

/// A sender that a board will trust.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The name of the sender on the board.
    pub name: Name,
    /// The certificate of the sender.
    pub certificate: Certificate,
}

/// The files to create.
#[derive(Debug)]
pub struct Images {
    /// The file for the identity.
    pub identity: PathBuf,
    /// The file for the first record of the seed, if the board is flashed with one.
    pub seed: Option<PathBuf>,
}

/// One file to create, with everything that the board's flash needs.
#[derive(Debug)]
pub struct Combined<'a> {
    /// The file.
    pub path: PathBuf,
    /// The program.
    pub program: Image,
    /// The kind of board.
    pub board: &'a Board,
    /// The format of the file.
    pub format: Format,
}

/// A file to create, and its content.
type Content<'a> = (&'a Path, Zeroizing<Vec<u8>>);

impl Plan {
    /// Checks that neither the name nor a file is already taken.
    pub fn check(&self, home: &Home, images: &Images) -> Result<(), Error> {
        self.check_free(home, [&images.identity].into_iter().chain(&images.seed))
    }

    /// Checks that neither the name nor the file is already taken.
    pub fn check_combined(&self, home: &Home, combined: &Combined<'_>) -> Result<(), Error> {
        self.check_free(home, slice::from_ref(&combined.path).iter())
    }

    fn check_free<'a>(&self, home: &Home, mut files: impl Iterator<Item = &'a PathBuf>) -> Result<(), Error> {
        if let Some(known) = Trust::load(home)?.by_name(self.name.as_str()) {
            return Err(TrustError::NameTaken { name: known.name.clone() }.into());
        }
        match files.find(|path| path.symlink_metadata().is_ok()) {
            Some(taken) => Err(Error::exists(taken)),
            None => Ok(()),
        }
    }

    /// Creates identity and seed, writes their images to new files, and trusts the board to receive. `own` is this
    /// machine's certificate.
    pub fn carry_out(self, home: &Home, own: &Certificate, images: &Images) -> Result<Peer, Error> {
        self.create(home, own, &images.identity, |identity| {
            let seed = images.seed.iter().map(|path| (path.as_path(), first_record()));
            std::iter::once((images.identity.as_path(), identity)).chain(seed).collect()
        })
    }

    /// Creates identity and seed, writes them and the program to one new file, and trusts the board to receive. `own` is
    /// this machine's certificate.
    pub fn carry_out_combined(self, home: &Home, own: &Certificate, combined: &Combined<'_>) -> Result<Peer, Error> {
        let Combined { path, program, board, format } = combined;
        self.create(home, own, path, |identity| {
            let mut image = program.clone();
            image.add_identity(board, identity, board.takes_seed().then(first_record));
            vec![(path, image.encode(*format))]
        })
    }

    /// Creates an identity, trusts it, and writes the files that `contents` makes of its image. `path` is the file that
    /// errors name.
    fn create<'a>(
        self,
        home: &Home,
        own: &Certificate,
        path: &Path,
        contents: impl FnOnce(Zeroizing<Vec<u8>>) -> Vec<Content<'a>>,
    ) -> Result<Peer, Error> {
        let identity = Identity::generate();
        let peer = Peer {
            name: self.name.clone(),
            certificate: identity.certificate().clone(),
            sends: false,
            receives: true,
            at: self.at.clone(),
            last: None,
        };
        let image = self.image(&identity).map_err(|error| image_error(path, error))?;
        let contents = contents(image);
        let mut files = Vec::new();
        Trust::change(home, |trust| {
            trust.add(peer.clone(), own)?;
            for (path, bytes) in &contents {
                files.push(publish(path, bytes)?);
            }
            Ok::<_, Error>(())
        })?;
        files.into_iter().for_each(Published::keep);
        Ok(peer)
    }

    fn image(self, identity: &Identity) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
        let board = board::Identity {
            name: self.name.as_str().try_into().map_err(|_| IdentityError::Name)?,
            tls: identity.tls_scalar().as_slice().try_into().map_err(|_| IdentityError::TlsKey)?,
            hpke: HpkeSecret::from_bytes(&identity.hpke().to_bytes()).map_err(|_| IdentityError::HpkeKey)?,
            seed: secret(),
            policy: self.policy,
            certificate: identity.certificate().der().as_ref().try_into().map_err(|_| IdentityError::Certificate)?,
            senders: trusted(&self.senders)?,
            network: self.network,
        };
        let mut image = Zeroizing::new(vec![0; IMAGE_MAX]);
        let length = board.encode(&mut image)?;
        image.truncate(length);
        Ok(image)
    }
}

/// What is written at a board's first seed sector: it begins with a secret that no other board has.
pub fn first_record() -> Zeroizing<Vec<u8>> {
    provisioned(&secret()).to_vec().into()
}

fn secret() -> Secret {
    let mut secret = Secret::default();
    OsRng.fill_bytes(&mut *secret);
    secret
}

fn trusted(senders: &[Sender]) -> Result<TrustedSenders, IdentityError> {
    let mut list = TrustedSenders::new();
    for Sender { name, certificate } in senders {
        let name = name.as_str().try_into().map_err(|_| IdentityError::Name)?;
        list.push(TrustedSender { name, hash: certificate.hash(), point: *certificate.point() })?;
    }
    Ok(list)
}

/// Creates a file that only its owner can read. An existing file is left untouched.
fn publish(path: &Path, bytes: &[u8]) -> Result<Published, Error> {
    let written = NewFile::write(folder_of(path), |file| file.write_all(bytes));
    written.and_then(|new| new.publish(path)).map_err(|cause| match cause.kind() {
        io::ErrorKind::AlreadyExists => Error::exists(path),
        _ => Error::file(path, cause),
    })
}

/// The error for an identity image that cannot be made or used.
pub fn image_error(path: &Path, error: IdentityError) -> Error {
    let (why, next) = match error {
        IdentityError::Missing => ("it is blank", "Give the file that `waft provision` made."),
        IdentityError::NotAnIdentity => ("it is not an identity image", "Give the file that `waft provision` made."),
        IdentityError::Version => {
            ("it is of another release of waft", "Install the release of waft that made it, or provision again.")
        }
        IdentityError::Length => ("it is truncated", AGAIN),
        IdentityError::Checksum => ("it is damaged: its checksum is wrong", AGAIN),
        IdentityError::Name => ("a name in it is not valid", AGAIN),
        IdentityError::TlsKey | IdentityError::HpkeKey => ("a private key in it is not valid", AGAIN),
        IdentityError::Certificate => ("its certificate is too long for a board", AGAIN),
        IdentityError::CertificateMismatch => ("its certificate is not that of its keys", AGAIN),
        IdentityError::Policy => ("its policy is not known here", AGAIN),
        IdentityError::Senders => (
            "a sender's certificate has no key that a board could check",
            "Let that sender print its certificate again (`waft id cert`), and provision the board with that one.",
        ),
        IdentityError::Network => ("its network settings are not valid", AGAIN),
    };
    Error::new(Class::Identity, format!("The identity image {} cannot be used: {why}.", shown(path)), next)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use waft_receiver::identity::{self as board, KeyPolicy, Wifi};
    use waft_receiver::seed::PROVISIONED;

    use super::*;
    use crate::platform;

    struct Bench {
        folder: tempfile::TempDir,
        home: Home,
        own: Certificate,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::at(folder.path().join("home")).unwrap();
            let own = Identity::open(&home).unwrap().0.certificate().clone();
            Self { folder, home, own }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("identity.bin")
        }

        fn images(&self) -> Images {
            images(self.path())
        }

        fn plan(&self, name: &str) -> Plan {
            let wifi =
                Wifi { ssid: "home".try_into().unwrap(), passphrase: b"open sesame".as_slice().try_into().unwrap() };
            Plan {
                name: Name::new(name).unwrap(),
                senders: vec![Sender { name: Name::new("laptop").unwrap(), certificate: self.own.clone() }],
                policy: Policy { code: false, key: KeyPolicy::Sealed, allow_older: true, announce: true },
                network: Network {
                    hostname: "kitchen-1".try_into().unwrap(),
                    address: board::Address::Dhcp,
                    wifi: Some(wifi),
                },
                at: Some("kitchen.local".parse().unwrap()),
            }
        }

        fn trusted(&self) -> usize {
            Trust::load(&self.home).unwrap().peers().len()
        }
    }

    fn images(identity: PathBuf) -> Images {
        Images { seed: Some(identity.with_extension("seed")), identity }
    }

    #[test]
    fn an_image_and_trust_come_together() {
        let bench = Bench::new();
        let plan = bench.plan("kitchen");
        plan.check(&bench.home, &bench.images()).unwrap();
        let peer = plan.carry_out(&bench.home, &bench.own, &bench.images()).unwrap();
        let board = board::Identity::parse(&fs::read(bench.path()).unwrap()).unwrap();
        assert_eq!(board.certificate_hash(), peer.certificate.hash());
        assert_eq!((board.name.as_str(), board.network.hostname.as_str()), ("kitchen", "kitchen-1"));
        assert_eq!(board.policy, Policy { code: false, key: KeyPolicy::Sealed, allow_older: true, announce: true });
        assert_eq!(board.senders.len(), 1);
        let sender = board.senders.get(0).unwrap();
        assert_eq!((sender.hash, sender.name.as_str()), (bench.own.hash(), "laptop"));
        assert_eq!(board.network.wifi.as_ref().unwrap().passphrase, b"open sesame");
        let trust = Trust::load(&bench.home).unwrap();
        assert_eq!(trust.by_name("kitchen"), Some(&peer));
        assert!(peer.receives && !peer.sends);
        assert_eq!(peer.address().unwrap().to_string(), "kitchen.local:12346");
        for image in [bench.images().identity, bench.images().seed.unwrap()] {
            assert_eq!(platform::check_private(&image).unwrap(), Ok(()));
        }
    }

    /// Whether the outcome is an error with this text.
    fn fails<T>(outcome: Result<T, Error>, text: &str) -> bool {
        outcome.is_err_and(|error| error.to_string().contains(text))
    }

    #[test]
    fn no_two_boards_share_a_secret() {
        let bench = Bench::new();
        let boards: Vec<board::Identity> = ["a", "b"]
            .map(|name| {
                let images = images(bench.folder.path().join(name));
                bench.plan(name).carry_out(&bench.home, &bench.own, &images).unwrap();
                board::Identity::parse(&fs::read(images.identity).unwrap()).unwrap()
            })
            .into();
        let seeds = ["a.seed", "b.seed"].map(|name| fs::read(bench.folder.path().join(name)).unwrap());
        assert_eq!(seeds.each_ref().map(Vec::len), [PROVISIONED; 2]);
        assert_ne!(seeds[0], seeds[1]);
        assert_ne!(boards[0].seed, boards[1].seed);
        assert_ne!(boards[0].tls, boards[1].tls);
        assert_ne!(boards[0].hpke.public(), boards[1].hpke.public());
    }

    #[test]
    fn a_taken_name_leaves_no_image() {
        let bench = Bench::new();
        bench.plan("kitchen").carry_out(&bench.home, &bench.own, &bench.images()).unwrap();
        let other = images(bench.folder.path().join("other.bin"));
        let plan = bench.plan("Kitchen");
        assert!(fails(plan.check(&bench.home, &other), "is trusted as"));
        let late = plan.carry_out(&bench.home, &bench.own, &other);
        assert!(fails(late, "is trusted as"));
        assert!(!other.identity.exists() && !other.seed.unwrap().exists());
        assert_eq!(bench.trusted(), 1);
    }

    #[test]
    fn a_file_in_the_way_leaves_no_trust() {
        let bench = Bench::new();
        let seed = bench.images().seed.unwrap();
        for (taken, other) in [(bench.path(), seed.clone()), (seed, bench.path())] {
            fs::write(&taken, b"precious").unwrap();
            assert!(fails(bench.plan("kitchen").check(&bench.home, &bench.images()), "already exists"));
            let late = bench.plan("kitchen").carry_out(&bench.home, &bench.own, &bench.images());
            assert!(fails(late, "already exists"));
            assert_eq!(fs::read(&taken).unwrap(), b"precious");
            assert!(!other.exists());
            fs::remove_file(taken).unwrap();
        }
        let nowhere = images(bench.folder.path().join("no/such/folder"));
        assert!(fails(bench.plan("kitchen").carry_out(&bench.home, &bench.own, &nowhere), "cannot be used"));
        assert_eq!(bench.trusted(), 0);
    }

    #[test]
    fn a_board_for_nobody_is_not_made() {
        let bench = Bench::new();
        let mut plan = bench.plan("kitchen");
        plan.senders.clear();
        let refused = plan.carry_out(&bench.home, &bench.own, &bench.images());
        assert!(fails(refused, "no key that a board could check"));
        assert!(!bench.path().exists());
        assert_eq!(bench.trusted(), 0);
    }
}
