//! Ways of a certificate from one machine to another: by file, by pipe, through PowerShell.

use std::fs;
use std::process::{Command, Stdio};

use super::harness::{Call, text};
use super::world::{Machine, World};

fn fingerprint(machine: &Machine) -> String {
    text(machine.call(&["id"]).run().succeeded().last("identity"), "fingerprint")
}

#[test]
fn a_certificate_is_written_to_a_file() {
    let world = World::strangers();
    let (laptop, kitchen) = (&world.laptop, &world.kitchen);
    let write = || laptop.call(&["id", "cert", "-o", "anna.pem"]).run();
    let pem = text(write().succeeded().last("certificate"), "pem");
    let path = laptop.work.join("anna.pem");
    assert_eq!(fs::read_to_string(&path).unwrap(), pem);
    write().succeeded();
    let added = kitchen.call(&["trust", "add", "anna"]).arg(&path).run().succeeded();
    assert_eq!(text(added.last("trusted"), "fingerprint"), fingerprint(laptop));
    fs::write(&path, "mine").unwrap();
    write().failed(14, "storage", &["anna.pem already exists"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    laptop.call(&["id", "cert", "-o", "no/such/anna.pem"]).run().failed(14, "storage", &["no/such/anna.pem"]);
}

#[test]
fn a_certificate_comes_through_a_pipe() {
    let world = World::strangers();
    let (laptop, kitchen) = (&world.laptop, &world.kitchen);
    // As in `ssh laptop waft id cert | waft trust add laptop -`.
    let waft = env!("CARGO_BIN_EXE_waft");
    let mut printing = Command::new(waft);
    printing.args(["id", "cert"]).env("WAFT_HOME", &laptop.home).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut printing = printing.spawn().unwrap();
    let pipe = printing.stdout.take().unwrap();
    let mut adding = Command::new(waft);
    adding.args(["trust", "add", "laptop", "-", "--receive-only"]).env("WAFT_HOME", &kitchen.home).stdin(pipe);
    let added = adding.output().unwrap();
    assert!(added.status.success() && printing.wait().unwrap().success(), "{added:?}");
    assert!(String::from_utf8_lossy(&added.stderr).contains(&fingerprint(laptop)), "{added:?}");
    assert!(kitchen.known().by_name("laptop").is_some_and(|peer| peer.certificate == *laptop.identity().certificate()));

    let piped = |bytes: &[u8]| {
        let mut adding = kitchen.call(&["trust", "add", "other", "-"]).start();
        adding.write_line(&String::from_utf8_lossy(bytes));
        adding.close_input();
        adding.end()
    };
    piped(b"").failed(11, "identity", &["standard input cannot be trusted", "waft id cert"]);
    piped(b"hello").failed(11, "identity", &["standard input cannot be trusted"]);
    piped(&[b'x'; 32 << 10]).failed(14, "storage", &["standard input cannot be used"]);
}

/// PowerShell's `>` writes UTF-16 with a byte order mark and Windows line ends.
#[test]
fn a_certificate_that_powershell_redirected_is_read() {
    let world = World::strangers();
    let (laptop, kitchen) = (&world.laptop, &world.kitchen);
    let pem = fs::read_to_string(laptop.certificate()).unwrap().replace('\n', "\r\n");
    let path = kitchen.work.join("anna.pem");
    let redirected: Vec<u8> = format!("\u{feff}{pem}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(&path, redirected).unwrap();
    let added = kitchen.call(&["trust", "add", "anna"]).arg(&path).run().succeeded();
    assert_eq!(text(added.last("trusted"), "fingerprint"), fingerprint(laptop));
    let provision = ["provision", "--board", "mps2", "--name", "shelf", "-o", "shelf.bin", "--sender"];
    let call: Call = kitchen.call(&provision).arg(&path);
    call.run().succeeded();
}
