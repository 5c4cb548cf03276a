//! Sends folders between a [`Sender`] and a [`Receiver`] in one process, as a program does that embeds them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use waft::folder::{Folder, Options as FolderOptions};
use waft::identity::Identity;
use waft::name::Name;
use waft::receive::{self, KeyAnswer, Keys, Offer, Outcome};
use waft::send::{self, Destination};
use waft::store::{DirectoryStore, Options};
use waft::trust::{Peer, Trust};
use waft::{AuthCode, Class, Error, Receiver, Sender, TransferKey};

/// A deadline for what should take a moment.
const SOON: Duration = Duration::from_secs(20);

/// A sender and a receiver that trust each other, and their folders.
struct Bench {
    temp: TempDir,
    sender: Option<Identity>,
    sender_trust: Trust,
    receiver: Option<Identity>,
    receiver_trust: Trust,
}

impl Bench {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("from/deep")).unwrap();
        fs::write(temp.path().join("from/deep/a.txt"), "content").unwrap();
        let (sender, receiver) = (Identity::generate(), Identity::generate());
        let sender_trust = trust("kitchen", &receiver, &sender);
        let receiver_trust = trust("laptop", &sender, &receiver);
        Self { temp, sender: Some(sender), sender_trust, receiver: Some(receiver), receiver_trust }
    }

    fn target(&self) -> PathBuf {
        self.temp.path().join("to")
    }

    async fn receiver(&mut self) -> (Receiver, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let store = DirectoryStore::prepare(self.target(), Options::default()).await.unwrap().store;
        let identity = self.receiver.take().unwrap();
        (Receiver::new(listener, identity, self.receiver_trust.clone(), store), address)
    }

    async fn sender(&mut self, address: SocketAddr) -> Sender {
        let folder = Folder::walk(self.temp.path().join("from"), &FolderOptions::default()).await.unwrap();
        let destination = Destination::parse(&format!("kitchen@{address}"), &self.sender_trust).unwrap();
        Sender::new(self.sender.take().unwrap(), self.sender_trust.clone(), destination, folder)
    }
}

/// Trusts a peer in both directions.
fn trust(name: &str, peer: &Identity, own: &Identity) -> Trust {
    let certificate = peer.certificate().clone();
    let peer = Peer { name: Name::new(name).unwrap(), certificate, sends: true, receives: true, at: None, last: None };
    let mut trust = Trust::default();
    trust.add(peer, own.certificate()).unwrap();
    trust
}

/// What the two users tell each other.
struct Phone {
    code: watch::Sender<String>,
    key: watch::Sender<String>,
}

impl Phone {
    fn new() -> Self {
        Self { code: watch::Sender::new(String::new()), key: watch::Sender::new(String::new()) }
    }
}

/// Waits until the other user has said something.
async fn hear(said: &watch::Sender<String>) -> String {
    said.subscribe().wait_for(|said| !said.is_empty()).await.unwrap().clone()
}

struct SendingUser<'a>(&'a Phone);

impl send::Operator for SendingUser<'_> {
    async fn code(&mut self, receiver: &Name, tries_left: Option<u8>) -> Option<AuthCode> {
        assert_eq!((receiver.as_str(), tries_left), ("kitchen", None));
        AuthCode::parse(&hear(&self.0.code).await).ok()
    }

    fn event(&mut self, event: send::Event<'_>) {
        if let send::Event::Offered { key: Some(key) } = event {
            self.0.key.send_replace(key.display().to_string());
        }
    }
}

/// Types the key, unless it says no to the offer.
struct ReceivingUser<'a> {
    phone: &'a Phone,
    accepts: bool,
}

impl receive::Operator for ReceivingUser<'_> {
    fn code(&mut self, code: &AuthCode) {
        self.phone.code.send_replace(code.display().to_string());
    }

    fn accepts(&mut self, offer: &Offer<'_>) -> bool {
        assert_eq!((offer.peer.name.as_str(), offer.files), ("laptop", 1));
        self.accepts
    }

    async fn key(&mut self, _offer: &Offer<'_>, tries_left: Option<u8>, key: &mut TransferKey) -> KeyAnswer {
        assert_eq!(tries_left, None);
        key.read(&hear(&self.phone.key).await).unwrap();
        KeyAnswer::Given
    }
}

/// Runs one session of a receiver.
async fn receive_once(receiver: &mut Receiver, user: &mut ReceivingUser<'_>) -> Result<Outcome, Error> {
    let connection = receiver.accept(user).await?;
    assert_eq!(connection.peer().name.as_str(), "laptop");
    receiver.receive(connection, user).await
}

fn content(target: &Path) -> Option<String> {
    fs::read_to_string(target.join("deep/a.txt")).ok()
}

