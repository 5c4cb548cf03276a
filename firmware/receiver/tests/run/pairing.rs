//! Pairing with a board, by the real dialer of a computer: right and wrong codes, connections that break, names, a full
//! list, and a flash that fails.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::join;
use tokio::net::{TcpListener, TcpStream};
use waft::identity::Identity as Keys;
use waft::pair::{Me, PairError, Paired, PairingCode, PairingError, dial};
use waft_core::pairing::Failure;
use waft_core::wire::preface::{ClearRefusal, LEN, Purpose};
use waft_receiver::identity::{Identity, KeyPolicy, SENDERS_MAX};
use waft_receiver::pairing::ATTEMPTS;

use crate::archive::{archive, tree};
use crate::board::{ERASE, Fixture, Powered, SETTINGS};
use crate::laptop::{Laptop, Outcome};
use crate::nor::{Failing, Operation};
use crate::support::board;
use crate::transfers::folder;

/// The keys of a board, and its identity, with which senders need neither code nor key.
fn open_board(trusted: &[&Keys]) -> (Keys, Identity) {
    let kitchen = Keys::generate();
    let identity = open_identity(&kitchen, trusted);
    (kitchen, identity)
}

/// The identity as a board reads it at each start.
pub(crate) fn open_identity(kitchen: &Keys, trusted: &[&Keys]) -> Identity {
    let mut identity = board(kitchen, trusted);
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    identity
}

/// A computer that wants to send under this name.
fn me(keys: &Keys, name: &str) -> Me {
    Me::new(keys, name, true, false)
}

/// Reads the code that the board shows.
pub(crate) async fn read_code(fixture: &mut Fixture<'_, '_>) -> String {
    let seen = fixture.user.sees("pairing code: ").await;
    let (_, code) = seen.trim_end().rsplit_once("pairing code: ").unwrap();
    code.to_owned()
}

/// Opens pairing at the console. Returns the code.
pub(crate) async fn begin(fixture: &mut Fixture<'_, '_>) -> String {
    fixture.user.types("pair").await;
    read_code(fixture).await
}

async fn dial_with(at: SocketAddr, code: &str, me: &Me) -> Result<Paired, PairingError> {
    let code = PairingCode::parse(code).unwrap();
    dial(&at.to_string().parse().unwrap(), code, me).await.map_err(|error| match error {
        PairError::Pairing(error) => error,
        error => panic!("{error:?}"),
    })
}

/// Pairs with a board that shows this code.
pub(crate) async fn pair(at: SocketAddr, code: &str, keys: &Keys) -> Paired {
    dial_with(at, code, &me(keys, "anna")).await.unwrap()
}

/// A code with another first digit.
fn wrong(code: &str) -> String {
    let digit = if code.starts_with('0') { "1" } else { "0" };
    format!("{digit}{}", &code[1..])
}

#[tokio::test]
async fn a_computer_that_has_paired_sends_also_after_a_restart() {
    let known = Keys::generate();
    let (kitchen, identity) = open_board(&[&known]);
    let mut laptop = Laptop::new(Keys::generate(), &kitchen);
    let mut powered = Powered::new(16);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            let early = laptop.send(fixture.address, &folder(1), "", None).await;
            assert!(matches!(early, Outcome::Unsecured), "{early:?}");
            let code = begin(&mut fixture).await;
            let paired = dial_with(fixture.address, &code, &me(&laptop.keys, "anna")).await.unwrap();
            assert!(paired.is_board && paired.receives && !paired.sends && paired.is_confirmed);
            assert_eq!((paired.name.as_str(), &paired.certificate), ("kitchen", kitchen.certificate()));
            let seen = fixture.user.sees("Paired: anna is trusted").await;
            assert!(seen.contains(&laptop.keys.certificate().fingerprint().to_string()), "{seen}");
            laptop.send(fixture.address, &folder(1), "", None).await.receipt();
            // Pairing closes after a success.
            let closed = dial_with(fixture.address, &code, &me(&laptop.keys, "anna")).await.unwrap_err();
            assert_eq!(closed, PairingError::Refused(ClearRefusal::PairingClosed));
        })
        .await;
    laptop.salt[0] ^= 1;
    powered
        .boot(Ok(&open_identity(&kitchen, &[&known])), async |fixture| {
            laptop.send(fixture.address, &folder(2), "", None).await.receipt()
        })
        .await;
}

#[tokio::test]
async fn a_wrong_code_and_an_old_one_are_refused_and_the_next_one_is_shown() {
    let (_, identity) = open_board(&[&Keys::generate()]);
    let (keys, stranger) = (Keys::generate(), Keys::generate());
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            let first = begin(&mut fixture).await;
            let failed = dial_with(fixture.address, &wrong(&first), &me(&stranger, "eve")).await.unwrap_err();
            assert_eq!(failed, PairingError::WrongCode);
            fixture.user.sees("Not paired: the code was wrong.").await;
            let second = read_code(&mut fixture).await;
            if first != second {
                let failed = dial_with(fixture.address, &first, &me(&keys, "anna")).await.unwrap_err();
                assert_eq!(failed, PairingError::WrongCode, "the code is spent");
                fixture.user.sees("Not paired: the code was wrong.").await;
            }
            let code = if first == second { second } else { read_code(&mut fixture).await };
            dial_with(fixture.address, &code, &me(&keys, "anna")).await.unwrap();
            fixture.user.sees("Paired: anna is trusted").await;
            assert!(!identity.senders.contains(&stranger.certificate().hash()));
        })
        .await;
}

