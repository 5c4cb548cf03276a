//! What `waft flash` finds and asks before it runs the first command that changes a board.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{chown, symlink};

use serde_json::Value;

use super::{Desk, PICO, expected, full};
use crate::needs::{NOBODY, skip};
use crate::pty::{Terminal, waft};

#[test]
fn nothing_is_flashed_without_a_yes() {
    let desk = Desk::new();
    desk.install("picotool", "");
    desk.install("cargo", "");
    // Even if no command looks as if it erased anything.
    fs::write(&desk.description, PICO.replace("    \"picotool erase -a\",\n", "")).unwrap();
    desk.provision("attic.bin", &[]);
    let says = ["No answer was given for the confirmation", "Nothing was flashed", "--yes"];
    desk.call(&["flash", "attic"]).run().failed(2, "usage", &says);
    assert!(desk.calls().is_empty(), "not even the program is built");
    let args = ["flash", "attic", "--quiet", "--firmware", desk.program()];
    let path = format!("{}:/usr/bin:/bin", desk.world.root.path().join("tools").display());
    for (answer, code, calls) in [("no", 130, 0), ("perhaps\nyes", 0, 4)] {
        let mut terminal = Terminal::start(waft(&desk.world.laptop, &args).env("PATH", &path));
        terminal.sees("These commands flash attic:");
        terminal.sees("picotool load");
        terminal.sees("picotool reboot");
        terminal.sees("loses everything on it: identity, settings, trusted senders");
        terminal.sees("Flash it (yes or no)?");
        terminal.types(&format!("{answer}\n"));
        assert_eq!(terminal.end().code(), Some(code), "{answer}");
        assert_eq!(desk.calls().len(), calls);
    }
}

#[test]
fn a_file_with_everything_is_flashed_only_if_it_was_made_for_the_board() {
    let desk = Desk::new();
    desk.install("picotool", "");
    desk.provision("attic.uf2", &["--firmware", desk.program()]);
    let hall = desk.call(&["provision", "--board", desk.description(), "--name", "hall", "-o", "hall.uf2"]);
    hall.args(&["--firmware", desk.program()]).run().succeeded();
    let flash = |options: &[&str]| desk.call(&["flash", "attic", "--yes"]).args(options).run();
    fs::rename(desk.work("attic.uf2"), desk.work("moved.uf2")).unwrap();
    fs::copy(desk.work("hall.uf2"), desk.work("attic.uf2")).unwrap();
    let says = ["attic.uf2 is not the file that `waft provision` made for attic", "waft trust remove attic"];
    flash(&[]).failed(11, "identity", &says);
    flash(&["--identity", "hall.uf2"]).failed(14, "storage", &["hall.uf2"]);
    assert!(desk.calls().is_empty());
    flash(&["--identity", "moved.uf2"]).succeeded();
    assert_eq!(desk.calls(), [format!("picotool|load|{}|-x", full(&desk.work("moved.uf2")))]);
    // A record of an earlier version.
    fs::rename(desk.work("moved.uf2"), desk.work("attic.uf2")).unwrap();
    let record = desk.world.laptop.home.join("provisioned.json");
    let mut known: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    for board in known["boards"].as_array_mut().unwrap() {
        board.as_object_mut().unwrap().remove("sha256").expect("each has a digest");
    }
    fs::write(&record, known.to_string()).unwrap();
    let says = ["It is not known whether", "attic.uf2 is the file of attic", "waft provision"];
    flash(&[]).failed(11, "identity", &says);
    assert_eq!(desk.calls().len(), 1);
}

#[test]
fn a_description_that_was_moved_is_given_anew() {
    let desk = Desk::new();
    desk.install("picotool", "");
    desk.provision("attic.bin", &[]);
    let moved = desk.description.with_file_name("moved.toml");
    fs::rename(&desk.description, &moved).unwrap();
    let flash = || desk.call(&["flash", "attic", "--yes", "--firmware", desk.program()]);
    flash().run().failed(14, "storage", &["pico.toml cannot be used", "--board DESCRIPTION"]);
    assert!(desk.calls().is_empty());
    flash().arg("--board").arg(&moved).run().succeeded();
    assert_eq!(desk.calls(), expected(&desk, "attic.bin", desk.program()));
}

