//! Receivers that announce themselves, and senders that find them: between network namespaces, with real multicast.
//!
//! ```text
//! this process and the laptop: 10.9.0.1, "cable"  --  10.9.0.2, "plug": the kitchen
//! ```
//!
//! The liar is this process, which sends hand-made announcements from the laptop's side of the cable.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use waft_core::discovery::DeviceId;

use super::harness::{Call, Ended, Waft, text};
use super::needs::{again, is_again, own_network};
use super::pty::{Terminal, waft};
use super::world::{Machine, World, listed};

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const HERE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// Whether this process is in a network namespace of its own. If not, the test is run again in one.
#[track_caller]
fn in_own_network(test: &str) -> bool {
    if !is_again() {
        again(&format!("discovery::{test}"), own_network());
    }
    is_again()
}

fn ip(args: &[&str]) {
    assert!(Command::new("ip").args(args).status().expect("ip is there").success(), "ip {args:?}");
}

/// Has a rule of nftables apply to what comes in on this side of the cable.
fn filter_incoming(rule: &str) {
    let mut rules = Command::new("nft");
    rules.arg(format!("table inet test {{ chain incoming {{ type filter hook input priority 0; {rule}; }}; }}"));
    assert!(rules.status().expect("nft is there").success());
}

/// The kitchen's network namespace, at the other end of a cable.
struct Cable {
    /// Keeps the namespace.
    keeper: Child,
}

impl Cable {
    fn plug_in() -> Self {
        let mut keeper = Command::new("unshare");
        keeper.args(["--net", "sh", "-c", "echo ready; exec sleep 1000"]).stdout(Stdio::piped());
        let mut keeper = keeper.spawn().expect("unshare is there");
        let mut ready = [0; 6];
        keeper.stdout.as_mut().expect("it is piped").read_exact(&mut ready).expect("it starts");
        let cable = Self { keeper };
        let pid = cable.keeper.id().to_string();
        ip(&["link", "add", "cable", "type", "veth", "peer", "name", "plug", "netns", &pid]);
        ip(&["addr", "add", "10.9.0.1/24", "dev", "cable"]);
        ip(&["link", "set", "cable", "up"]);
        cable.ip_there(&["link", "set", "lo", "up"]);
        cable.ip_there(&["addr", "add", "10.9.0.2/24", "dev", "plug"]);
        cable.ip_there(&["link", "set", "plug", "up"]);
        // The system needs some time to detect that the cable is plugged in.
        while !cable.is_up() {
            sleep(Duration::from_millis(20));
        }
        cable
    }

    fn nsenter(&self) -> [String; 2] {
        [format!("--net=/proc/{}/ns/net", self.keeper.id()), "--".to_owned()]
    }

    fn ip_there(&self, args: &[&str]) {
        let status = Command::new("nsenter").args(self.nsenter()).arg("ip").args(args).status();
        assert!(status.expect("nsenter is there").success(), "ip {args:?} there");
    }

    fn is_up(&self) -> bool {
        let mut shown = Command::new("nsenter");
        shown.args(self.nsenter()).args(["ip", "-o", "link", "show", "plug"]);
        String::from_utf8_lossy(&shown.output().expect("nsenter is there").stdout).contains("state UP")
    }

    /// Runs the command at the other end.
    fn there(&self, call: Call) -> Call {
        let [net, end] = self.nsenter();
        call.within("nsenter", &[&net, &end])
    }