#[tokio::test]
async fn three_wrong_codes_pause_pairing() {
    let (_, identity) = open_board(&[&Keys::generate()]);
    let keys = Keys::generate();
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            let mut code = begin(&mut fixture).await;
            for _ in 0..3 {
                let failed = dial_with(fixture.address, &wrong(&code), &me(&keys, "eve")).await.unwrap_err();
                assert_eq!(failed, PairingError::WrongCode);
                code = read_code(&mut fixture).await;
            }
            let paused = dial_with(fixture.address, &code, &me(&keys, "anna")).await.unwrap_err();
            assert!(matches!(paused, PairingError::Paused { .. }), "{paused:?}");
        })
        .await;
}

/// A stranger spends a code with any share.
#[tokio::test]
async fn pairing_closes_after_some_attempts() {
    let (_, identity) = open_board(&[&Keys::generate()]);
    let keys = Keys::generate();
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            let mut code = begin(&mut fixture).await;
            for attempt in 1..=ATTEMPTS {
                // The dialer's preface, `Greeting` and share. Without its tag the board learns nothing of its code.
                let proxy = CuttingProxy::new(fixture.address, LEN as u64 + 4 + 34 + 4 + 66).await;
                let me = me(&keys, "anna");
                let (failed, ()) = join!(dial_with(proxy.address, &code, &me), proxy.carry());
                failed.unwrap_err();
                fixture.user.sees("Not paired: the connection broke.").await;
                if attempt < ATTEMPTS {
                    code = read_code(&mut fixture).await;
                }
            }
            fixture.user.sees("Pairing is closed.").await;
            let closed = dial_with(fixture.address, &code, &me(&keys, "anna")).await.unwrap_err();
            assert_eq!(closed, PairingError::Refused(ClearRefusal::PairingClosed));
        })
        .await;
}

#[tokio::test]
async fn a_board_pairs_only_when_its_user_wants_it() {
    let (_, identity) = open_board(&[&Keys::generate()]);
    let keys = Keys::generate();
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            let closed = async |at, code: &str| dial_with(at, code, &me(&keys, "anna")).await.unwrap_err();
            assert_eq!(closed(fixture.address, "123456").await, PairingError::Refused(ClearRefusal::PairingClosed));
            let code = begin(&mut fixture).await;
            fixture.user.types("decline").await;
            fixture.user.sees("Pairing is closed.").await;
            assert_eq!(closed(fixture.address, &code).await, PairingError::Refused(ClearRefusal::PairingClosed));
        })
        .await;
    let mut powered = Powered::new(16);
    powered.has_settings = false;
    powered
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.types("pair").await;
            fixture.user.sees("This board keeps no settings.").await;
        })
        .await;
}

#[tokio::test]
async fn of_two_computers_at_once_only_one_pairs() {
    let (_, identity) = open_board(&[&Keys::generate()]);
    let keys = [Keys::generate(), Keys::generate()];
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            let code = begin(&mut fixture).await;
            let [one, other] = [&keys[0], &keys[1]].map(|keys| me(keys, "anna"));
            let (one, other) =
                join!(dial_with(fixture.address, &code, &one), dial_with(fixture.address, &code, &other));
            assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
            let failed = one.and(other).unwrap_err();
            let is_told = matches!(
                failed,
                PairingError::PeerFailed(Failure::Declined) | PairingError::Refused(_) | PairingError::WrongCode
            );
            assert!(is_told, "{failed:?}");
            let trusted = keys.iter().filter(|keys| identity.senders.contains(&keys.certificate().hash())).count();
            assert_eq!(trusted, 1);
        })
        .await;
}

/// Afterwards the board trusts the computer if the computer says so, and can pair again in any case.
#[tokio::test]
async fn a_connection_that_breaks_at_any_byte_leaves_a_board_that_pairs() {
    let (_, identity) = open_board(&[&Keys::generate()]);
    let keys = Keys::generate();
    let hash = keys.certificate().hash();
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            let mut forth = 0;
            loop {
                let code = begin(&mut fixture).await;
                let proxy = CuttingProxy::new(fixture.address, forth).await;
                let (dialled, me) = (proxy.address, me(&keys, "anna"));
                let (paired, ()) = join!(dial_with(dialled, &code, &me), proxy.carry());
                fixture.user.types("decline").await;
                fixture.user.sees(" decline").await;
                let is_trusted = identity.senders.contains(&hash);
                assert!(is_trusted || paired.is_err(), "{forth}");
                if is_trusted {
                    fixture.user.types("untrust anna").await;
                    fixture.user.sees("no longer trusted").await;
                }
                if paired.is_ok() {
                    break;
                }
                forth += 1;
            }
            assert!(forth > 500, "{forth}");
        })
        .await;
}

