//! Receivers that refuse for every possible reason, or violate the protocol, against the built sender; and peers with
//! stolen certificates.

use std::sync::Arc;
use std::thread::scope;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use waft::session::RingCipher;
use waft_core::digest::Digest;
use waft_core::session::{Capacity, Held, Offered, Receipt, Store, StoreError};
use waft_core::wire::message::{Kibibytes, Limit};

use super::harness::{Ended, check_error};
use super::peers::{accept, message, receive, run, say, varint};
use super::world::{Machine, World, write};

/// A store that fails where a test says so.
#[derive(Clone)]
struct FailingStore {
    capacity: Capacity,
    begin: Result<u64, StoreError>,
    write: Result<(), StoreError>,
    commit: Result<(), StoreError>,
    /// The received part of the manifest, and the manifest's length.
    manifest: (Vec<u8>, usize),
}

impl FailingStore {
    fn new() -> Self {
        let capacity = Capacity { total: 1 << 30, entries: 1000, manifest: 1 << 20, path: 1024, free: 1 << 30 };
        Self { capacity, begin: Ok(0), write: Ok(()), commit: Ok(()), manifest: (Vec::new(), 0) }
    }

    fn at_begin(error: StoreError) -> Self {
        Self { begin: Err(error), ..Self::new() }
    }
}

impl Store for FailingStore {
    fn capacity(&mut self) -> Capacity {
        self.capacity
    }

    async fn check(&mut self, _: &Offered) -> Result<(), StoreError> {
        Ok(())
    }

    async fn begin(&mut self, offered: &Offered, _: &dyn Fn(&Digest) -> bool) -> Result<Held, StoreError> {
        self.manifest.1 = offered.shape.manifest as usize;
        self.begin.map(|offset| Held { offset, digest: Digest::of(b"what it claims to hold") })
    }

    async fn restart(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn write(&mut self, archive: &[u8]) -> Result<(), StoreError> {
        self.manifest.0.extend(archive);
        self.write
    }

    fn manifest(&self) -> Option<Digest> {
        let (bytes, length) = &self.manifest;
        bytes.get(..*length).map(Digest::of)
    }

    fn durable(&self) -> u64 {
        0
    }

    async fn commit(&mut self) -> Result<Receipt, StoreError> {
        self.commit.map(|()| Receipt { digest: Digest::of(b"another folder"), files: 1, bytes: 1, generation: 7 })
    }

    async fn suspend(&mut self) {}
    async fn discard(&mut self) {}
}

/// Runs a sender against a receiver that handles its one connection with `peer`.
fn sent_to<T: Send>(world: &World, peer: impl AsyncFnOnce(&World, TcpListener) -> T + Send) -> (Ended, T) {
    sent_to_name("kitchen", world, peer)
}

/// The same with a receiver that is trusted under that name.
fn sent_to_name<T: Send>(
    name: &str,
    world: &World,
    peer: impl AsyncFnOnce(&World, TcpListener) -> T + Send,
) -> (Ended, T) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    scope(|both| {
        let peer = both.spawn(|| run(async { peer(world, TcpListener::from_std(listener).unwrap()).await }));
        let ended = world.laptop.call(&["send", "folder", &format!("{name}@{address}")]).run();
        (ended, peer.join().expect("the peer does not panic"))
    })
}

fn stored_by(store: FailingStore) -> Ended {
    let world = World::new();
    write(&world.folder(), "deep/\u{202e}txt.exe", b"a name that turns around");
    write(&world.folder(), "z", b"z");
    sent_to(&world, async |world, listener| receive::<RingCipher, _>(world, &listener, &mut store.clone()).await).0
}

