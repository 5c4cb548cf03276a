//! A sender that reports the secrets of its session: those of TLS, and the chunk key of the sealed stream.

use std::io;
use std::net::TcpStream as StdStream;
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};

use embedded_io_async::{ErrorType, Read, Write};
use rand_core::{OsRng, RngCore};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivateSec1KeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{DigitallySignedStruct, DistinguishedName, KeyLog, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use waft::folder::{Folder, FolderSource, Options};
use waft::identity::Identity;
use waft::preface;
use waft::session::Clock;
use waft::session::RingCipher;
use waft::tls::{TlsLink, buffered};
use waft_core::certificate::CertificateHash;
use waft_core::code::{AuthCode, TransferKey};
use waft_core::limits::{CHUNK_MAX, FRAME_HEADER, RECORD_4K};
use waft_core::path::FolderName;
use waft_core::sealed::hpke::{HpkeSecret, POINT};
use waft_core::sealed::{ChunkSize, Schedule, Secret, Transcript};
use waft_core::session::sender::{
    Buffers, Environment, Event, KeyRule, Operator, Peer, Run, SendError, Sender, buffer_len,
};
use waft_core::session::{DuplexLink, Link, Receipt, Written};
use waft_core::wire::frame::{Header, Kind};
use waft_core::wire::message::OFFER_TAIL;

use super::site::Site;

/// The PBKDF2 iterations, few enough for every board.
const ITERATIONS: u32 = 1_000;
/// The largest record that a board accepts, with its header, as rustls counts it.
const FRAGMENT: usize = RECORD_4K + 5;

/// A secret to search for, with a description.
pub(crate) type Needle = (String, Vec<u8>);

/// The result of a session, and its secrets.
pub(crate) struct Left {
    pub(crate) ended: Result<Receipt, SendError>,
    pub(crate) secrets: Vec<Needle>,
}

/// One run of the sender on the site's laptop.
#[derive(Clone)]
pub(crate) struct Running {
    key: String,
    salt: [u8; 32],
}

impl Running {
    pub(crate) fn new() -> Self {
        let mut salt = [0; 32];
        OsRng.fill_bytes(&mut salt);
        Self { key: TransferKey::random(&mut OsRng).display().to_string(), salt }
    }

    /// The transfer key, as a user types it.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The stretched key: PBKDF2 of the transfer key.
    pub(crate) fn secret(&self) -> Needle {
        let mut secret = vec![0; 32];
        let iterations = ITERATIONS.try_into().expect("the number is not zero");
        let key = self.key.replace('-', "");
        ::ring::pbkdf2::derive(::ring::pbkdf2::PBKDF2_HMAC_SHA256, iterations, &self.salt, key.as_bytes(), &mut secret);
        ("the stretched key".into(), secret)
    }

    /// Sends the site's folder from another thread.
    pub(crate) fn begin(&self, site: &Site, code: &str) -> JoinHandle<Left> {
        self.begin_cut(site, code, usize::MAX)
    }

    /// Does the same, but breaks the connection once it has written that many bytes.
    pub(crate) fn begin_cut(&self, site: &Site, code: &str, cut: usize) -> JoinHandle<Left> {
        let run = self.clone();
        let (folder, address, identity) = (site.folder(), site.address.clone(), site.laptop.identity());
        let kitchen = site.laptop.known().by_name("kitchen").expect("the board was provisioned").certificate.clone();
        let code = AuthCode::parse(code).expect("the code is valid");
        let board = site.identity().hpke;
        spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("the runtime starts").block_on(async {
                let log = Arc::new(Log::default());
                let mut tap = Tap::open(&address, &identity, log.clone(), cut).await;
                let source = Folder::walk(&folder, &Options::default()).await.expect("the folder is readable");
                let peer = Peer { certificate: kitchen.hash(), hpke: kitchen.hpke() };
                let ended = run.send(&mut tap, &identity, FolderSource::new(source), &peer, code).await;
                let mut secrets = std::mem::take(&mut *log.0.lock().expect("no thread panicked"));
                secrets.extend(run.chunk_key(&tap, identity.certificate().hash(), peer.certificate, &board));
                if tap.sent.len() < cut {
                    tap.link.close().await;
                }
                Left { ended, secrets }
            })
        })
    }

    async fn send(
        &self,
        tap: &mut Tap,
        identity: &Identity,
        mut source: FolderSource,
        peer: &Peer<'_>,
        code: AuthCode,
    ) -> Result<Receipt, SendError> {
        let run = Run {
            key: &TransferKey::parse(&self.key).expect("the key is valid"),
            salt: self.salt,
            name: FolderName::new("assets").expect("a name"),
            created: 1_700_000_000,
            iterations: ITERATIONS,
            chunk: ChunkSize::MAX,
            certificate: identity.certificate().hash(),
            keys: KeyRule::Any,
        };
        let [mut plain, mut frame] = [(); 2].map(|()| vec![0; buffer_len(ChunkSize::MAX)]);
        let mut sender = Sender::<ScriptedSender> {
            run: &run,
            source: &mut source,
            operator: &mut Scripted(code),
            clock: &Clock::start(),
            rng: &mut OsRng,
            buffers: Buffers { plain: &mut plain, frame: &mut frame, compressor: None },
        };
        sender.send(tap, peer).await
    }

    /// The chunk key, if the session got as far as an offer. The offer is the first message after `Hello` that is longer
    /// than its tags and name.
    fn chunk_key(
        &self,
        tap: &Tap,
        sender: CertificateHash,
        receiver: CertificateHash,
        board: &HpkeSecret,
    ) -> Option<Needle> {
        let (sent, received) = (messages(&tap.sent), messages(&tap.received));
        let offer = sent.iter().skip(1).find(|message| message.len() > OFFER_TAIL)?;
        let body = &offer[..offer.len() - OFFER_TAIL];
        let transcript = Transcript::session(sent[0], received[0], body, &sender, &receiver);
        let key = TransferKey::parse(&self.key).expect("the key is valid");
        // The offer contains an encapsulated key only if the key is sealed. Other bytes are no point of the curve.
        let sealed = body.windows(POINT).find_map(|part| board.decapsulate(part).ok());
        let secret = sealed.unwrap_or_else(|| Secret::typed(&key, &self.salt, ITERATIONS));
        let schedule = Schedule::new(&secret, &transcript);
        Some(("the key of the chunks".into(), schedule.into_stream().0.chunk_key().as_bytes().to_vec()))
    }
}

