//! A board that announces itself, on a network with real multicast: QEMU's own network does not forward any, so the board is
//! connected to a TAP interface of a network namespace in which the test runs again.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::needs::{again, is_again, own_network, skip};
use super::site::{Kind, STUCK, Site, write};

/// The laptop's end of the network, and the board's.
const LAPTOP: &str = "10.9.1.1/24";
const BOARD: &str = "10.9.1.2/24";

pub(super) fn a_board_is_found_on_its_network(kind: &Kind) {
    if !is_again() {
        return again(&format!("{}::a_board_is_found_on_its_network", kind.name()), own_network());
    }
    if !ip(&["tuntap", "add", "mode", "tap", "tap0"]) {
        return skip("no TAP interface can be made");
    }
    assert!(ip(&["addr", "add", LAPTOP, "dev", "tap0"]) && ip(&["link", "set", "tap0", "up"]));
    let site = Site::provisioned(kind, &["--no-code", "--sealed-key", "--address", BOARD]);
    let mut board = site.listening_with(&site.emulator_with_network("tap,id=net,ifname=tap0,script=no,downscript=no"));

    // Nobody listens at the address that the laptop has for the board.
    let found = find_that(&site, |found| found["name"] == "kitchen");
    assert_eq!(found["address"], "10.9.1.2:12346");
    assert_eq!((&found["receives"], &found["pairing"]), (&Value::Bool(true), &Value::Null));
    write(&site, "note", b"Good morning");
    site.laptop.call(&["send"]).arg(site.folder()).arg("kitchen").run().succeeded();
    board.sees("The folder is in place");

    board.asked("pair", "pairing code:");
    find_that(&site, |found| found["pairing"] == "kitchen");
    board.types("decline");
    find_that(&site, |found| found["name"] == "kitchen" && found["pairing"].is_null());

    board.asked("policy announce off", "; not announced on the network");
    assert!(find(&site).is_empty());
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).status().is_ok_and(|status| status.success())
}

/// What `waft find` lists within some seconds.
fn find(site: &Site) -> Vec<Value> {
    let ended = site.laptop.call(&["find", "--seconds", "3"]).run().succeeded();
    ended.all("found").cloned().collect()
}

/// Looks until something meets the condition.
fn find_that(site: &Site, condition: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + STUCK;
    loop {
        let found = find(site);
        if let Some(found) = found.iter().find(|found| condition(found)) {
            return found.clone();
        }
        assert!(Instant::now() < until, "it is never announced like that: {found:?}");
        sleep(Duration::from_millis(100));
    }
}