#[test]
fn every_refusal_has_its_text() {
    let at_commit = FailingStore { commit: Err(StoreError::Verify), ..FailingStore::new() };
    let on_the_way = FailingStore { write: Err(StoreError::Io), ..FailingStore::new() };
    let begin = FailingStore::at_begin;
    let space = StoreError::NoSpace { missing: Kibibytes::missing(5 << 20, 3 << 20) };
    let cases: [(FailingStore, i32, &str, &[&str]); 12] = [
        (begin(space), 14, "storage", &["kitchen has no room for the folder: 2.00 MiB more are needed.", "Make room"]),
        (begin(StoreError::NotEmpty), 15, "refused", &["The target folder of kitchen is not empty", "--merge"]),
        (begin(StoreError::NotWritable), 14, "storage", &["kitchen cannot write"]),
        (begin(StoreError::InUse), 15, "refused", &["kitchen still reads the folder"]),
        (begin(StoreError::Older), 15, "refused", &["kitchen has a newer folder", "clock"]),
        (begin(StoreError::Limit(Limit::Entries)), 15, "refused", &["has more files and folders than kitchen takes"]),
        (
            begin(StoreError::Name { entry: 1 }),
            15,
            "refused",
            &["kitchen cannot hold the name deep/\\u{202e}txt.exe", "Rename it"],
        ),
        (begin(StoreError::Name { entry: 99 }), 15, "refused", &["kitchen cannot hold one of the folder's names"]),
        (begin(StoreError::Collision { entry: 2 }), 15, "refused", &["z means the same file", "Rename one of the two"]),
        (on_the_way.clone(), 14, "storage", &["kitchen failed to read or write", "continues where it stopped"]),
        (FailingStore { write: Err(space), ..on_the_way }, 14, "storage", &["kitchen has no room"]),
        (at_commit, 14, "storage", &["does not read back", "old folder is still in place"]),
    ];
    for (store, exit, class, says) in cases {
        let ended = stored_by(store).failed(exit, class, says);
        super::hostile_senders::assert_printable(&ended);
        assert_eq!(ended.all("retry").count(), 0, "the same would happen again");
    }
}

#[test]
fn a_folder_over_the_receivers_limits() {
    let FailingStore { capacity, .. } = FailingStore::new();
    // The folder that is offered: `deep`, a file in it, and `z`.
    let cases: [(Capacity, &[&str]); 4] = [
        (
            Capacity { total: 100, ..capacity },
            &["The folder is larger than kitchen takes: ", " B, and at most 100 B are taken", "Send less at once"],
        ),
        (
            Capacity { entries: 2, ..capacity },
            &["has more files and folders than kitchen takes: 3, and at most 2 are taken", "Send less at once"],
        ),
        (Capacity { manifest: 5, ..capacity }, &["has more names than kitchen takes: ", " B, and at most 5 B"]),
        (
            Capacity { path: 3, ..capacity },
            &["has a longer path than kitchen takes: 15 B, and at most 3 B", "Shorten the paths"],
        ),
    ];
    for (capacity, says) in cases {
        stored_by(FailingStore { capacity, ..FailingStore::new() }).failed(15, "refused", says);
    }
}

#[test]
fn a_receipt_for_another_folder_is_no_success() {
    stored_by(FailingStore::new()).failed(
        17,
        "protocol",
        &["a receipt for another folder", "Do not rely on what is there"],
    );
}

#[test]
fn a_prefix_that_the_receiver_cannot_hold() {
    let too_long = FailingStore { begin: Ok(1 << 40), ..FailingStore::new() };
    stored_by(too_long).failed(17, "protocol", &["kitchen violates the protocol"]);
    // The receiver claims a prefix that is not the sender's. The sender ignores it and sends everything, until the
    // receipt.
    let not_ours = FailingStore { begin: Ok(50), ..FailingStore::new() };
    stored_by(not_ours).failed(17, "protocol", &["a receipt for another folder"]);
}

/// A well-formed `Greeting` with these lists, that largest chunk and those most iterations.
fn greeting(aeads: &[u8], keys: &[u8], chunk: u64, iterations: u64) -> Vec<u8> {
    let bounds = [vec![0, 1], vec![3; 32], vec![0xff, 0xff, 0x7f, 0xff, 0x7f, 0xff, 0x7f, 0xff, 0x7f]].concat();
    let lists = [&[aeads.len() as u8][..], aeads, &[1, 1, keys.len() as u8], keys, &[0]].concat();
    message(&[bounds, varint(chunk), vec![0], lists, varint(iterations), vec![5]].concat())
}