#[test]
fn what_cannot_be_run_is_found_before_the_first_command() {
    let desk = Desk::new();
    desk.install("picotool", "");
    desk.provision("attic.bin", &[]);
    let flash = || desk.call(&["flash", "attic", "--yes", "--firmware", desk.program()]).run();
    let reboot = |command: &str| fs::write(&desk.description, PICO.replace("picotool reboot", command)).unwrap();
    reboot("tools/restart");
    flash().failed(14, "storage", &["tools/restart is not installed", "it is no program in"]);
    for command in ["~/restart now", r"picotool\\ reboot", "picotool reboot # done"] {
        reboot(command);
        flash().failed(2, "usage", &["needs a shell", "by hand"]);
    }
    assert!(desk.calls().is_empty());
    // A path is relative to the folder of the description, where commands run.
    reboot("tools/restart");
    symlink(desk.world.root.path().join("tools"), desk.description.with_file_name("tools")).unwrap();
    desk.install("restart", "");
    flash().succeeded();
    assert_eq!(desk.calls()[4], "restart");
}

#[test]
fn a_path_that_no_command_can_name_is_rejected() {
    let desk = Desk::new();
    desk.install("picotool", "");
    let (output, program) =
        (OsStr::from_bytes(b"attic\xff.uf2"), desk.work("program").join(OsStr::from_bytes(b"\xff")));
    let provision = desk.call(&["provision", "--board", desk.description(), "--name", "attic", "-o"]);
    provision.arg(output).run().failed(2, "usage", &["attic\\xff.uf2 is not UTF-8", "Rename it"]);
    assert!(desk.world.laptop.known().by_name("attic").is_none());
    let update = desk.call(&["firmware", "--board", desk.description(), "--firmware", desk.program(), "-o"]);
    update.arg(output).run().failed(2, "usage", &["is not UTF-8"]);
    desk.provision("attic.bin", &[]);
    fs::create_dir(program.parent().unwrap()).unwrap();
    fs::copy(&desk.program, &program).unwrap();
    let flash = desk.call(&["flash", "attic", "--yes", "--firmware"]).arg(&program);
    flash.run().failed(2, "usage", &["is not UTF-8"]);
    assert!(desk.calls().is_empty());
}

#[test]
fn nothing_is_built_from_the_source_of_another_user() {
    let desk = Desk::new();
    desk.install("cargo", "exit 1");
    let source = desk.world.root.path().join("source");
    let family = source.join("firmware/boards/stm32");
    fs::create_dir_all(&family).unwrap();
    for file in [family.join("nucleo-h563zi.toml"), source.join("Cargo.toml")] {
        fs::write(file, "").unwrap();
    }
    let build = || {
        let call = desk.call(&["firmware", "--board", "nucleo-h563zi", "-o", "update.hex"]);
        call.env("SUDO_UID", "").with(|command| command.current_dir(&family)).run()
    };
    let ended = build().failed(14, "storage", &["could not be built"]);
    assert!(ended.errors.contains(&format!("from {}.", full(&source))), "{ended:#?}");
    let calls = desk.calls().len();
    for folder in [source.join("firmware"), source.clone()] {
        if chown(&folder, Some(NOBODY), None).is_err() {
            return skip("only root can give a folder away");
        }
        build().failed(14, "storage", &["Nothing is built from", "belongs to another user", "--firmware ELF"]);
        chown(&folder, Some(0), None).unwrap();
    }
    assert_eq!(desk.calls().len(), calls, "cargo does not run");
}

