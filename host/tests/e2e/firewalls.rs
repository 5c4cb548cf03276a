//! Networks that reject packets, drop them or lose only the large ones, and machines with unusual addresses. Each test
//! has a network namespace of its own.

use std::io::Write;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::harness::text;
use super::needs::{again, is_again, own_network};
use super::world::World;

const PORT: &str = "12346";

/// Whether this process is in a network namespace of its own. If not, the test is run again in one.
#[track_caller]
fn in_own_network(test: &str) -> bool {
    if !is_again() {
        again(&format!("firewalls::{test}"), own_network());
    }
    is_again()
}

fn run(program: &str, args: &[&str], input: &str) {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    assert!(child.wait().expect("it ends").success(), "{program} {args:?}: {input}");
}

/// Replaces all rules by this one, for incoming packets.
fn firewall(rule: &str) {
    let chain = format!("chain incoming {{\ntype filter hook input priority 0;\n{rule}\n}}");
    run("nft", &["-f", "-"], &format!("flush ruleset\ntable inet test {{\n{chain}\n}}\n"));
}

fn ip(args: &[&str]) {
    run("ip", args, "");
}

#[test]
fn each_firewall_is_named_among_the_causes() {
    if !in_own_network("each_firewall_is_named_among_the_causes") {
        return;
    }
    let world = World::new();
    world.small();
    let rejected = ["The network refuses to connect to", "a firewall rejects the connection", "let its TCP port in"];
    for (rule, to, says) in [
        ("reject with icmp admin-prohibited", "127.0.0.1", &rejected[..]),
        ("reject with icmp host-prohibited", "127.0.0.1", &rejected),
        ("reject with icmp net-prohibited", "127.0.0.1", &rejected),
        ("reject with icmp host-unreachable", "127.0.0.1", &rejected),
        ("reject with icmpv6 admin-prohibited", "[::1]", &rejected),
        ("reject with icmpv6 addr-unreachable", "[::1]", &rejected),
        ("drop", "127.0.0.1", &["does not answer: the connection timed out", "a firewall may drop the connection"]),
        ("reject with tcp reset", "127.0.0.1", &["Nothing listens at", "a firewall may refuse the connection"]),
    ] {
        firewall(&format!("tcp dport {PORT} {rule}"));
        let ended = world.sending(&format!("{to}:{PORT}")).run().failed(10, "unreachable", says);
        assert!(!ended.errors.contains("There is no route to"), "{rule}: {ended:#?}");
    }
    // If there really is no route, the message says so.
    world.sending("192.0.2.7").run().failed(10, "unreachable", &["There is no route to 192.0.2.7"]);
}

#[test]
fn a_long_wait_is_reported() {
    if !in_own_network("a_long_wait_is_reported") {
        return;
    }
    let world = World::new();
    world.small();
    firewall(&format!("tcp dport {PORT} drop"));
    let dropped = world.sending(&format!("127.0.0.1:{PORT}")).run().failed(10, "unreachable", &[]);
    assert!(dropped.errors.contains("has not answered yet. Waiting up to 10 s."), "{dropped:#?}");
    firewall(&format!("tcp dport {PORT} reject with tcp reset"));
    let refused = world.sending(&format!("127.0.0.1:{PORT}")).run().failed(10, "unreachable", &[]);
    for says in [
        "Nothing listens at 127.0.0.1:12346. Trying again for 45 s.\n  Start `waft receive` there",
        "Nothing listens at 127.0.0.1:12346. Still trying, for ",
    ] {
        assert!(refused.errors.contains(says), "{says}: {refused:#?}");
    }
    // After 0, 5, 15 and 35 s, or a little later.
    assert!((3..=4).contains(&refused.all("retry").count()), "{refused:#?}");
    assert_eq!(refused.all("retry").next().unwrap()["left"], 45_000);
}

#[test]
fn a_receiver_without_a_network_says_so() {
    if !in_own_network("a_receiver_without_a_network_says_so") {
        return;
    }
    let world = World::new();
    let mut receiver = world.kitchen.call(&["receive", "--listen", PORT]).start();
    let ready = receiver.await_event("ready");
    assert_eq!((&ready["address"], &ready["addresses"]), (&serde_json::Value::Null, &serde_json::json!([])));
    receiver.interrupt();
    let ended = receiver.end();
    assert!(!ended.errors.contains("127.0.0.1"), "{ended:#?}");
    assert!(ended.errors.contains("has no address that another one could use"), "{ended:#?}");
}

