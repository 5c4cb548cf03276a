//! A TLS 1.3 server for scripts, which can send any message: TLS_AES_128_GCM_SHA256 and secp256r1. RFC 8446.

use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes128Gcm, Nonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use p256::PublicKey;
use p256::ecdh::EphemeralSecret;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use rand_core::OsRng;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const DATA: u8 = 23;
pub(crate) const CLOSE_NOTIFY: &[u8] = &[1, 0];

pub(crate) struct Server<S = TcpStream> {
    stream: S,
    transcript: Sha256,
    client_point: PublicKey,
    secret: [u8; 32],
    traffic: [u8; 32],
    count: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Server<S> {
    /// Accepts a connection and reads the ClientHello.
    pub(crate) async fn accept(stream: S) -> Self {
        Self::try_accept(stream).await.unwrap()
    }

    /// Does the same for a board that may end the connection.
    pub(crate) async fn try_accept(mut stream: S) -> std::io::Result<Self> {
        let mut header = [0; 5];
        stream.read_exact(&mut header).await?;
        let mut hello = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
        stream.read_exact(&mut hello).await?;
        let share = hello.windows(4).position(|window| window == [0, 0x17, 0, 65]).expect("a share of secp256r1") + 4;
        let client_point = PublicKey::from_sec1_bytes(&hello[share..share + 65]).unwrap();
        let transcript = Sha256::new().chain_update(&hello);
        Ok(Self { stream, transcript, client_point, secret: [0; 32], traffic: [0; 32], count: 0 })
    }

    /// Sends a ServerHello, and switches to the handshake keys.
    pub(crate) async fn hello(&mut self) {
        let ours = EphemeralSecret::random(&mut OsRng);
        let point = ours.public_key().to_encoded_point(false);
        let share = [&[0, 0x33, 0, 69, 0, 0x17, 0, 65], point.as_bytes()].concat();
        let extensions = [&[0, 0x2b, 0, 2, 3, 4], &share[..]].concat();
        let fixed = [&[3, 3][..], &[9; 32], &[0, 0x13, 0x01, 0]].concat();
        let hello = self.message(2, &[&fixed, &vector16(&extensions)[..]].concat());
        self.plain(HANDSHAKE, &hello).await;
        let shared = ours.diffie_hellman(&self.client_point);
        let early = extract(&[0; 32], &[0; 32]);
        self.secret = extract(&derived(&early), shared.raw_secret_bytes());
        self.switch_keys(b"s hs traffic");
    }

    /// Switches to the application keys.
    pub(crate) fn finish(&mut self) {
        self.secret = extract(&derived(&self.secret), &[0; 32]);
        self.switch_keys(b"s ap traffic");
    }

    fn switch_keys(&mut self, label: &[u8]) {
        let hash = self.transcript.clone().finalize();
        self.traffic = expand(&self.secret, label, &hash);
        self.count = 0;
    }

    /// Creates a handshake message and adds it to the transcript.
    pub(crate) fn message(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        let message = [&[kind], &vector24(body)[..]].concat();
        self.transcript.update(&message);
        message
    }

    pub(crate) fn encrypted_extensions(&mut self) -> Vec<u8> {
        self.message(8, &vector16(b"\x00\x10\x00\x0a\x00\x08\x07waft-4k"))
    }

    pub(crate) fn certificate_request(&mut self) -> Vec<u8> {
        self.message(13, b"\x00\x00\x08\x00\x0d\x00\x04\x00\x02\x04\x03")
    }

    pub(crate) fn certificate(&mut self, chain: &[&[u8]]) -> Vec<u8> {
        let entries: Vec<u8> = chain.iter().flat_map(|der| [vector24(der), vec![0, 0]].concat()).collect();
        self.message(11, &[&[0], &vector24(&entries)[..]].concat())
    }

    pub(crate) fn certificate_verify(&mut self, key: &SigningKey) -> Vec<u8> {
        let hash = self.transcript.clone().finalize();
        let signed = [&[0x20; 64], &b"TLS 1.3, server CertificateVerify\0"[..], &hash].concat();
        let signature: DerSignature = key.sign(&signed);
        self.message(15, &[&[4, 3], &vector16(signature.as_bytes())[..]].concat())
    }

    pub(crate) fn finished(&mut self) -> Vec<u8> {
        let key: [u8; 32] = expand(&self.traffic, b"finished", b"");
        let mac = <Hmac<Sha256> as Mac>::new_from_slice(&key).unwrap();
        let mac = mac.chain_update(self.transcript.clone().finalize()).finalize().into_bytes();
        self.message(20, &mac)
    }

    /// Sends a record in the clear.
    pub(crate) async fn plain(&mut self, kind: u8, body: &[u8]) {
        self.raw(&[&[kind, 3, 3], &vector16(body)[..]].concat()).await;
    }

    /// Sends an encrypted record with `body` and the content type `kind`.
    pub(crate) async fn sealed(&mut self, kind: u8, body: &[u8]) {
        self.seal(&[body, &[kind]].concat()).await;
    }

    /// Sends an encrypted record with exactly this content.
    pub(crate) async fn seal(&mut self, inner: &[u8]) {
        let cipher = Aes128Gcm::new(&expand::<16>(&self.traffic, b"key", b"").into());
        let mut nonce: [u8; 12] = expand(&self.traffic, b"iv", b"");
        nonce[4..].iter_mut().zip(self.count.to_be_bytes()).for_each(|(nonce, count)| *nonce ^= count);
        self.count += 1;
        let length = (inner.len() as u16 + 16).to_be_bytes();
        let header = [DATA, 3, 3, length[0], length[1]];
        let mut sealed = inner.to_vec();
        let tag = cipher.encrypt_in_place_detached(&Nonce::from(nonce), &header, &mut sealed).unwrap();
        self.raw(&[&header, &sealed[..], &tag].concat()).await;
    }

    /// Sends these bytes. An error is ignored, because the board may have closed the connection.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Reads this many bytes. Returns `false` if the board ended the connection before.
    #[allow(dead_code, reason = "only the tests of the network use it")]
    pub(crate) async fn receive_bytes(&mut self, count: usize) -> bool {
        self.stream.read_exact(&mut vec![0; count]).await.is_ok()
    }

    /// Closes our side, and reads up to the end.
    pub(crate) async fn end(mut self) -> Vec<u8> {
        let _ = self.stream.shutdown().await;
        let mut received = Vec::new();
        let _ = self.stream.read_to_end(&mut received).await;
        received
    }
}

fn vector16(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u16).to_be_bytes(), body].concat()
}

fn vector24(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[1..], body].concat()
}

fn extract(salt: &[u8; 32], input: &[u8]) -> [u8; 32] {
    Hkdf::<Sha256>::extract(Some(salt), input).0.into()
}

fn derived(secret: &[u8; 32]) -> [u8; 32] {
    expand(secret, b"derived", &Sha256::digest(b""))
}

fn expand<const N: usize>(secret: &[u8; 32], label: &[u8], context: &[u8]) -> [u8; N] {
    let label = [b"tls13 ", label].concat();
    let info =
        [&(N as u16).to_be_bytes()[..], &[label.len() as u8], &label[..], &[context.len() as u8], context].concat();
    let mut out = [0; N];
    Hkdf::<Sha256>::from_prk(secret).unwrap().expand(&info, &mut out).unwrap();
    out
}