#[tokio::test]
async fn a_name_is_made_valid_and_free() {
    let taken = Keys::generate();
    let (_, identity) = open_board(&[&taken]);
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            for (suggested, name) in [("laptop0", "laptop0-2"), ("Küche 1", "Kche1"), ("", "sender")] {
                let keys = Keys::generate();
                let code = begin(&mut fixture).await;
                dial_with(fixture.address, &code, &me(&keys, suggested)).await.unwrap();
                fixture.user.sees(&format!("Paired: {name} is trusted")).await;
            }
            // The same certificate keeps its name.
            let code = begin(&mut fixture).await;
            dial_with(fixture.address, &code, &me(&taken, "root")).await.unwrap();
            fixture.user.sees("Paired: laptop0 is trusted").await;
            assert_eq!(identity.senders.len(), 4);
            // A computer that only receives is not trusted.
            let keys = Keys::generate();
            let code = begin(&mut fixture).await;
            dial_with(fixture.address, &code, &Me::new(&keys, "anna", false, true)).await.unwrap();
            fixture.user.sees("Not paired: the other device does not want to send.").await;
            assert_eq!(identity.senders.len(), 4);
        })
        .await;
}

#[tokio::test]
async fn a_full_list_is_told_before_a_code_is_shown() {
    let all: Vec<_> = (0..SENDERS_MAX).map(|_| Keys::generate()).collect();
    let (_, identity) = open_board(&all.iter().collect::<Vec<_>>());
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.types("pair").await;
            fixture.user.sees("No more senders can be trusted").await;
            fixture.user.types("untrust laptop3").await;
            fixture.user.sees("no longer trusted").await;
            begin(&mut fixture).await;
        })
        .await;
}

#[tokio::test]
async fn a_flash_that_fails_makes_no_trusted_sender() {
    let (_, identity) = open_board(&[&Keys::generate()]);
    let keys = Keys::generate();
    let mut powered = Powered::new(16);
    powered.boot(Ok(&identity), async |mut fixture| drop(fixture.user.sees("help").await)).await;
    let end = powered.flash.get_mut().bytes.len() as u32;
    let settings = end - SETTINGS..end;
    for what in [Operation::Write, Operation::Erase] {
        let failing = Failing { what, range: settings.clone(), after: 0, times: Failing::ALWAYS };
        powered.flash.get_mut().failing = Some(failing);
        powered
            .boot(Ok(&identity), async |mut fixture| {
                let code = begin(&mut fixture).await;
                dial_with(fixture.address, &code, &me(&keys, "anna")).await.unwrap();
                fixture.user.sees("Not paired: the flash failed").await;
                assert!(!identity.senders.contains(&keys.certificate().hash()));
            })
            .await;
        powered.flash.get_mut().failing = None;
        powered
            .boot(Ok(&identity), async |mut fixture| {
                fixture.user.types("trusted").await;
                let seen = fixture.user.sees("Trusts: laptop0").await;
                assert!(!seen.contains("anna"), "{seen}");
            })
            .await;
    }
    let _ = ERASE;
}

/// A sender whose session waits for its key is not disturbed by strangers that want to pair.
#[tokio::test]
async fn a_session_is_not_disturbed_by_a_dialer() {
    let laptop_keys = Keys::generate();
    let (kitchen, mut identity) = open_board(&[&laptop_keys]);
    identity.policy.key = KeyPolicy::Typed;
    let laptop = Laptop::new(laptop_keys, &kitchen);
    let folder = archive(tree(1, &[5_000]), 100);
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            let at = fixture.address;
            let user = async {
                fixture.user.sees("Type the key").await;
                fixture.user.types("pair").await;
                fixture.user.sees("A transfer is running.").await;
                let mut dialer = TcpStream::connect(at).await.unwrap();
                dialer.write_all(&Purpose::Pairing.preface()).await.unwrap();
                let mut answer = [0; LEN];
                dialer.read_exact(&mut answer).await.unwrap();
                assert_eq!(ClearRefusal::from_bytes(&answer), Ok(ClearRefusal::PairingClosed));
                fixture.user.types(&laptop.key.display().to_string()).await;
            };
            let (outcome, ()) = join!(laptop.send(at, &folder, "", None), user);
            outcome.receipt();
        })
        .await;
}

/// A proxy that closes a connection after some bytes from the dialer.
struct CuttingProxy {
    listener: TcpListener,
    board: SocketAddr,
    forth: u64,
    address: SocketAddr,
}

impl CuttingProxy {
    async fn new(board: SocketAddr, forth: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, board, forth, address }
    }

    async fn carry(&self) {
        let (mut dialer, _) = self.listener.accept().await.unwrap();
        let mut board = TcpStream::connect(self.board).await.unwrap();
        let ((from_dialer, mut to_dialer), (mut from_board, mut to_board)) = (dialer.split(), board.split());
        let mut forwarded = from_dialer.take(self.forth);
        tokio::select! {
            _ = copy(&mut forwarded, &mut to_board) => {}
            _ = copy(&mut from_board, &mut to_dialer) => {}
        }
    }
}
