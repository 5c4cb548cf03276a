//! Tests of a board against OpenSSL as the sender: an independent implementation of TLS. They need the command
//! `openssl`.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use embedded_io_async::Read;
use p256::ecdsa::SigningKey;
use rand_core::OsRng;
use waft::identity::Identity as Keys;
use waft_receiver::identity::Identity;
use waft_receiver::tls::error::HandshakeError;
use waft_receiver::tls::link::TlsLink;
use waft_receiver::tls::suite::{Aes128GcmSha256, ChaCha20Poly1305Sha256, Suite};
use waft_receiver::tls::wire::Wire;
use waft_receiver::tls::{Buffers, authenticate};

use crate::support::{Socket, TokioClock, board};

/// The private key in DER, in the format `ECPrivateKey` of RFC 5915.
fn sec1(keys: &Keys) -> Vec<u8> {
    let scalar = keys.tls_scalar();
    let point = SigningKey::from_slice(&*scalar).unwrap().verifying_key().to_encoded_point(false);
    let curve = b"\xa0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    [b"\x30\x77\x02\x01\x01\x04\x20", &scalar[..], curve, b"\xa1\x44\x03\x42\x00", point.as_bytes()].concat()
}

/// Starts `openssl s_server` with the laptop's keys. It requests a certificate, and sends its standard input.
fn server(laptop: &Keys, suite: &str, folder: &Path) -> (Child, u16) {
    let (certificate, key) = (folder.join("certificate.der"), folder.join("key.der"));
    std::fs::write(&certificate, laptop.certificate().der()).unwrap();
    std::fs::write(&key, sec1(laptop)).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Command::new("openssl")
        .args(["s_server", "-quiet", "-tls1_3", "-num_tickets", "0", "-alpn", "waft-4k", "-Verify", "1"])
        .args(["-ciphersuites", suite, "-groups", "P-256", "-client_sigalgs", "ECDSA+SHA256", "-naccept", "1"])
        .args(["-accept", &format!("127.0.0.1:{port}"), "-certform", "DER", "-keyform", "DER"])
        .args(["-max_send_frag", "4117", "-split_send_frag", "4117"])
        .arg("-cert")
        .arg(certificate)
        .arg("-key")
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("`openssl` is installed");
    (server, port)
}

/// What a board reads from OpenSSL with the laptop's keys, which sends `data` and keeps the connection open.
async fn receive<S: Suite>(
    suite: &str,
    laptop: &Keys,
    board: &Identity,
    data: &[u8],
) -> Result<Vec<u8>, HandshakeError> {
    let folder = tempfile::tempdir().unwrap();
    let (mut openssl, port) = server(laptop, suite, folder.path());
    let stream = loop {
        match tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let mut stdin = openssl.stdin.take().unwrap();
    let input = data.to_vec();
    // The write fails if OpenSSL has already exited, because the board refused it.
    let writer = std::thread::spawn(move || stdin.write_all(&input).map(|()| stdin));
    let (mut wire, mut buffers) = (Wire::new(Socket(stream)), Buffers::new());
    let (mut place, clock) = (None, TokioClock::new());
    let outcome = match authenticate::<_, S>(&mut place, &mut wire, &mut buffers, board, &mut OsRng, &clock).await {
        Ok(secured) => {
            let mut read = vec![0; data.len()];
            secured.link.read_exact(&mut read).await.unwrap();
            TlsLink::close(&mut place).await;
            Ok(read)
        }
        Err(error) => Err(error),
    };
    openssl.kill().unwrap();
    openssl.wait().unwrap();
    let _ = writer.join().unwrap();
    outcome
}

#[tokio::test]
async fn openssl_is_accepted_with_either_suite() {
    let (laptop, kitchen) = (Keys::generate(), Keys::generate());
    let board = board(&kitchen, &[&laptop]);
    // With short records `s_server` sends only up to its buffer of 16 KiB until it gets more input.
    let data: Vec<u8> = (0..10_000u32).map(|at| b'a' + (at % 26) as u8).collect();
    let read = receive::<Aes128GcmSha256>("TLS_AES_128_GCM_SHA256", &laptop, &board, &data).await;
    assert!(read.as_ref() == Ok(&data), "{:?}", read.err());
    let read = receive::<ChaCha20Poly1305Sha256>("TLS_CHACHA20_POLY1305_SHA256", &laptop, &board, &data).await;
    assert!(read.as_ref() == Ok(&data), "{:?}", read.err());
}

#[tokio::test]
async fn openssl_with_an_unknown_certificate_is_refused() {
    let (laptop, stranger, kitchen) = (Keys::generate(), Keys::generate(), Keys::generate());
    let board = board(&kitchen, &[&laptop]);
    let outcome = receive::<Aes128GcmSha256>("TLS_AES_128_GCM_SHA256", &stranger, &board, b"evil").await;
    assert_eq!(outcome, Err(HandshakeError::NotTrusted));
}