#[test]
fn a_missing_tool_is_named_before_anything_happens() {
    let desk = Desk::new();
    desk.install("cargo", "");
    desk.provision("attic.bin", &[]);
    let says = [
        "picotool is not installed",
        "A board with an RP2350",
        "RP2350 by USB",
        "https://github.com/raspberrypi/picotool",
    ];
    desk.call(&["flash", "attic", "--yes"]).run().failed(14, "storage", &says);
    let nucleo = desk.call(&["provision", "--board", "nucleo-h563zi", "--name", "shed", "-o", "shed.bin"]);
    nucleo.run().succeeded();
    let says = ["probe-rs is not installed", "debug probe", "cargo install probe-rs-tools"];
    desk.call(&["flash", "shed", "--yes"]).run().failed(14, "storage", &says);
    fs::write(&desk.description, PICO.replace("picotool erase", "toaster erase")).unwrap();
    desk.call(&["flash", "attic", "--yes"]).run().failed(14, "storage", &["toaster is not installed", "pico names it"]);
    fs::write(&desk.description, PICO.replace("picotool erase -a", "picotool erase $ALL")).unwrap();
    desk.call(&["flash", "attic", "--yes"]).run().failed(
        2,
        "usage",
        &["needs a shell: picotool erase $ALL", "by hand"],
    );
    assert!(desk.calls().is_empty(), "not even the program is built");
}

#[test]
fn a_board_gets_no_identity_but_its_own() {
    let desk = Desk::new();
    desk.install("picotool", "");
    desk.provision("attic.bin", &[]);
    let call = desk.call(&["provision", "--board", desk.description(), "--name", "hall", "-o", "hall.bin"]);
    call.run().succeeded();
    let flash = |options: &[&str]| {
        let call = desk.call(&["flash", "attic", "--yes", "--firmware", desk.program()]);
        call.args(options).run()
    };
    let says = ["hall.bin is the identity of hall, and not of attic", "--identity"];
    flash(&["--identity", "hall.bin"]).failed(11, "identity", &says);
    fs::write(desk.work("other.bin"), b"not an image").unwrap();
    fs::write(desk.work("other.bin.seed"), b"").unwrap();
    flash(&["--identity", "other.bin"]).failed(11, "identity", &["it is not an identity image"]);
    flash(&["--board", "nucleo-h563zi"]).failed(
        2,
        "usage",
        &["attic was provisioned as the board pico, and not nucleo-h563zi"],
    );
    desk.call(&["flash", "cellar"]).run().failed(
        2,
        "usage",
        &["which kind of board cellar is", "--board BOARD --identity FILE"],
    );
    let unknown = desk.call(&["flash", "cellar", "--board", desk.description()]).run();
    unknown.failed(2, "usage", &["where the identity image of cellar is"]);
    // An identity of this name that was replaced since.
    let renamed = desk.world.laptop.call(&["trust", "remove", "attic"]);
    renamed.run().succeeded();
    fs::rename(desk.work("attic.bin"), desk.work("old.bin")).unwrap();
    fs::rename(desk.work("attic.bin.seed"), desk.work("old.bin.seed")).unwrap();
    desk.provision("attic.bin", &[]);
    flash(&["--identity", "old.bin"]).failed(11, "identity", &["an identity of attic that is not trusted here"]);
    assert!(desk.calls().is_empty());
    // Where nobody is trusted, the name in the image counts.
    desk.world.laptop.call(&["trust", "remove", "attic"]).run().succeeded();
    flash(&["--identity", "hall.bin"]).failed(11, "identity", &["not of attic"]);
    flash(&["--identity", "old.bin"]).succeeded();
    assert_eq!(desk.calls(), expected(&desk, "old.bin", desk.program()));
}

#[test]
fn a_file_that_is_gone_is_named() {
    let desk = Desk::new();
    desk.install("picotool", "");
    desk.provision("attic.bin", &[]);
    let flash = || desk.call(&["flash", "attic", "--yes", "--firmware", desk.program()]).run();
    fs::remove_file(desk.work("attic.bin.seed")).unwrap();
    flash().failed(14, "storage", &["attic.bin.seed is not there any more", "waft firmware"]);
    fs::remove_file(desk.work("attic.bin")).unwrap();
    flash().failed(14, "storage", &["attic.bin is not there any more", "--identity FILE"]);
    assert!(desk.calls().is_empty());
}
