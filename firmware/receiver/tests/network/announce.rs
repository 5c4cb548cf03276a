//! Tests of the board's announcements by multicast DNS, as a computer on the same network sees them.

use std::time::Duration;

use embassy_net::Ipv4Address;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use tokio::time::{Instant, sleep, timeout};
use waft::identity::Identity as Keys;
use waft_core::discovery::DeviceId;

use crate::board::{BOARD, Fixture, Laptop, boot, fixed};
use crate::support::board;

const GROUP: Ipv4Address = Ipv4Address::new(224, 0, 0, 251);
const PORT: u16 = 5353;
/// A query for instances of the service.
const QUERY: &[u8] = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x05_waft\x04_tcp\x05local\0\0\x0c\0\x01";

/// A program on the computer that listens to multicast DNS.
struct Listener {
    socket: UdpSocket<'static>,
    id: String,
}

impl Listener {
    fn new(laptop: &Laptop, keys: &Keys) -> Self {
        let id = DeviceId::of(&keys.certificate().hash()).to_string();
        Self { socket: laptop.datagrams(PORT, GROUP), id }
    }

    async fn asks(&self) {
        self.socket.send_to(QUERY, (GROUP, PORT)).await.unwrap();
    }

    /// The next announcement within this time.
    async fn hears_within(&self, time: Duration) -> Option<Heard> {
        let mut buffer = [0; 1500];
        let (length, from) = timeout(time, self.socket.recv_from(&mut buffer)).await.ok()?.unwrap();
        assert_eq!(from.endpoint.port, PORT);
        let bytes = buffer[..length].to_vec();
        assert!(contains(&bytes, format!("\u{a}{}\u{5}_waft\u{4}_tcp\u{5}local", self.id).as_bytes()));
        Some(Heard(bytes))
    }

    async fn hears(&self) -> Heard {
        self.hears_within(Duration::from_secs(5)).await.expect("something is announced")
    }

    /// What a change causes: three announcements, of which this returns one.
    async fn hears_thrice(&self) -> Heard {
        let [first, second, third] = [self.hears().await, self.hears().await, self.hears().await];
        assert_eq!([&first.0, &second.0], [&second.0, &third.0]);
        first
    }

    async fn hears_nothing(&self) {
        assert!(self.hears_within(Duration::from_secs(30)).await.is_none());
    }
}

/// The bytes of an announcement.
struct Heard(Vec<u8>);

impl Heard {
    fn address(&self) -> [u8; 4] {
        *self.0.last_chunk().unwrap()
    }

    fn has(&self, text: &[u8]) -> bool {
        contains(&self.0, text)
    }

    /// The seconds for which the address counts.
    fn seconds(&self) -> u32 {
        let (_, rest) =
            self.0.split_last_chunk::<6>().and_then(|_| self.0.split_at_checked(self.0.len() - 10)).unwrap();
        u32::from_be_bytes(*rest.first_chunk().unwrap())
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// Boots a board that announces itself unless `is_silent`.
async fn announcing(is_silent: bool, test: impl AsyncFnOnce(Fixture, Listener)) {
    let keys = Keys::generate();
    let mut identity = board(&keys, &[&Keys::generate()]);
    identity.policy.announce = !is_silent;
    boot(&identity, async |mut fixture| {
        let listener = Listener::new(&fixture.laptop, &keys);
        fixture.user.sees("Listening at 192.168.7.2:12346.").await;
        test(fixture, listener).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_board_announces_itself_and_answers() {
    announcing(false, async |_, listener| {
        let heard = listener.hears_thrice().await;
        assert_eq!((heard.address(), heard.seconds()), ([192, 168, 7, 2], 120));
        assert!(heard.has(b"\x03v=1") && !heard.has(b"pair=") && !heard.has(b"kitchen"));
        listener.hears_nothing().await;
        let asked = Instant::now();
        listener.asks().await;
        assert_eq!(heard.0, listener.hears().await.0);
        assert!((20..500).contains(&asked.elapsed().as_millis()), "{:?}", asked.elapsed());
        listener.hears_nothing().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_address_is_announced() {
    announcing(false, async |fixture, listener| {
        listener.hears_thrice().await;
        fixture.board.set_config_v4(fixed([192, 168, 7, 9]).ipv4);
        assert_eq!(listener.hears_thrice().await.address(), [192, 168, 7, 9]);
        // The cable is pulled, and plugged in again.
        fixture.laptop.port.plug(false);
        sleep(Duration::from_secs(10)).await;
        fixture.laptop.port.plug(true);
        assert_eq!(listener.hears_thrice().await.address(), [192, 168, 7, 9]);
        listener.hears_nothing().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_name_is_announced_while_pairing_is_open() {
    announcing(false, async |mut fixture, listener| {
        listener.hears_thrice().await;
        fixture.user.types("pair").await;
        assert!(listener.hears_thrice().await.has(b"pair=kitchen"));
        fixture.user.types("decline").await;
        assert!(!listener.hears_thrice().await.has(b"pair="));
        listener.hears_nothing().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_policy_turns_it_off_and_on() {
    announcing(true, async |mut fixture, listener| {
        listener.asks().await;
        listener.hears_nothing().await;
        fixture.user.types("policy announce on").await;
        fixture.user.sees("; announced on the network").await;
        listener.hears_thrice().await;
        fixture.user.types("policy announce off").await;
        fixture.user.sees("; not announced on the network").await;
        assert_eq!(listener.hears().await.seconds(), 0);
        listener.asks().await;
        listener.hears_nothing().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_factory_reset_withdraws_the_announcement() {
    announcing(false, async |mut fixture, listener| {
        listener.hears_thrice().await;
        fixture.user.types("factory-reset yes").await;
        fixture.user.sees("Wiped").await;
        assert_eq!(listener.hears().await.seconds(), 0);
        listener.hears_nothing().await;
    })
    .await;
}

/// Many queries cause one announcement a second at most, and it goes to the group, wherever they come from.
#[tokio::test(start_paused = true)]
async fn a_flood_of_queries_is_not_amplified() {
    announcing(false, async |fixture, listener| {
        listener.hears_thrice().await;
        let begin = Instant::now();
        let flood = async {
            for _ in 0..2_000 {
                listener.asks().await;
                sleep(Duration::from_millis(5)).await;
            }
        };
        let listening = async {
            let mut count = 0;
            while listener.hears_within(Duration::from_secs(5)).await.is_some() {
                count += 1;
            }
            count
        };
        let (_, count) = tokio::join!(flood, listening);
        let seconds = begin.elapsed().as_secs();
        assert!(count >= 5 && count <= seconds, "{count} in {seconds} seconds");
        // A query from another port, or to the board's own address, causes no announcement.
        let legacy = fixture.laptop.datagrams(40_000, GROUP);
        legacy.send_to(QUERY, (GROUP, PORT)).await.unwrap();
        listener.hears_nothing().await;
        listener.socket.send_to(QUERY, (Ipv4Address::from(BOARD), PORT)).await.unwrap();
        listener.hears_nothing().await;
    })
    .await;
}

impl Laptop {
    /// A socket for datagrams at a port of this computer, which has joined this group.
    fn datagrams(&self, port: u16, group: Ipv4Address) -> UdpSocket<'static> {
        let bytes = || Box::leak(vec![0; 8192].into_boxed_slice());
        let packets = || Box::leak(vec![PacketMetadata::EMPTY; 16].into_boxed_slice());
        let mut socket = UdpSocket::new(self.stack, packets(), bytes(), packets(), bytes());
        socket.bind(port).unwrap();
        self.stack.join_multicast_group(group).unwrap();
        socket
    }
}