#[test]
fn a_link_local_address_leads_there_as_it_is_shown() {
    if !in_own_network("a_link_local_address_leads_there_as_it_is_shown") {
        return;
    }
    let world = World::new();
    world.small();
    ip(&["link", "add", "cable", "type", "veth", "peer", "name", "other"]);
    for name in ["cable", "other"] {
        ip(&["link", "set", name, "addrgenmode", "none"]);
        ip(&["link", "set", name, "up"]);
    }
    ip(&["addr", "add", "fe80::7/64", "dev", "cable", "nodad"]);
    // The system needs some time to detect that the cable is plugged in.
    while !["cable", "other"].iter().all(|name| link(name).contains("state UP")) {
        sleep(Duration::from_millis(50));
    }
    let number = link("cable").split(':').next().unwrap().to_owned();
    for listen in [PORT, &format!("[fe80::7%{number}]:{PORT}"), &format!("[fe80::7%cable]:{PORT}"), "fe80::7%cable"] {
        let mut receiver = world
            .kitchen
            .call(&["receive", "--into", "into", "--no-code", "--sealed-key", "--once", "--listen", listen])
            .start();
        let address = text(&receiver.await_event("ready"), "address");
        assert_eq!(address, format!("[fe80::7%cable]:{PORT}"));
        world.sending(&address).run().succeeded();
        let ended = receiver.end().succeeded();
        assert!(ended.errors.contains("a sender types the name of its own interface"), "{ended:#?}");
    }
    world.arrived();
    world.kitchen.call(&["receive", "--into", "into", "--listen", "[fe80::8%cable]:9"]).run().failed(
        10,
        "unreachable",
        &["fe80::8 is not an address of this machine"],
    );
    let unknown = ["This machine has no network interface no-such with an address.", "cable, lo"];
    world.sending("fe80::7%no-such").run().failed(10, "unreachable", &unknown);
    for command in ["receive", "simulate"] {
        let listen = [command, "--listen", "[fe80::7%no-such]:9"];
        world.kitchen.call(&listen).run().failed(10, "unreachable", &unknown);
    }
    // An address that is reachable from everywhere is shown alone.
    ip(&["addr", "add", "192.0.2.7/24", "dev", "cable"]);
    let mut receiver = world.kitchen.call(&["receive", "--into", "into", "--listen", PORT]).start();
    assert_eq!(receiver.await_event("ready")["addresses"], serde_json::json!([format!("192.0.2.7:{PORT}")]));
}

/// The system's description of an interface.
fn link(name: &str) -> String {
    let shown = Command::new("ip").args(["-o", "link", "show", name]).output().expect("it runs").stdout;
    String::from_utf8_lossy(&shown).into_owned()
}

#[test]
fn a_path_that_swallows_large_packets_is_a_possible_cause() {
    if !in_own_network("a_path_that_swallows_large_packets_is_a_possible_cause") {
        return;
    }
    let world = World::new();
    world.large(12 << 20);
    ip(&["link", "set", "lo", "mtu", "1500"]);
    let hint = "may drop large packets";
    let mut receiver = world.receive(&["--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    // The handshake passes, but no chunk does.
    firewall("meta length > 1300 drop");
    let mut sender = world.send(&address);
    let reported = receiver.await_event("error");
    assert!(text(&reported, "advice").contains(hint), "{reported:#}");
    // The sender keeps trying, and names the possible cause at once.
    let reported = sender.await_event("warning");
    assert!(text(&reported, "message").contains(hint), "{reported:#}");
    sender.kill();
    // Not even the handshake passes.
    firewall("meta length > 600 drop");
    let mut receiver = world.receive(&["--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let mut sender = world.send(&address);
    let reported = sender.await_event("warning");
    assert!(text(&reported, "message").contains(hint), "{reported:#}");
    let rejected = receiver.await_event("rejected");
    assert!(text(&rejected, "message").contains("before it was secured"), "{rejected:#}");
    sender.kill();
    receiver.interrupt();
    let ended = receiver.end();
    assert!(ended.errors.contains(hint), "{ended:#?}");
}
