//! Announces the board by multicast DNS, so that senders find its address. PROTOCOL.md, section 14.
//!
//! ```text
//! Announcing::run
//!   operator.run     the operator of the board
//!   announce         once a second: id, address, policy, pairing ──► an announcement, if one of them changed
//!                    a query ──► the same announcement, at most once a second
//! ```
//!
//! Everything that is sent goes to the multicast group. So a stranger can neither have the board send packets to a third
//! party, nor have it wait for an address that does not answer. Queries of programs that do not listen to the group, which
//! RFC 6762 calls legacy ones, get no answer.

mod message;

use core::future::pending;
use core::net::Ipv4Addr;

use embassy_futures::join::join;
use embassy_futures::select::select;
use embassy_net::Stack;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_time::{Duration, with_timeout};
use waft_core::discovery::DeviceId;
use waft_core::session::Clock;

use crate::board::Board;
use crate::operator::{Control, Operator};
use message::Announcement;

/// The group and the port of multicast DNS.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;
/// The Ethernet address of the group. A driver that filters frames has to pass those to it.
pub const GROUP_MAC: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb];
/// Receivers of multicast DNS may ignore what was routed, which has a smaller number of hops left.
const HOPS: u8 = 255;
/// The time between two looks at what is to be announced, and the least between two announcements, in milliseconds.
const SECOND_MS: u64 = 1_000;
/// How often something new is announced.
const REPEATS: u8 = 2;
/// The longest query that is read. Longer ones, which do not fit an Ethernet frame, are left out.
const QUERY_MAX: usize = 1472;
/// The number of packets that wait to be read.
const QUERIES: usize = 4;
/// How long to wait until a packet can be handed over to TCP/IP, which has no place for it while the cable is unplugged.
const SEND_TIMEOUT: Duration = Duration::from_millis(250);

/// The memory of an [`Announcing`] operator.
#[derive(Debug)]
pub struct Buffers {
    queries: [PacketMetadata; QUERIES],
    received: [u8; QUERY_MAX],
    answers: [PacketMetadata; 1],
    sent: [u8; message::MAX],
}

impl Buffers {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self {
            queries: [PacketMetadata::EMPTY; QUERIES],
            received: [0; QUERY_MAX],
            answers: [PacketMetadata::EMPTY; 1],
            sent: [0; message::MAX],
        }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// An operator that announces the board beside what another operator does, as long as the board's policy says so. It needs a
/// socket of the stack, and the driver has to pass frames to [`GROUP_MAC`].
pub struct Announcing<'a, O> {
    operator: O,
    stack: Stack<'a>,
    buffers: &'a mut Buffers,
}

impl<'a, O> Announcing<'a, O> {
    /// Announces the board on the network of `stack`.
    pub fn new(operator: O, stack: Stack<'a>, buffers: &'a mut Buffers) -> Self {
        Self { operator, stack, buffers }
    }
}

impl<B: Board, O: Operator<B>> Operator<B> for Announcing<'_, O> {
    async fn run(&mut self, control: &Control<'_, B>) -> ! {
        join(self.operator.run(control), announce(control, self.stack, self.buffers)).await.0
    }
}

async fn announce<B: Board>(control: &Control<'_, B>, stack: Stack<'_>, buffers: &mut Buffers) -> ! {
    let Ok(identity) = control.identity else { pending().await };
    let Buffers { queries, received, answers, sent } = buffers;
    let mut socket = UdpSocket::new(stack, queries, received, answers, sent);
    socket.set_hop_limit(Some(HOPS));
    // Both can fail only if the application has used up what the stack has: ports and groups.
    if socket.bind(PORT).is_err() || stack.join_multicast_group(GROUP).is_err() {
        pending().await
    }
    let id = DeviceId::of(&identity.certificate_hash());
    let mut current = None;
    let mut repeats = 0;
    // When the announcement was sent, and when it is sent again for a query.
    let (mut sent_at, mut answer_at) = (0, None);
    loop {
        let now = control.clock.now();
        let address = stack.config_v4().filter(|_| stack.is_link_up()).map(|config| config.address.address());
        let wanted = address.filter(|_| control.policy().is_some_and(|policy| policy.announce)).map(|address| {
            let pairing = control.is_pairing_open().then_some(identity.name.as_str());
            Announcement { id, address, pairing }
        });
        if wanted != current {
            if let (Some(current), Some(_), None) = (current, address, wanted) {
                send(&socket, &current.withdrawn()).await;
            }
            (current, repeats, answer_at) = (wanted, REPEATS, None);
        }
        if let Some(current) = &current
            && now >= sent_at + SECOND_MS
            && (repeats > 0 || answer_at.is_some_and(|at| now >= at))
        {
            send(&socket, &current.records()).await;
            (sent_at, answer_at) = (now, None);
            repeats = repeats.saturating_sub(1);
        }
        let next = answer_at.unwrap_or(now + SECOND_MS).max(sent_at + SECOND_MS).min(now + SECOND_MS);
        let query = socket.recv_from_with(|query, from| {
            let is_asked = current.as_ref().is_some_and(|current| current.is_asked_by(query));
            if is_asked && from.endpoint.port == PORT {
                answer_at.get_or_insert(control.clock.now() + delay(&id));
            }
        });
        select(query, control.clock.sleep_until(next)).await;
    }
}

/// How long an answer waits, in milliseconds: 20 to 120, and another time on each board, since all of them get the query at
/// once. RFC 6762, section 6.
fn delay(id: &DeviceId) -> u64 {
    20 + id.as_str().bytes().map(u64::from).sum::<u64>() % 100
}

async fn send(socket: &UdpSocket<'_>, message: &[u8]) {
    // What is lost is sent again for the next query.
    let _ = with_timeout(SEND_TIMEOUT, socket.send_to(message, (GROUP, PORT))).await;
}