/// The payloads of the message frames in `bytes`.
fn messages(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<FRAME_HEADER>() {
        let Header { kind, length } = Header::decode(*header, CHUNK_MAX).expect("the bytes are frames");
        let (payload, rest) = rest.split_at(length.min(rest.len()));
        messages.extend((kind == Kind::Message).then_some(payload));
        bytes = rest;
    }
    messages
}

/// The types with which this sender works.
struct ScriptedSender;

impl Environment for ScriptedSender {
    type Link = Tap;
    type Source = FolderSource;
    type Operator = Scripted;
    type Clock = Clock;
    type Rng = OsRng;
    type Cipher = RingCipher;
}

/// An operator that knows the code from the start.
struct Scripted(AuthCode);

impl Operator for Scripted {
    async fn code(&mut self, _: Option<u8>) -> Option<AuthCode> {
        AuthCode::parse(&self.0.display().to_string()).ok()
    }

    fn event(&mut self, _: Event) {}
}

/// A link that records the bytes in both directions.
struct Tap {
    link: TlsLink,
    /// The connection breaks after this many bytes.
    cut: usize,
    sent: Vec<u8>,
    received: Vec<u8>,
}

impl Tap {
    /// Connects with TCP, exchanges the preface, and does the TLS handshake.
    async fn open(address: &str, identity: &Identity, log: Arc<Log>, cut: usize) -> Self {
        let stream = StdStream::connect(address).expect("the board accepts connections");
        stream.set_nonblocking(true).expect("a socket can be non-blocking");
        let mut stream = TcpStream::from_std(stream).expect("the runtime starts");
        preface::send(&mut stream).await.expect("the board starts TLS");
        let acceptor = TlsAcceptor::from(Arc::new(config(identity, log)));
        let link = TlsLink::new(acceptor.accept(buffered(stream)).await.expect("the handshake succeeds").into());
        Self { link, cut, sent: Vec::new(), received: Vec::new() }
    }

    fn check_cut(&self) -> io::Result<()> {
        if self.sent.len() < self.cut { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }
}

impl ErrorType for Tap {
    type Error = io::Error;
}

impl Read for Tap {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.link.read(buffer).await?;
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count)
    }
}

impl Write for Tap {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check_cut()?;
        let count = self.link.write(bytes).await?;
        self.sent.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.link.flush().await
    }
}

impl Link for Tap {
    async fn readable(&mut self) -> io::Result<()> {
        self.link.readable().await
    }
}

impl DuplexLink for Tap {
    async fn write_or_readable(&mut self, bytes: &[u8]) -> io::Result<Written> {
        self.check_cut()?;
        let written = self.link.write_or_readable(bytes).await?;
        if let Written::Bytes(count) = written {
            self.sent.extend_from_slice(&bytes[..count]);
        }
        Ok(written)
    }
}

/// The TLS configuration of the laptop. It logs the secrets, and accepts every client certificate.
fn config(identity: &Identity, log: Arc<Log>) -> ServerConfig {
    let certificate = identity.certificate();
    // The DER encoding of an ECPrivateKey on P-256. RFC 5915, section 3.
    let key = [
        &[0x30, 0x77, 2, 1, 1, 4, 32][..],
        &*identity.tls_scalar(),
        &[0xA0, 10, 6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7, 0xA1, 0x44, 3, 0x42, 0],
        certificate.point(),
    ]
    .concat();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has suites of TLS 1.3")
        .with_client_cert_verifier(Arc::new(AcceptAny))
        .with_single_cert(chain, PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(key)))
        .expect("the key matches the certificate");
    config.alpn_protocols = vec![b"waft-4k".to_vec()];
    config.send_tls13_tickets = 0;
    config.max_fragment_size = Some(FRAGMENT);
    config.key_log = log;
    config
}

/// The secrets of TLS that rustls reports, with the keys derived from them.
#[derive(Debug, Default)]
struct Log(Mutex<Vec<Needle>>);

impl KeyLog for Log {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        let keys = [("key", 32), ("iv", 12), ("finished", 32)];
        let mut needles = self.0.lock().expect("no thread panicked");
        needles.push((label.to_owned(), secret.to_vec()));
        needles.extend(keys.map(|(what, length)| (format!("{label}, {what}"), expand(secret, what, length))));
    }
}

/// HKDF-Expand-Label without a context. RFC 8446, section 7.1.
fn expand(secret: &[u8], label: &str, length: usize) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let info = [&(length as u16).to_be_bytes()[..], &[label.len() as u8], label.as_bytes(), &[0, 1]].concat();
    // All lengths here fit the first block of HKDF-Expand.
    let key = ::ring::hmac::Key::new(::ring::hmac::HMAC_SHA256, secret);
    ::ring::hmac::sign(&key, &info).as_ref()[..length].to_vec()
}

/// Accepts every client certificate: the test does not depend on who the peer is.
#[derive(Debug)]
struct AcceptAny;

impl ClientCertVerifier for AcceptAny {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is supported".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let known: WebPkiSupportedAlgorithms = ring::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
