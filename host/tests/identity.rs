//! Damage to what the command keeps of its own: each kind is told apart, with exit code 11 and a way out.

#![cfg(unix)]

use std::fs::{Permissions, read_to_string, remove_file, set_permissions, write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A machine with an identity.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().expect("a temporary folder"));
        assert_eq!(machine.waft(&["id"]).0, 0);
        machine
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Exit code and what was said to people.
    fn waft(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waft"));
        let output = command.args(arguments).env("WAFT_HOME", self.0.path()).output().expect("the command runs");
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Fails with 11 and these words; `renew` mends it.
    fn is_unusable(&self, words: &str) {
        for arguments in [&["id"][..], &["receive", "--listen", "127.0.0.1:0"], &["send", ".", "x"]] {
            let (exit, said) = self.waft(arguments);
            assert!(
                exit == 11 && said.contains(words) && said.contains("waft id --renew"),
                "{arguments:?}: {exit} {said}"
            );
        }
        assert_eq!(self.waft(&["id", "--renew"]).0, 0);
        assert_eq!(self.waft(&["id"]).0, 0);
    }
}

fn corrupt(path: &Path) {
    let text = read_to_string(path).expect("it is there");
    write(path, text.replacen("MI", "IM", 1)).expect("it can be written");
}

#[test]
fn half_an_identity_is_missing() {
    let machine = Machine::new();
    remove_file(machine.file("key.pem")).expect("it is there");
    machine.is_unusable("there is no");
    remove_file(machine.file("certificate.pem")).expect("it is there");
    machine.is_unusable("there is no");
}

#[test]
fn files_are_damaged() {
    let machine = Machine::new();
    corrupt(&machine.file("certificate.pem"));
    machine.is_unusable("is damaged");
    write(machine.file("key.pem"), "no keys").expect("it can be written");
    machine.is_unusable("is damaged");
}

#[test]
fn keys_are_another_certificates() {
    let (machine, other) = (Machine::new(), Machine::new());
    std::fs::copy(other.file("key.pem"), machine.file("key.pem")).expect("both are there");
    machine.is_unusable("does not belong to");
}

#[test]
fn others_can_read_the_keys() {
    let machine = Machine::new();
    set_permissions(machine.file("key.pem"), Permissions::from_mode(0o644)).expect("it is ours");
    machine.is_unusable("open to other users");
}

#[test]
fn a_file_cannot_be_read() {
    let machine = Machine::new();
    remove_file(machine.file("key.pem")).expect("it is there");
    std::fs::create_dir(machine.file("key.pem")).expect("the name is free");
    let (exit, said) = machine.waft(&["id"]);
    assert!(exit == 11 && said.contains("cannot read"), "{exit} {said}");
}

#[test]
fn trust_is_damaged() {
    let machine = Machine::new();
    write(machine.file("trust.json"), "{\"peers\": [").expect("it can be written");
    let (exit, said) = machine.waft(&["trust", "list"]);
    assert!(exit == 11 && said.contains("trust.json is damaged") && said.contains("waft trust add"), "{exit} {said}");
}

#[test]
fn there_is_no_place_for_an_identity() {
    let machine = Machine::new();
    write(machine.file("file"), "").expect("it can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_waft"));
    let output = command.arg("id").env("WAFT_HOME", machine.file("file/home")).output().expect("the command runs");
    assert_eq!(output.status.code(), Some(11));
    assert!(String::from_utf8_lossy(&output.stderr).contains("WAFT_HOME"));
}
