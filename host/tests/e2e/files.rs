//! Names, modes, times and special files: what is sent, what is skipped, and what stops a sender.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use super::harness::{Ended, text};
use super::needs::skip;
use super::world::{World, listed, set_mode, set_time, write};

/// Sends the folder with options. Returns how the sender ended.
fn cross(world: &World, options: &[&str]) -> Ended {
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let sent = world.sending(&address).with(|call| call.args(options)).run().succeeded();
    receiver.end().succeeded();
    sent
}

#[test]
fn awkward_names_cross() {
    let world = World::new();
    let names = [
        "aux.c",
        "con",
        "NUL.txt",
        "two words",
        " leading",
        "trailing ",
        "dot.",
        "...",
        "-rf",
        "--json",
        "a\\b",
        "c:d",
        "*?",
        "\"quoted\"",
        "ünïcödé",
        "u\u{308}",
        "ü",
        "名前",
        "👩‍🍳",
        "\u{202e}txt.exe",
        "\u{200b}",
        "UPPER",
        "upper",
        ".hidden",
        ".into.waft",
        "~",
        "$HOME",
        "%s%n",
        "'; rm -rf",
        "<b>|",
        "\u{feff}bom",
    ];
    for (at, name) in names.iter().enumerate() {
        write(&world.folder(), name, name.as_bytes());
        write(&world.folder(), format!("folders/{name}/{}", names[names.len() - 1 - at]), b"");
    }
    write(&world.folder(), "n".repeat(255), b"longest");
    write(&world.folder(), ["d"; 63].join("/") + "/deepest", b"deepest");
    cross(&world, &[]);
    world.arrived();
}

#[test]
fn modes_times_and_empty_folders_cross() {
    let world = World::new();
    let folder = world.folder();
    for (path, mode) in [("private", 0o600), ("script.sh", 0o755), ("read-only", 0o444), ("closed/inside", 0o640)] {
        write(&folder, path, path.as_bytes());
        set_mode(&folder.join(path), mode);
    }
    fs::create_dir_all(folder.join("empty/empty")).unwrap();
    set_mode(&folder.join("closed"), 0o700);
    set_mode(&folder.join("empty"), 0o555);
    for (path, seconds, nanos) in [("private", 0, 0), ("script.sh", 1_000_000_000, 123_456_789), ("empty/empty", 1, 1)]
    {
        set_time(&folder.join(path), seconds, nanos);
    }
    set_time(&folder.join("closed"), 5_000_000_000, 0);
    cross(&world, &[]);
    world.arrived();
    // Otherwise not every user could remove the temporary folder.
    set_mode(&folder.join("empty"), 0o755);
    set_mode(&world.target().join("empty"), 0o755);
}

#[test]
fn setuid_bits_stay_behind() {
    let world = World::new();
    write(&world.folder(), "tool", b"#!/bin/sh\n");
    set_mode(&world.folder().join("tool"), 0o4755);
    cross(&world, &[]);
    assert!(listed(&world.target())[0].starts_with("\"tool\" 755 "), "{:?}", listed(&world.target()));
}

#[test]
fn links_and_special_files_stay_behind_with_a_warning() {
    let world = World::new();
    world.small();
    let before = listed(&world.folder());
    let target = world.root.path().join("elsewhere");
    write(&target, "secret", b"not to be sent");
    symlink(&target, world.folder().join("link-to-folder")).unwrap();
    symlink(target.join("secret"), world.folder().join("link-to-file")).unwrap();
    symlink("nowhere", world.folder().join("dangling")).unwrap();
    let _socket = UnixListener::bind(world.folder().join("socket")).unwrap();
    let sent = cross(&world, &[]);
    let warnings: Vec<String> = sent.all("warning").map(|warning| text(warning, "message")).collect();
    for name in ["link-to-folder", "link-to-file", "dangling"] {
        assert!(warnings.contains(&format!("skipped: {name} is a symbolic link")), "{warnings:?}");
    }
    assert!(warnings.iter().any(|warning| warning.contains("socket is a device, pipe or socket")), "{warnings:?}");
    // Compare only names: creating a link has changed the time of its folder.
    let names =
        |lines: &[String]| lines.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&listed(&world.target())), names(&before));
}