#[tokio::test]
async fn a_folder_crosses_with_a_code_and_a_typed_key() {
    let mut bench = Bench::new();
    let phone = Phone::new();
    let (mut receiver, address) = bench.receiver().await;
    let mut sender = bench.sender(address).await;
    phone.code.send_replace(receiver.code().unwrap().display().to_string());
    let mut user = ReceivingUser { phone: &phone, accepts: true };
    let mut sending_user = SendingUser(&phone);
    let (sent, received) =
        tokio::join!(timeout(SOON, sender.send(&mut sending_user)), receive_once(&mut receiver, &mut user));
    let sent = sent.expect("it takes a moment").unwrap();
    let Ok(Outcome::Committed(received)) = received else { panic!("{received:?}") };
    assert_eq!((received.receipt, received.held), (sent.receipt, 0));
    assert_eq!(sent.bytes_sent, sent.receipt.bytes);
    assert_eq!(content(&bench.target()).as_deref(), Some("content"));
    // The code changes after its use.
    assert_ne!(receiver.code().unwrap().display().to_string(), "");
}

#[tokio::test]
async fn a_receiver_without_a_user_takes_a_sealed_key_and_decides_by_the_offer() {
    for accepts in [true, false] {
        let mut bench = Bench::new();
        let phone = Phone::new();
        let (receiver, address) = bench.receiver().await;
        let mut receiver = receiver.require_code(false).keys(Keys::Sealed);
        assert!(receiver.code().is_none());
        let mut sender = bench.sender(address).await;
        let mut user = ReceivingUser { phone: &phone, accepts };
        let mut sending_user = SendingUser(&phone);
        let (sent, received) = tokio::join!(sender.send(&mut sending_user), receive_once(&mut receiver, &mut user));
        assert_eq!((sent.is_ok(), received.is_ok()), (accepts, accepts));
        if let Err(error) = sent {
            assert_eq!(error.class(), Class::Refused, "{error}");
        }
        assert_eq!(content(&bench.target()).is_some(), accepts);
    }
}

#[tokio::test]
async fn a_token_ends_both_sides() {
    let mut bench = Bench::new();
    let phone = Phone::new();
    let (receiver, address) = bench.receiver().await;
    let token = CancellationToken::new();
    let mut receiver = receiver.cancel_on(token.clone());
    let mut sender = bench.sender(address).await.cancel_on(token.clone());
    // No user says the code, so both sides wait.
    let mut user = ReceivingUser { phone: &phone, accepts: true };
    let mut sending_user = SendingUser(&phone);
    let cancel = async {
        sleep(Duration::from_millis(300)).await;
        token.cancel();
    };
    let both = async { tokio::join!(sender.send(&mut sending_user), receive_once(&mut receiver, &mut user), cancel) };
    let (sent, received, ()) = timeout(SOON, both).await.expect("they end");
    assert_eq!(sent.unwrap_err().class(), Class::Interrupted);
    assert!(matches!(received.unwrap_err().class(), Class::Interrupted | Class::Broken));
    // Waiting for a connection ends as well.
    let waiting = receiver.accept(&mut user).await;
    assert_eq!(waiting.unwrap_err().class(), Class::Interrupted);
}

#[tokio::test]
async fn a_dropped_sender_leaves_a_receiver_that_goes_on() {
    let mut bench = Bench::new();
    let phone = Phone::new();
    let (mut receiver, address) = bench.receiver().await;
    let mut sender = bench.sender(address).await;
    let code = receiver.code().unwrap().display().to_string();
    let mut user = ReceivingUser { phone: &phone, accepts: true };
    let mut sending_user = SendingUser(&phone);
    let (dropped, broken) = tokio::join!(
        timeout(Duration::from_millis(300), sender.send(&mut sending_user)),
        receive_once(&mut receiver, &mut user)
    );
    assert!(dropped.is_err(), "no code came");
    assert_eq!(broken.unwrap_err().class(), Class::Broken);
    phone.code.send_replace(code);
    let (sent, received) = tokio::join!(sender.send(&mut sending_user), receive_once(&mut receiver, &mut user));
    assert!(sent.is_ok() && received.is_ok(), "{sent:?}, {received:?}");
    assert_eq!(content(&bench.target()).as_deref(), Some("content"));
}

#[tokio::test]
async fn an_untrusted_sender_is_refused_by_both_sides() {
    let mut bench = Bench::new();
    bench.receiver_trust = Trust::default();
    let phone = Phone::new();
    let (mut receiver, address) = bench.receiver().await;
    let mut sender = bench.sender(address).await;
    let mut user = ReceivingUser { phone: &phone, accepts: true };
    let mut sending_user = SendingUser(&phone);
    let sent = tokio::select! {
        sent = sender.send(&mut sending_user) => sent,
        connection = receiver.accept(&mut user) => panic!("{connection:?}"),
    };
    assert_eq!(sent.unwrap_err().class(), Class::Identity);
}