/// Runs a sender against a receiver that answers with those bytes.
fn answered(said: &[u8]) -> Ended {
    let world = World::new();
    write(&world.folder(), "a", b"a");
    sent_to(&world, async |world, listener| say(accept(world, &listener).await, said).await).0
}

#[test]
fn receivers_that_do_not_keep_to_the_protocol() {
    let greeting = |aeads: &[u8], keys: &[u8]| greeting(aeads, keys, 1 << 16, 1000);
    let cases: [(Vec<u8>, &[&str]); 9] = [
        (vec![9, 0, 0, 1, 0], &["violates the protocol"]),
        (vec![1, 0xff, 0xff, 0xff], &["violates the protocol"]),
        (vec![2, 0, 0, 20], &["violates the protocol"]),
        (message(&[]), &["violates the protocol"]),
        (message(&[99]), &["violates the protocol"]),
        (message(&[1]), &["violates the protocol"]),
        (message(&[&[6][..], &[7; 40]].concat()), &["violates the protocol"]),
        (greeting(&[77], &[1]), &["no version, cipher or key mode in common"]),
        (greeting(&[1], &[9]), &["no version, cipher or key mode in common"]),
    ];
    for (said, says) in cases {
        answered(&said).failed(17, "protocol", says);
    }
}

#[test]
fn receivers_whose_bounds_no_sender_can_keep() {
    let says = ["comes in larger chunks than kitchen takes: 1.00 KiB, and at most 512 B", "same release"];
    answered(&greeting(&[1], &[0], 512, 1000)).failed(15, "refused", &says);
    let says = ["has a slower key than kitchen takes: 1000, and at most 999 are taken", "same release"];
    answered(&greeting(&[1], &[0], 1 << 16, 999)).failed(15, "refused", &says);
}

#[test]
fn a_sealed_key_that_does_not_open() {
    let said = [greeting(&[1], &[1], 1 << 16, 1000), message(&[7, 3])].concat();
    answered(&said).failed(
        13,
        "key",
        &["The key that was sealed to kitchen could not be opened there", "waft id --renew"],
    );
}

#[test]
fn a_receiver_that_nothing_can_be_sealed_to() {
    let world = World::new();
    write(&world.folder(), "a", b"a");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    write(&world.laptop.work, "oven.pem", certificate.pem().as_bytes());
    world.laptop.call(&["trust", "add", "oven", "oven.pem"]).run().succeeded();
    let shown = shows(certificate.der().clone(), &key);
    let said = greeting(&[1], &[1], 1 << 16, 1000);
    let (ended, ()) =
        sent_to_name("oven", &world, async |_, listener| false_receiver(listener, Some(shown), true, &said).await);
    ended.failed(11, "identity", &["oven takes only keys that are sealed to it", "waft id --renew"]);
}

#[test]
fn what_a_receiver_says_last_has_its_text() {
    let good = greeting(&[1], &[0], 1 << 16, 1000);
    let cases: [(&[u8], i32, &str, &[&str]); 14] = [
        (&[7, 0], 17, "protocol", &["kitchen speaks another version of the protocol"]),
        (&[7, 1, 30], 12, "code", &["kitchen accepts no code from this machine for 30 s"]),
        (&[7, 2], 12, "code", &["kitchen got no code in time"]),
        (&[7, 3], 13, "key", &["The key that kitchen got was wrong, three times"]),
        (&[7, 4], 13, "key", &["Nobody typed the key at kitchen"]),
        (&[7, 5], 15, "refused", &["kitchen declined the folder", "Ask the user there"]),
        (&[7, 6], 13, "key", &["kitchen does not take the key in this way", "same release"]),
        (&[7, 15], 17, "protocol", &["kitchen rejects what was sent as malformed", "do not fit together"]),
        (&[7, 16], 17, "protocol", &["rejects what was sent as malformed: a part of it cannot be decrypted"]),
        (&[7, 19], 17, "protocol", &["rejects what was sent as malformed: a message was wrong or out of turn"]),
        (&[8, 0], 16, "broken", &["kitchen cancelled the transfer", "continues where it stopped"]),
        (&[8, 3], 16, "broken", &["kitchen waited too long for this machine, and gave up"]),
        (&[8, 4], 17, "protocol", &["kitchen rejects a message of this machine as wrong"]),
        (&[8, 5], 16, "broken", &["kitchen cancelled the transfer"]),
    ];
    for (word, exit, class, says) in cases {
        answered(&[&good[..], &message(word)].concat()).failed(exit, class, says);
    }
}