    /// The kitchen receives at every address that it has.
    fn receive(&self, world: &World, options: &[&str]) -> Waft {
        let call = world.kitchen.call(&["receive", "--into", "into", "--no-code", "--sealed-key"]);
        let mut receiver = self.there(call.args(options)).start();
        receiver.await_event("ready");
        receiver
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

fn world() -> (World, Cable) {
    let (world, cable) = (World::new(), Cable::plug_in());
    world.small();
    (world, cable)
}

/// What `waft find` lists.
fn find(machine: &Machine, seconds: &str) -> Vec<Value> {
    let ended = machine.call(&["find", "--seconds", seconds]).run().succeeded();
    ended.all("found").cloned().collect()
}

/// Looks until something meets the condition.
fn find_that(machine: &Machine, condition: impl Fn(&Value) -> bool) -> Value {
    let mut finder = machine.call(&["find", "--seconds", "90"]).start();
    let found = finder.await_that("found", condition);
    finder.kill();
    found
}

fn send(world: &World) -> Ended {
    world.laptop.call(&["send", "folder", "kitchen"]).run()
}

fn id(machine: &Machine) -> String {
    DeviceId::of(&machine.identity().certificate().hash()).to_string()
}

#[test]
fn a_receiver_is_found_by_its_name_here_and_announces_none() {
    if !in_own_network("a_receiver_is_found_by_its_name_here_and_announces_none") {
        return;
    }
    let (world, cable) = world();
    world.kitchen.call(&["id", "--name", "secret-name"]).run().succeeded();
    let heard = Heard::start();
    let receiver = cable.receive(&world, &[]);
    let found = find_that(&world.laptop, |found| found["address"] == "10.9.0.2:12346");
    assert_eq!((&found["name"], &found["address"]), (&json!("kitchen"), &json!("10.9.0.2:12346")));
    assert_eq!((&found["id"], &found["version"]), (&json!(id(&world.kitchen)), &json!(1)));
    assert_eq!((&found["sends"], &found["receives"], &found["pairing"]), (&json!(false), &json!(true), &Value::Null));
    // To a machine that does not trust it, it has only its id.
    let stranger = Machine::new(world.root.path(), "stranger");
    let unknown = find_that(&stranger, |_| true);
    assert_eq!((&unknown["name"], &unknown["receives"]), (&Value::Null, &json!(false)));
    // Without an address, the name is enough.
    send(&world).succeeded();
    world.arrived();
    assert_eq!(world.laptop.known().by_name("kitchen").unwrap().address().unwrap().to_string(), "10.9.0.2:12346");
    receiver.interrupt();
    receiver.end();
    let heard = heard.stop();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_lowercase();
    for name in ["secret-name", "kitchen", host.as_str()] {
        assert!(!heard.to_lowercase().contains(name), "{name} in {heard:?}");
    }
    assert!(heard.contains(&id(&world.kitchen)), "{heard:?}");
}

#[test]
fn who_does_not_want_to_is_not_announced() {
    if !in_own_network("who_does_not_want_to_is_not_announced") {
        return;
    }
    let (world, cable) = world();
    let heard = Heard::start();
    let _quiet = cable.receive(&world, &["--no-announce"]);
    let _loopback = {
        let call = world.attic().call(&["receive", "--into", "into", "--listen", "127.0.0.1:0"]);
        let mut receiver = cable.there(call).start();
        receiver.await_event("ready");
        receiver
    };
    assert_eq!(find(&world.laptop, "3"), [Value::Null; 0]);
    assert!(!heard.stop().contains(&id(&world.kitchen)));
    world.laptop.call(&["send", "folder", "kitchen"]).run().failed(
        10,
        "unreachable",
        &["was not found on this network"],
    );
    // At its address it takes folders all the same.
    world.laptop.call(&["send", "folder", "kitchen@10.9.0.2"]).run().succeeded();
    world.arrived();
}

#[test]
fn a_receiver_that_moved_is_found_again() {
    if !in_own_network("a_receiver_that_moved_is_found_again") {
        return;
    }
    let (world, cable) = world();
    let _receiver = cable.receive(&world, &[]);
    world.laptop.call(&["send", "folder", "kitchen@10.9.0.2"]).run().succeeded();
    cable.ip_there(&["addr", "add", "10.9.0.77/24", "dev", "plug"]);
    cable.ip_there(&["addr", "del", "10.9.0.2/24", "dev", "plug"]);
    cable.ip_there(&["addr", "replace", "10.9.0.77/24", "dev", "plug"]);
    find_that(&world.laptop, |found| found["address"] == "10.9.0.77:12346");
    send(&world).succeeded();
    assert_eq!(world.laptop.known().by_name("kitchen").unwrap().address().unwrap().to_string(), "10.9.0.77:12346");
}

#[test]
fn a_receiver_that_comes_later_is_waited_for() {
    if !in_own_network("a_receiver_that_comes_later_is_waited_for") {
        return;
    }
    let (world, cable) = world();
    let mut sender = world.laptop.call(&["send", "folder", "kitchen", "--wait"]).start();
    sender.await_event("retry");
    let _receiver = cable.receive(&world, &[]);
    sender.end().succeeded();
    world.arrived();
}

#[test]
fn a_liar_is_not_believed_and_costs_a_bounded_time() {
    if !in_own_network("a_liar_is_not_believed_and_costs_a_bounded_time") {
        return;
    }
    let (world, cable) = world();
    // Addresses of nobody, a program that is not waft, one that says nothing, and another receiver.
    let other = Machine::new(world.root.path(), "other");
    let mut posing = other.call(&["receive", "--into", "into", "--listen", "10.9.0.1:7001", "--no-announce"]).start();
    posing.await_event("ready");
    let silent = TcpListener::bind("10.9.0.1:7002").unwrap();
    let rude = TcpListener::bind("10.9.0.1:7003").unwrap();
    spawn(move || rude.incoming().flatten().for_each(|mut stream| _ = stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n")));
    let id = id(&world.kitchen);
    let nobody: Vec<Ipv4Addr> = (100..200).map(|last| Ipv4Addr::new(10, 9, 0, last)).collect();
    let lies = vec![
        announcement(&format!("{id}-7001"), 7001, &[HERE]),
        announcement(&format!("{id}-7002"), 7002, &[HERE]),
        announcement(&format!("{id}-7003"), 7003, &[HERE]),
        announcement(&format!("{id}-7004"), 7004, &nobody),
    ];
    let liar = Liar::start(lies);
    let claimed = find_that(&world.laptop, |found| found["name"] == "kitchen");
    assert!(text(&claimed, "address").starts_with("10.9.0.1"), "{claimed:#}");
    // A sender waits only a moment after the first announcement: on a slow machine it may not hear of the other receiver.
    let mut failed = (0..20).map(|_| send(&world)).inspect(|ended| assert_eq!(ended.all("connected").count(), 0));
    let ended = failed.find(|ended| ended.last("error")["class"] == "identity");
    ended.expect("it hears of the other receiver").failed(11, "identity", &["kitchen at 10.9.0.1:7001"]);
    assert!(world.laptop.known().by_name("kitchen").unwrap().address().is_none());
    // The receiver is found in spite of the liar.
    let _receiver = cable.receive(&world, &[]);
    world.laptop.call(&["send", "folder", "kitchen", "--wait"]).run().succeeded();
    assert_eq!(world.laptop.known().by_name("kitchen").unwrap().address().unwrap().to_string(), "10.9.0.2:12346");
    assert_eq!(listed(&other.work.join("into")), [""; 0]);
    drop((liar, silent));
}

#[test]
fn hostile_announcements_are_ignored() {
    if !in_own_network("hostile_announcements_are_ignored") {
        return;
    }
    let (world, cable) = world();
    let _receiver = cable.receive(&world, &[]);
    let good = announcement("CYJCP9HDNK-1", 12346, &[Ipv4Addr::new(10, 9, 0, 50)]);
    let mut lies = vec![
        // Addresses that are none of a machine on this network, and no port.
        announcement("0000000000-1", 12346, &[Ipv4Addr::LOCALHOST, GROUP, Ipv4Addr::new(8, 8, 8, 8)]),
        announcement("0000000000-2", 0, &[HERE]),
        // Names that are none of a receiver.
        announcement("Anna's kitchen", 12346, &[HERE]),
        announcement("\u{1b}[31mred\u{1b}]0;title\u{7}", 12346, &[HERE]),
        announcement(&"x".repeat(63), 12346, &[HERE]),
        with_text(&good, b"\x08v=banana"),
        with_text(&good, b"\xff"),
        // A name of a label and a pointer to itself, in a record behind it.
        b"\0\0\x84\0\0\0\0\x02\0\0\0\0\0\0\x10\0\x01\0\0\0\x78\0\x04\x01a\xc0\x17\xc0\x17\0\x01\0\x01\0\0\0\x78\0\x04\x0a\x09\0\x01".to_vec(),
        Vec::new(),
        vec![0xff; 9000],
    ];
    // A name that is not UTF-8.
    let at = good.windows(10).position(|window| window == b"CYJCP9HDNK").expect("it is there");
    lies.extend(
        [0xff, 0x00].map(|byte| good.iter().enumerate().map(|(i, b)| if i == at { byte } else { *b }).collect()),
    );
    // Every byte of a good announcement changed, and every length of it.
    lies.extend((0..good.len()).map(|length| good[..length].to_vec()));
    for changed in 12..good.len() {
        lies.push(good.iter().enumerate().map(|(i, b)| if i == changed { b ^ 0xc0 } else { *b }).collect());
    }
    // Thousands of receivers, of which nobody ever is one, and their goodbyes.
    for number in 0..3000u32 {
        let name = format!("{number:010}-1");
        let hello = announcement(&name, 12346, &[Ipv4Addr::new(192, 0, 2, 1)]);
        lies.push(goodbye(&hello));
        lies.push(hello);
    }
    let liar = Liar::start(lies);
    find_that(&world.laptop, |found| found["name"] == "kitchen" && found["address"] == "10.9.0.2:12346");
    let all = find(&world.laptop, "3");
    for found in &all {
        let address = text(found, "address");
        assert!(address.starts_with("10.9.0.") || address.starts_with("[fe80::"), "{found:#}");
    }
    // The receiver that heard all of this still announces itself, and receives. In such a flood that may take longer than a
    // sender looks for it, unless it waits.
    world.laptop.call(&["send", "folder", "kitchen", "--wait"]).run().succeeded();
    world.arrived();
    drop(liar);
}

#[test]
fn a_machine_is_named_only_while_it_waits_for_a_pairing() {
    if !in_own_network("a_machine_is_named_only_while_it_waits_for_a_pairing") {
        return;
    }
    let (world, cable) = (World::strangers(), Cable::plug_in());
    world.kitchen.call(&["id", "--name", "annas-laptop"]).run().succeeded();
    let mut listener = cable.there(world.kitchen.call(&["pair", "laptop"])).start();
    let (_, code) = listener.ready();
    let waiting = find_that(&world.laptop, |found| text(found, "address").starts_with("10.9.0.2:"));
    assert_eq!((&waiting["pairing"], &waiting["name"]), (&json!("annas-laptop"), &Value::Null));
    let to = format!("kitchen@{}", text(&waiting, "address"));
    world.laptop.call(&["pair", &to]).env("WAFT_PAIRING_CODE", code.unwrap()).run().succeeded();
    listener.end().succeeded();
    // It ended with its command; now it receives, without a name.
    let _receiver = cable.receive(&world, &[]);
    let receiving = find_that(&world.laptop, |found| found["pairing"].is_null());
    assert_eq!(receiving["name"], "kitchen");
    // A listener that does not want to be announced is not.
    let (quiet, other) = (Machine::new(world.root.path(), "quiet"), Machine::new(world.root.path(), "other"));
    let mut listener = cable.there(quiet.call(&["pair", "x", "--listen", "7000", "--no-announce"])).start();
    listener.ready();
    assert!(find(&other, "3").iter().all(|found| found["pairing"].is_null()));
}

#[test]
fn a_user_chooses_among_the_machines_that_wait_for_a_pairing() {
    if !in_own_network("a_user_chooses_among_the_machines_that_wait_for_a_pairing") {
        return;
    }
    let (world, cable) = (World::strangers(), Cable::plug_in());
    world.kitchen.call(&["id", "--name", "annas-laptop"]).run().succeeded();
    let mut listener = cable.there(world.kitchen.call(&["pair", "laptop"])).start();
    let (_, code) = listener.ready();
    find_that(&world.laptop, |found| found["address"] == "10.9.0.2:12346");
    let mut terminal = Terminal::start(waft(&world.laptop, &["pair"]));
    terminal.sees("1  10.9.0.2:12346  announced as \"annas-laptop\"");
    terminal.sees("Pair with number");
    terminal.types("2\n");
    terminal.sees("type a number from 1 to 1");
    terminal.types("1\n");
    terminal.sees("Name for it on this machine [annas-laptop]:");
    terminal.types("kitchen\n");
    terminal.sees("Code that kitchen shows:");
    terminal.types(&format!("{}\n", code.unwrap()));
    terminal.assert_exit(0);
    listener.end().succeeded();
    assert_eq!(world.laptop.known().by_name("kitchen").unwrap().address().unwrap().to_string(), "10.9.0.2:12346");
}

#[test]
fn ipv4_addresses_are_found_although_only_ipv6_is_multicast() {
    if !in_own_network("ipv4_addresses_are_found_although_only_ipv6_is_multicast") {
        return;
    }
    let (world, cable) = world();
    filter_incoming("ip daddr 224.0.0.251 udp dport 5353 drop");
    let _receiver = cable.receive(&world, &[]);
    find_that(&world.laptop, |found| found["address"] == "10.9.0.2:12346");
}

#[test]
fn where_nothing_is_multicast_the_remembered_address_serves() {
    if !in_own_network("where_nothing_is_multicast_the_remembered_address_serves") {
        return;
    }
    let (world, cable) = world();
    filter_incoming("udp dport 5353 drop");
    let _receiver = cable.receive(&world, &[]);
    world.laptop.call(&["send", "folder", "kitchen@10.9.0.2"]).run().succeeded();
    send(&world).succeeded();
    world.arrived();
    assert_eq!(find(&world.laptop, "2"), [Value::Null; 0]);
}

#[test]
fn a_machine_without_multicast_dns_says_so_once_and_receives() {
    if !in_own_network("a_machine_without_multicast_dns_says_so_once_and_receives") {
        return;
    }
    let (world, cable) = world();
    // A program that does not share the port.
    let _alone = [(Domain::IPV4, "0.0.0.0:5353"), (Domain::IPV6, "[::]:5353")].map(|(domain, at)| {
        let socket = Socket::new(domain, Type::DGRAM, None).unwrap();
        let _ = socket.set_only_v6(true);
        socket.bind(&at.parse::<SocketAddr>().unwrap().into()).unwrap();
        socket
    });
    let mut receiver =
        world.kitchen.call(&["receive", "--into", "into", "--no-code", "--sealed-key", "--once"]).start();
    let warned = receiver.await_that("warning", |event| text(event, "message").contains("not announced"));
    assert!(text(&warned, "message").contains("5353"), "{warned:#}");
    world.laptop.call(&["send", "folder", "kitchen@10.9.0.1"]).run().succeeded();
    let ended = receiver.end().succeeded();
    assert_eq!(ended.all("warning").filter(|event| text(event, "message").contains("5353")).count(), 1);
    world.laptop.call(&["find"]).run().failed(10, "unreachable", &["Multicast DNS is not available", "5353"]);
    drop(cable);
}

/// Collects what is sent to the group of multicast DNS on the cable.
struct Heard {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u8>>,
}

impl Heard {
    fn start() -> Self {
        let (socket, ends) = (multicast_socket(), Arc::new(AtomicBool::new(false)));
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let until = ends.clone();
        let thread = spawn(move || {
            let (mut all, mut packet) = (Vec::new(), [0; 9000]);
            while !until.load(Ordering::SeqCst) {
                if let Ok(length) = socket.recv(&mut packet) {
                    all.extend(&packet[..length]);
                }
            }
            all
        });
        Self { ends, thread }
    }

    fn stop(self) -> String {
        self.ends.store(true, Ordering::SeqCst);
        String::from_utf8_lossy(&self.thread.join().unwrap()).into_owned()
    }
}

/// Repeats lies until it is dropped.
struct Liar {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    fn start(lies: Vec<Vec<u8>>) -> Self {
        let (socket, ends) = (multicast_socket(), Arc::new(AtomicBool::new(false)));
        let until = ends.clone();
        let thread = spawn(move || {
            while !until.load(Ordering::SeqCst) {
                for (index, lie) in lies.iter().enumerate() {
                    let _ = socket.send_to(lie, (GROUP, 5353));
                    if index % 100 == 0 {
                        sleep(Duration::from_millis(5));
                    }
                }
                sleep(Duration::from_millis(300));
            }
        });
        Self { ends, thread: Some(thread) }
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A socket on the port of multicast DNS that others share.
fn multicast_socket() -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([0, 0, 0, 0], 5353)).into()).unwrap();
    socket.set_multicast_if_v4(&HERE).unwrap();
    let socket = UdpSocket::from(socket);
    socket.join_multicast_v4(&GROUP, &HERE).unwrap();
    socket
}

/// A hand-made announcement of a receiver.
fn announcement(instance: &str, port: u16, addresses: &[Ipv4Addr]) -> Vec<u8> {
    let kind = b"\x05_waft\x04_tcp\x05local\0";
    let label = [&[instance.len() as u8], instance.as_bytes()].concat();
    let (full, host) = ([&label[..], &kind[..]].concat(), [&label[..], b"\x05local\0"].concat());
    let record = |name: &[u8], number: u8, data: &[u8]| {
        let length = (data.len() as u16).to_be_bytes();
        [name, &[0, number, 0, 1, 0, 0, 0, 120], &length, data].concat()
    };
    let mut message = vec![0, 0, 0x84, 0, 0, 0];
    message.extend((3 + addresses.len() as u16).to_be_bytes());
    message.extend([0; 4]);
    message.extend(record(kind, 12, &full));
    message.extend(record(&full, 33, &[&[0; 4][..], &port.to_be_bytes(), &host].concat()));
    message.extend(record(&full, 16, b"\x03v=1"));
    addresses.iter().for_each(|address| message.extend(record(&host, 1, &address.octets())));
    message
}

/// The announcement with another text record.
fn with_text(announcement: &[u8], text: &[u8]) -> Vec<u8> {
    let at = announcement.windows(6).position(|window| window == b"\0\x04\x03v=1").expect("it is there");
    [&announcement[..at], &(text.len() as u16).to_be_bytes(), text, &announcement[at + 6..]].concat()
}

/// The announcement with a TTL of 0.
fn goodbye(announcement: &[u8]) -> Vec<u8> {
    let mut message = announcement.to_vec();
    for at in 0..message.len() - 6 {
        if message[at..at + 6] == [0, 1, 0, 0, 0, 120] {
            message[at + 5] = 0;
        }
    }
    message
}
