//! A TCP proxy between a sender and a receiver. It injects faults: it cuts, stalls or mutes connections.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::spawn;

use socket2::{Domain, Socket, Type};

/// What the proxy does to one connection. Numbers count bytes from the sender to the receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Behaviour {
    /// Forwards all bytes in both directions.
    Pass,
    /// After this number of bytes, closes the connections to both sides.
    Cut(u64),
    /// After this number of bytes, stops forwarding the sender's bytes until the test calls [`Proxy::go_on`]. The
    /// receiver's bytes are still forwarded, but not the end of its connection: the sender does not learn that the
    /// receiver has disconnected.
    Stall(u64),
    /// After this number of bytes, no longer forwards the receiver's bytes. The sender's bytes are still forwarded.
    Mute(u64),
    /// Answers the sender with these bytes. The proxy does not connect to the receiver.
    Answer(&'static [u8]),
}

/// A running proxy. Senders connect to `address` instead of the receiver's address.
pub(crate) struct Proxy {
    pub(crate) address: String,
    reached: Receiver<()>,
    orders: Arc<Mutex<VecDeque<Sender<Order>>>>,
}

enum Order {
    GoOn,
    Cut,
}

impl Proxy {
    /// Starts a proxy for the receiver at `target`. The first connection gets the first of the `behaviours`, and so on. All
    /// further connections get [`Behaviour::Pass`].
    pub(crate) fn before(target: &str, behaviours: &[Behaviour]) -> Self {
        let listener = narrow_listener();
        let address = listener.local_addr().expect("it listens").to_string();
        let (trigger, reached) = channel();
        let orders = Arc::new(Mutex::new(VecDeque::new()));
        let (target, mut behaviours, given) = (target.to_owned(), VecDeque::from(behaviours.to_vec()), orders.clone());
        spawn(move || {
            for accepted in listener.incoming().map_while(Result::ok) {
                let behaviour = behaviours.pop_front().unwrap_or(Behaviour::Pass);
                let (give, order) = channel();
                if matches!(behaviour, Behaviour::Stall(_) | Behaviour::Mute(_)) {
                    given.lock().expect("no panic while it is held").push_back(give);
                }
                let (target, trigger) = (target.clone(), trigger.clone());
                spawn(move || serve(accepted, &target, behaviour, &trigger, order));
            }
        });
        Self { address, reached, orders }
    }

    /// Waits until the next connection has reached the point where its behaviour takes effect.
    pub(crate) fn await_trigger(&self) {
        self.reached.recv_timeout(std::time::Duration::from_secs(60)).expect("so many bytes are sent");
    }

    /// Continues the oldest stalled connection.
    pub(crate) fn go_on(&self) {
        self.order(Order::GoOn);
    }

    /// Cuts the oldest stalled or mute connection.
    pub(crate) fn cut(&self) {
        self.order(Order::Cut);
    }

    fn order(&self, order: Order) {
        let oldest = self.orders.lock().expect("no panic while it is held").pop_front();
        let _ = oldest.expect("a connection waits for orders").send(order);
    }
}

/// A listener whose connections have small buffers, so that a sender cannot run far ahead.
fn narrow_listener() -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
    socket.set_recv_buffer_size(32 << 10).expect("it can be smaller");
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("there are ports");
    socket.listen(16).expect("it is bound");
    socket.into()
}

fn serve(sender: TcpStream, target: &str, behaviour: Behaviour, trigger: &Sender<()>, order: Receiver<Order>) {
    if let Behaviour::Answer(bytes) = behaviour {
        let _ = (&sender).read(&mut [0; 8]);
        let _ = (&sender).write_all(bytes);
        return;
    }
    let Ok(receiver) = TcpStream::connect(target) else { return };
    let back = (receiver.try_clone().expect("it is open"), sender.try_clone().expect("it is open"));
    let mute = Arc::new(Mutex::new(false));
    let muted = mute.clone();
    let ends = !matches!(behaviour, Behaviour::Stall(_));
    let backward = spawn(move || pass_back(back.0, back.1, &muted, ends));
    if let Behaviour::Mute(_) = behaviour {
        let both = [&sender, &receiver].map(|stream| stream.try_clone().expect("it is open"));
        spawn(move || order.recv().map(|_| cut(&both)));
        pass_forth(&sender, &receiver, behaviour, &mute, trigger, None);
        return;
    }
    pass_forth(&sender, &receiver, behaviour, &mute, trigger, Some(order));
    let _ = receiver.shutdown(Shutdown::Write);
    let _ = backward.join();
}

fn pass_back(mut from: TcpStream, mut to: TcpStream, muted: &Mutex<bool>, ends: bool) {
    let mut buffer = [0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        // Held while writing: after the connection is mute, no more bytes pass.
        let muted = muted.lock().expect("no panic while it is held");
        if !*muted {
            // If the sender has gone, the bytes are still read: closing a connection with unread bytes would reset it,
            // and the receiver would lose what it has not read yet.
            let _ = to.write_all(&buffer[..count]);
        }
    }
    if ends && !*muted.lock().expect("no panic while it is held") {
        let _ = to.shutdown(Shutdown::Write);
    }
}

fn pass_forth(
    mut from: &TcpStream,
    mut to: &TcpStream,
    behaviour: Behaviour,
    mute: &Mutex<bool>,
    trigger: &Sender<()>,
    order: Option<Receiver<Order>>,
) {
    let mut left = match behaviour {
        Behaviour::Cut(bytes) | Behaviour::Stall(bytes) | Behaviour::Mute(bytes) => bytes,
        Behaviour::Pass | Behaviour::Answer(_) => u64::MAX,
    };
    let mut buffer = [0; 16 << 10];
    loop {
        let most = left.min(buffer.len() as u64) as usize;
        let Ok(count @ 1..) = from.read(&mut buffer[..most]) else { break };
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        left -= count as u64;
        if left > 0 {
            continue;
        }
        left = u64::MAX;
        if let Behaviour::Mute(_) = behaviour {
            *mute.lock().expect("no panic while it is held") = true;
        }
        let _ = trigger.send(());
        let goes_on = match behaviour {
            Behaviour::Stall(_) => order.as_ref().is_some_and(|order| matches!(order.recv(), Ok(Order::GoOn))),
            behaviour => matches!(behaviour, Behaviour::Mute(_)),
        };
        if !goes_on {
            return cut(&[from.try_clone().expect("it is open"), to.try_clone().expect("it is open")]);
        }
    }
}

fn cut(both: &[TcpStream; 2]) {
    for stream in both {
        // The stream may be closed already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}