/// A peer that shows the certificate of `from` with another key.
fn stolen(from: &Machine) -> Arc<SingleCertAndKey> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    shows(from.identity().certificate().der().clone(), &key)
}

/// A peer that shows that certificate and signs with that key.
fn shows(certificate: CertificateDer<'static>, key: &rcgen::KeyPair) -> Arc<SingleCertAndKey> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signer = rustls::crypto::ring::sign::any_ecdsa_type(&key).unwrap();
    Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate], signer)))
}

/// Accepts every certificate, and either every signature or none.
#[derive(Debug)]
struct AcceptAny {
    signatures: bool,
}

impl AcceptAny {
    fn signature(&self) -> Result<HandshakeSignatureValid, Error> {
        match self.signatures {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(Error::InvalidCertificate(CertificateError::BadSignature)),
        }
    }
}

#[rustfmt::skip]
impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: &ServerName<'_>, _: &[u8], _: UnixTime) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        self.signature()
    }
    fn verify_tls13_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        self.signature()
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

#[rustfmt::skip]
impl ClientCertVerifier for AcceptAny {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: UnixTime) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        self.signature()
    }
    fn verify_tls13_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        self.signature()
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    let ring = rustls::crypto::ring::default_provider();
    Arc::new(rustls::crypto::CryptoProvider { kx_groups: vec![rustls::crypto::ring::kx_group::SECP256R1], ..ring })
}

/// A receiver that shows this certificate or none, accepts every signature or none, and sends those bytes. It reads
/// until the sender closes.
async fn false_receiver(listener: TcpListener, shown: Option<Arc<SingleCertAndKey>>, signatures: bool, said: &[u8]) {
    let (mut stream, _) = listener.accept().await.unwrap();
    waft::preface::receive(&mut stream).await.unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny { signatures }));
    let mut config = match shown {
        Some(shown) => config.with_client_cert_resolver(shown),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"waft".to_vec()];
    let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    if let Ok(mut tls) = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        let _ = tls.write_all(said).await;
        while tls.read(&mut [0; 100]).await.is_ok_and(|count| count > 0) {}
    }
}

#[test]
fn a_receiver_with_the_right_certificate_and_another_key() {
    let world = World::new();
    write(&world.folder(), "a", b"a");
    let (ended, ()) = sent_to(&world, async |world, listener| {
        false_receiver(listener, Some(stolen(&world.kitchen)), true, b"").await
    });
    ended.failed(
        11,
        "identity",
        &["shows the certificate of kitchen, but does not have its key", "Another machine may be impersonating it"],
    );
}

#[test]
fn a_receiver_without_a_certificate() {
    let world = World::new();
    write(&world.folder(), "a", b"a");
    let (ended, ()) = sent_to(&world, async |_, listener| false_receiver(listener, None, true, b"").await);
    ended.failed(11, "identity", &["kitchen at", "shows no certificate", "Compare the address"]);
}

#[test]
fn a_receiver_that_finds_our_signature_wrong() {
    let world = World::new();
    write(&world.folder(), "a", b"a");
    let (ended, ()) = sent_to(&world, async |world, listener| {
        false_receiver(listener, Some(stolen(&world.kitchen)), false, b"").await
    });
    ended.failed(11, "identity", &["found that this machine does not have the key", "waft id --renew"]);
}

#[test]
fn a_sender_with_the_right_certificate_and_another_key() {
    let world = World::new();
    let mut receiver = world.receive(&["--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    run(async {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        waft::preface::send(&mut stream).await.unwrap();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(Arc::new(AcceptAny { signatures: true }))
            .with_cert_resolver(stolen(&world.laptop));
        config.alpn_protocols = vec![b"waft".to_vec()];
        let refused = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await;
        assert!(refused.is_err());
    });
    check_error(
        &receiver.await_event("rejected"),
        "identity",
        &["shows the certificate of laptop, but does not have its key"],
    );
    world.nothing_arrived();
}
