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
//! party, nor have it wait for an address that does not answer. Queries to the board's own address, and those of programs that
//! do not listen to the group, which RFC 6762 calls legacy ones, get no answer. The work for queries is bounded: see
//! `schedule` and `message`.

mod message;
mod schedule;

use core::future::pending;
use core::net::Ipv4Addr;
use core::pin::pin;

use embassy_futures::join::join;
use embassy_futures::select::select;
use embassy_net::Stack;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_time::{Duration, with_timeout};
use waft_core::discovery::DeviceId;
use waft_core::session::Clock;
use waft_core::session::own_frame::own_frame;

use crate::board::Board;
use crate::operator::{Control, Operator};
use message::Announcement;
use schedule::{SECOND_MS, Schedule};

/// The group and the port of multicast DNS.
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;
/// The Ethernet address of the group. A driver that filters frames has to pass those to it.
pub const GROUP_MAC: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb];
/// Receivers of multicast DNS may ignore what was routed, which has a smaller number of hops left.
const HOPS: u8 = 255;
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

/// How long it takes at most until the announcement is withdrawn after a factory reset, in milliseconds.
#[cfg(feature = "console")]
pub(crate) const WITHDRAWN_MS: u64 = SECOND_MS + SEND_TIMEOUT.as_millis();

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
        let announcing = pin!(announce(control, self.stack, self.buffers));
        join(self.operator.run(control), own_frame(announcing)).await.0
    }
}

/// Whether a message of multicast DNS asks for the records of the board with this id.
pub fn is_asked_by(id: &DeviceId, query: &[u8]) -> bool {
    message::is_query(query) && Announcement::new(*id).is_asked_by(query)
}

async fn announce<B: Board>(control: &Control<'_, B>, stack: Stack<'_>, buffers: &mut Buffers) -> ! {
    let Ok(identity) = control.identity else { pending().await };
    let Buffers { queries, received, answers, sent } = buffers;
    let mut socket = UdpSocket::new(stack, queries, received, answers, sent);
    socket.set_hop_limit(Some(HOPS));
    if socket.bind(PORT).is_err() {
        // Another socket of the application has the port.
        pending().await
    }
    let id = DeviceId::of(&identity.certificate_hash());
    let mut schedule = Schedule::new();
    let mut current = None;
    loop {
        let now = control.clock.now();
        let address = stack.config_v4().filter(|_| stack.is_link_up()).map(|config| config.address.address());
        take_part(stack, address.is_some());
        let is_wanted = !control.is_reset() && control.policy().is_some_and(|policy| policy.announce);
        let wanted = address.filter(|_| is_wanted).map(|address| {
            let pairing = control.is_pairing_open().then_some(identity.name.as_str());
            Announcement { address, pairing, ..Announcement::new(id) }
        });
        if wanted != current {
            if let (Some(gone), Some(_), None) = (current, address, wanted) {
                send(&socket, &gone.goodbye()).await;
            }
            current = wanted;
            schedule.changed(current.is_some());
        }
        if let Some(current) = &current
            && schedule.is_due(now)
        {
            send(&socket, &current.records()).await;
            schedule.sent(now);
        }
        let next = schedule.next(now);
        let query = socket.recv_from_with(|query, from| {
            let Some(current) = &current else { return };
            let now = control.clock.now();
            if from.local_address == Some(GROUP.into())
                && from.endpoint.port == PORT
                && message::is_query(query)
                && schedule.takes_query(now)
                && current.is_asked_by(query)
            {
                schedule.answer(now, &id);
            }
        });
        select(query, control.clock.sleep_until(next)).await;
    }
}

/// Joins the group while the board has an address, and leaves it otherwise. The message that tells switches of it is sent only
/// by a board with an address.
fn take_part(stack: Stack<'_>, has_address: bool) {
    // It fails only if the application has joined as many groups as the stack takes. Then queries are not heard.
    let _ = match (has_address, stack.has_multicast_group(GROUP)) {
        (true, false) => stack.join_multicast_group(GROUP),
        (false, true) => stack.leave_multicast_group(GROUP),
        _ => Ok(()),
    };
}

async fn send(socket: &UdpSocket<'_>, message: &[u8]) {
    // Like a packet that the network loses: announcements are repeated.
    let _ = with_timeout(SEND_TIMEOUT, socket.send_to(message, (GROUP, PORT))).await;
}
