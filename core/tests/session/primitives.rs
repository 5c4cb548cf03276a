//! The computations of PROTOCOL.md from cryptographic primitives alone, without the library.

use aes_gcm::Aes256Gcm;
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::{PublicKey, SecretKey};
use sha2::{Digest, Sha256};

use crate::fixture::{RECEIVER, SENDER};

/// Splits a stream into frames: kind and payload.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    while let [kind, high, middle, low, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        frames.push((*kind, &rest[..length]));
        bytes = &rest[length..];
    }
    frames
}

pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

pub(crate) fn part(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// Section 7.1.
pub(crate) fn typed_secret(key: &str, salt: &[u8], iterations: u32) -> [u8; 32] {
    pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(key.replace('-', "").as_bytes(), salt, iterations)
}

/// Section 7.2: the secret of this ephemeral key and the public key `receiver`, an uncompressed point.
pub(crate) fn sealed_secret(ephemeral: &SecretKey, receiver: &[u8]) -> [u8; 32] {
    let peer = PublicKey::from_sec1_bytes(receiver).unwrap();
    let dh = p256::ecdh::diffie_hellman(ephemeral.to_nonzero_scalar(), peer.as_affine());
    let enc = point(&ephemeral.public_key());
    let (kem, suite) = (b"KEM\x00\x10", b"HPKE\x00\x10\x00\x01\xff\xff");
    let prk = extract(kem, b"", b"eae_prk", dh.raw_secret_bytes());
    let shared = expand(kem, &prk, b"shared_secret", &[&enc, receiver].concat());
    let hashes = [extract(suite, b"", b"psk_id_hash", b""), extract(suite, b"", b"info_hash", b"waft/1 hpke")].concat();
    let secret = extract(suite, &shared, b"secret", b"");
    let exporter = expand(suite, &secret, b"exp", &[&[0], &hashes[..]].concat());
    expand(suite, &exporter, b"sec", b"waft/1 secret")
}

/// An uncompressed point.
pub(crate) fn point(key: &PublicKey) -> Vec<u8> {
    key.to_encoded_point(false).as_bytes().to_vec()
}

/// `LabeledExtract` of RFC 9180.
fn extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> [u8; 32] {
    hmac(salt, &[b"HPKE-v1", suite, label, ikm])
}

/// `LabeledExpand` of RFC 9180, to 32 bytes.
fn expand(suite: &[u8], prk: &[u8], label: &[u8], info: &[u8]) -> [u8; 32] {
    let info = [&[0, 32], &b"HPKE-v1"[..], suite, label, info].concat();
    let mut out = [0; 32];
    Hkdf::<Sha256>::from_prk(prk).unwrap().expand(&info, &mut out).unwrap();
    out
}

/// Section 7.3.
pub(crate) struct Keys {
    pub(crate) transcript: [u8; 32],
    hkdf: Hkdf<Sha256>,
}

impl Keys {
    pub(crate) fn new(secret: &[u8], transcript: &[u8]) -> Self {
        Self { transcript: Sha256::digest(transcript).into(), hkdf: Hkdf::new(Some(&[]), secret) }
    }

    pub(crate) fn expand<const N: usize>(&self, label: &str) -> [u8; N] {
        let mut out = [0; N];
        self.hkdf.expand(&[label.as_bytes(), &self.transcript].concat(), &mut out).unwrap();
        out
    }

    /// Section 7.4: the chunk of AEAD `aead` at this position of its stream.
    pub(crate) fn chunk(&self, aead: u8, counter: u32, is_last: bool, plain: &[u8]) -> Vec<u8> {
        let key: [u8; 32] = self.expand("waft/1 chunk key");
        let prefix: [u8; 7] = self.expand("waft/1 chunk nonce");
        let nonce: [u8; 12] =
            [&prefix[..], &counter.to_be_bytes(), &[is_last.into()]].concat().try_into().expect("12 bytes");
        seal(aead, key, nonce, plain)
    }

    /// Section 7.5: the sealed name of a folder.
    pub(crate) fn name(&self, aead: u8, name: &str) -> Vec<u8> {
        let mut plain = name.as_bytes().to_vec();
        plain.resize(255, 0);
        seal(aead, self.expand("waft/1 name"), [0; 12], &plain)
    }
}

/// Seals with AEAD `aead`, without associated data.
fn seal(aead: u8, key: [u8; 32], nonce: [u8; 12], plain: &[u8]) -> Vec<u8> {
    let mut sealed = plain.to_vec();
    let tag = match aead {
        1 => Aes256Gcm::new(&key.into()).encrypt_in_place_detached(&nonce.into(), &[], &mut sealed),
        2 => ChaCha20Poly1305::new(&key.into()).encrypt_in_place_detached(&nonce.into(), &[], &mut sealed),
        _ => panic!("there is no AEAD {aead}"),
    };
    sealed.extend(tag.unwrap());
    sealed
}

/// The values that both sides derive from a session's secret and its first messages.
pub(crate) struct Derived {
    pub(crate) keys: Keys,
    pub(crate) manifest_digest: [u8; 32],
    pub(crate) manifest_tag: [u8; 32],
    pub(crate) commitment: [u8; 32],
}

impl Derived {
    pub(crate) fn new(secret: &[u8], sent: [&[u8]; 3], manifest: &[u8]) -> Self {
        let sent = sent.map(part).concat();
        let keys = Keys::new(secret, &[&b"waft/1 session"[..], &sent, &SENDER.0, &RECEIVER.0].concat());
        let manifest_digest = *blake3::hash(manifest).as_bytes();
        let manifest_tag = hmac(&keys.expand::<32>("waft/1 manifest tag"), &[&manifest_digest]);
        let commitment = keys.expand("waft/1 commitment");
        Self { keys, manifest_digest, manifest_tag, commitment }
    }

    /// The end of the payload of `Offer`, after its body: the tags, and the name of the folder.
    pub(crate) fn offer_tail(&self, aead: u8, name: &str) -> Vec<u8> {
        let name = self.keys.name(aead, name);
        [&self.manifest_tag, &self.commitment, &varint(name.len() as u64)[..], &name].concat()
    }

    /// `Accept` for a prefix, of a receiver without a base.
    pub(crate) fn accept(&self, prefix: &[u8]) -> Vec<u8> {
        self.accept_with(prefix, false)
    }

    /// `Accept` for a prefix.
    pub(crate) fn accept_with(&self, prefix: &[u8], base: bool) -> Vec<u8> {
        let (offset, digest) = (prefix.len() as u64, blake3::hash(prefix));
        let mac =
            hmac(&self.keys.expand::<32>("waft/1 accept"), &[&offset.to_be_bytes(), digest.as_bytes(), &[base.into()]]);
        [&[4], &varint(offset)[..], digest.as_bytes(), &[base.into()], &mac].concat()
    }
}

pub(crate) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Decodes an LZ4 block as its specification says.
pub(crate) fn unpack(block: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    let length = |at: &mut usize, nibble: u8| {
        let mut length = usize::from(nibble);
        let mut goes_on = nibble == 15;
        while goes_on {
            length += usize::from(block[*at]);
            goes_on = block[*at] == 255;
            *at += 1;
        }
        length
    };
    loop {
        let token = block[at];
        at += 1;
        let literals = length(&mut at, token >> 4);
        out.extend(&block[at..at + literals]);
        at += literals;
        if at == block.len() {
            return out;
        }
        let to_sender = usize::from(u16::from_le_bytes([block[at], block[at + 1]]));
        at += 2;
        for _ in 0..length(&mut at, token & 15) + 4 {
            out.push(out[out.len() - to_sender]);
        }
    }
}