#[test]
fn many_small_files_cross() {
    let world = World::new();
    for at in 0..2000 {
        write(&world.folder(), format!("{}/{}/{at}", at % 7, at % 31), &[at as u8; 100][..at % 100]);
    }
    cross(&world, &[]);
    world.arrived();
}

#[test]
fn names_that_cannot_be_sent_stop_a_sender_or_are_skipped() {
    let world = World::new();
    world.small();
    let before = listed(&world.folder());
    for name in [&b"line\nbreak"[..], b"not \xff utf-8", b"\x1b]0;title\x07", b"tab\there", b"\xc2\x9b31m"] {
        write(&world.folder(), OsStr::from_bytes(name), b"x");
    }
    fs::create_dir(world.folder().join(OsStr::from_bytes(b"bad\x7f"))).unwrap();
    let stopped = world.sending("127.0.0.1:1").run().failed(
        14,
        "storage",
        &["6 names cannot be sent", "line\\u{a}break", "not \\xff utf-8", "\\u{1b}]0;title", "--skip-unsendable"],
    );
    super::hostile_senders::assert_printable(&stopped);
    let sent = cross(&world, &["--skip-unsendable"]);
    super::hostile_senders::assert_printable(&sent);
    assert_eq!(sent.all("warning").count(), 6);
    let names =
        |lines: &[String]| lines.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&listed(&world.target())), names(&before));
}

#[test]
fn a_folder_past_the_limits_is_not_sent() {
    let world = World::new();
    write(&world.folder(), ["d"; 65].join("/"), b"too deep");
    let says = ["1 path cannot be sent", "more than 64 components", "Shorten"];
    world.sending("127.0.0.1:1").run().failed(14, "storage", &says);
    write(&world.folder(), "line\nbreak", b"x");
    let says = ["2 names or paths cannot be sent", "Rename what has a wrong name. Shorten what is too long"];
    world.sending("127.0.0.1:1").run().failed(14, "storage", &says);
    fs::remove_dir_all(world.folder()).unwrap();
    write(&world.folder(), ["d".repeat(200).as_str(); 6].join("/"), b"too long");
    world.sending("127.0.0.1:1").run().failed(14, "storage", &["more than 1024 bytes"]);
}

#[test]
fn only_so_many_bad_names_are_listed() {
    let world = World::new();
    (10..22).for_each(|at| write(&world.folder(), format!("tab\t{at}"), b"x"));
    let ended = world.sending("127.0.0.1:1").run();
    let ended = ended.failed(14, "storage", &["12 names cannot be sent", "tab\\u{9}19", "and 2 more"]);
    assert!(!ended.errors.contains("tab\\u{9}20"), "{}", ended.errors);
}

#[test]
fn too_much_for_one_transfer_is_not_sent() {
    let world = World::new();
    write(&world.folder(), "huge", b"");
    let huge = fs::File::options().write(true).open(world.folder().join("huge")).unwrap();
    if huge.set_len(4 << 40).is_err() {
        return skip("this file system holds no file of 4 TiB");
    }
    world.sending("127.0.0.1:1").run().failed(14, "storage", &["Too much for one transfer", "Send it in parts"]);
}

#[test]
fn a_folder_that_is_none_is_not_sent() {
    let world = World::new();
    let send = |folder: &str| world.laptop.call(&["send", folder, "kitchen@127.0.0.1:1"]).run();
    send("nowhere").failed(14, "storage", &["nowhere: no such file or folder", "Compare the name"]);
    let device = "/dev/null";
    send(device).failed(14, "storage", &["/dev/null: not a folder", "Name a file or a folder"]);
    fs::create_dir(world.folder()).unwrap();
    send("folder").failed(14, "storage", &["folder: nothing in it to send"]);
    symlink("nowhere", world.folder().join("link")).unwrap();
    send("folder").failed(14, "storage", &["nothing in it to send", "links"]);
    send("\u{1b}[31mred\u{202e}").failed(14, "storage", &["\\u{1b}[31mred\\u{202e}: no such file or folder"]);
}
