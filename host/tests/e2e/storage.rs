//! Full disks, targets that cannot be written, and folders that change during a transfer.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::harness::{Call, Waft, check_error, text};
use super::needs::{NOBODY, is_root, skip, unshare};
use super::refusals::other_key;
use super::world::{ANY, World, listed, noise, set_mode, write};

/// Runs the same command as a user without root's privileges. `None` if that user cannot execute the built command.
pub(crate) fn as_nobody(world: &World, call: Call) -> Option<Call> {
    if !is_root() {
        return Some(call);
    }
    let reachable = Command::new(env!("CARGO_BIN_EXE_waft")).arg("--version").uid(NOBODY).gid(NOBODY).status();
    if !reachable.is_ok_and(|status| status.success()) {
        skip("the built command is out of reach for other users");
        return None;
    }
    set_mode(world.root.path(), 0o755);
    give(world.root.path(), NOBODY);
    Some(call.with(|command| command.uid(NOBODY).gid(NOBODY)))
}

/// Gives the files back to the user who runs the tests, because files of other users are rejected.
pub(crate) fn take_back(world: &World) {
    if is_root() {
        give(world.root.path(), 0);
    }
}

fn give(path: &Path, user: u32) {
    chown(path, Some(user), Some(user)).expect("root can");
    if path.is_dir() {
        fs::read_dir(path).expect("root can").for_each(|entry| give(&entry.expect("an entry").path(), user));
    }
}

#[test]
fn a_target_that_cannot_be_written() {
    let world = World::new();
    world.small();
    let call = world.receiving(&["--once", "--no-code", "--sealed-key"]);
    let Some(call) = as_nobody(&world, call) else { return };
    let mut receiver = call.start();
    let (address, _) = receiver.ready();
    // The sender's home was also given to that user.
    let sending = as_nobody(&world, world.sending(&address)).expect("as before");
    set_mode(&world.kitchen.work, 0o555);
    sending.run().failed(14, "storage", &["kitchen cannot write to its target folder", "--into"]);
    receiver.end().failed(14, "storage", &["The target folder cannot be written", "permissions"]);
    set_mode(&world.kitchen.work, 0o755);
    world.nothing_arrived();
}

#[test]
fn a_target_that_cannot_be_written_by_open() {
    let world = World::new();
    world.small();
    let sealed = world.laptop.call(&["seal", "folder", "-o", "folder.waft"]).run().succeeded();
    let open = world
        .kitchen
        .call(&["open"])
        .arg(world.laptop.work.join("folder.waft"))
        .with(|call| call.args(["--into", "into"]));
    let Some(open) = as_nobody(&world, open.env("WAFT_KEY", text(sealed.last("key"), "key"))) else { return };
    set_mode(&world.kitchen.work, 0o555);
    open.run().failed(14, "storage", &["The target cannot be used", "Permission denied", "permissions"]);
    set_mode(&world.kitchen.work, 0o755);
    world.nothing_arrived();
}

#[test]
fn a_target_that_cannot_be_one() {
    let world = World::new();
    write(&world.kitchen.work, "file", b"");
    let receive = |into: &str| world.kitchen.call(&["receive", "--listen", ANY, "--into", into]).run();
    receive("nowhere/into").failed(14, "storage", &["The target cannot be used", "nowhere"]);
    receive("file/into").failed(14, "storage", &["The target cannot be used"]);
    receive("/").failed(14, "storage", &["The target cannot be used"]);
}

#[test]
fn the_current_folder_as_the_target() {
    let world = World::new();
    world.small();
    fs::create_dir(world.target()).unwrap();
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(world.target()).unwrap());
    let before = inode();
    let receive =
        world.kitchen.call(&["receive", "--into", ".", "--listen", ANY, "--once", "--no-code", "--sealed-key"]);
    let mut receiver = receive.with(|call| call.current_dir(world.kitchen.work.join("into"))).start();
    let warning = text(&receiver.await_event("warning"), "message");
    assert!(warning.contains("the current folder") && warning.contains("not in one step"), "{warning}");
    let (address, _) = receiver.ready();
    world.sending(&address).run().succeeded();
    receiver.end().succeeded();
    world.arrived();
    assert_eq!(inode(), before, "whoever stands in it stands in it still");
}

/// A service: no terminal, no key, and no user to ask.
#[test]
fn a_receiver_that_nobody_can_type_a_key_at() {
    let world = World::new();
    world.small();
    let receive = world.receiving(&["--once", "--no-code"]).within("sh", &["-c", "exec \"$0\" \"$@\" </dev/null"]);
    let mut receiver = receive.start();
    let warning = text(&receiver.await_event("warning"), "message");
    assert!(warning.contains("no key can be typed here") && warning.contains("--sealed-key"), "{warning}");
    let (address, _) = receiver.ready();
    world.sending(&address).run().failed(13, "key", &["Nobody typed the key at kitchen", "--sealed-key"]);
    receiver.end().failed(13, "key", &["No answer was given for the key", "--sealed-key"]);
}

#[test]
fn what_an_interrupted_run_left_can_be_given_up() {
    let world = World::new();
    world.small();
    write(&world.staging(), "tree/readme.txt", b"Hello");
    let receive = || world.kitchen.call(&["receive", "--into", "into", "--listen", ANY, "--once", "--abandon"]);
    let mut receiver = receive().start();
    receiver.ready();
    assert!(!world.staging().exists());
    receiver.interrupt();
    assert!(receiver.end().errors.contains("Gave up what an interrupted run had received"));
}

#[test]
fn links_below_the_target_lead_nowhere() {
    let world = World::new();
    write(&world.folder(), "deep/file", b"new");
    let elsewhere = world.root.path().join("elsewhere");
    write(&elsewhere, "file", b"old");
    fs::create_dir(world.target()).unwrap();
    symlink(&elsewhere, world.target().join("deep")).unwrap();
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key", "--merge"]);
    let (address, _) = receiver.ready();
    let before = listed(&elsewhere);
    world.sending(&address).run().failed(14, "storage", &["kitchen", "target folder"]);
    receiver.end().failed(14, "storage", &["does not fit among what the target holds", "into/deep: a file or link"]);
    assert_eq!(fs::read_link(world.target().join("deep")).unwrap(), elsewhere, "the link is still there");
    assert_eq!(listed(&elsewhere), before);
}

#[test]
fn a_staging_area_that_is_a_link_is_refused() {
    let world = World::new();
    world.small();
    let elsewhere = world.root.path().join("elsewhere");
    write(&elsewhere, "keep", b"keep");
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    symlink(&elsewhere, world.staging()).unwrap();
    world.sending(&address).run().failed(14, "storage", &["kitchen"]);
    receiver.end().failed(14, "storage", &[".into.waft", "it is not a folder"]);
    world.nothing_arrived();
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
}

/// Runs a shell command as the kitchen, with `waft` as `$0`, in a mount namespace of its own. There a file system of
/// that many KiB is mounted on the folder `disk`. `None` if mounting is not permitted.
fn on_a_small_disk(world: &World, kib: u32, script: &str) -> Option<Call> {
    let disk = world.kitchen.work.join("disk");
    fs::create_dir_all(&disk).unwrap();
    let mount = format!("mount -t tmpfs -o size={kib}k,mode=700 tmpfs disk");
    let may = unshare(&["--mount"]).args(["sh", "-c", &mount]).current_dir(&world.kitchen.work).status();
    if !may.is_ok_and(|status| status.success()) {
        skip("no disk can be mounted here");
        return None;
    }
    let mut command = unshare(&["--mount"]);
    command.args(["sh", "-c", &format!("{mount} && {script}"), env!("CARGO_BIN_EXE_waft")]);
    Some(Call::of(command, &world.kitchen.home, &world.kitchen.work))
}

/// A receiver whose target is on such a disk.
fn receiving_on_a_small_disk(world: &World, kib: u32) -> Option<Waft> {
    let receive = "exec \"$0\" --json receive --listen 127.0.0.1:0 --into disk/into --once --no-code --sealed-key";
    on_a_small_disk(world, kib, receive).map(Call::start)
}

#[test]
fn a_home_on_a_full_disk() {
    let world = World::strangers();
    // The one page of this disk holds only one of an identity's two files. With room for both, the identity is created
    // as if the failure had never happened.
    let larger = "mount -t tmpfs -o remount,size=64k tmpfs \"$PWD/disk\"";
    let twice = format!("{{ \"$0\" --json id; exit=$?; {larger} && \"$0\" --quiet id >&2 && exit $exit; }}");
    let Some(call) = on_a_small_disk(&world, 4, &twice) else { return };
    let ended = call.env("WAFT_HOME", world.kitchen.work.join("disk")).run();
    let says = ["Identity and trust cannot be stored", "disk/", "No space left", "Make room", "WAFT_HOME"];
    ended.failed(14, "storage", &says);
}

#[test]
fn a_disk_that_is_too_small() {
    let world = World::new();
    world.large(3 << 20);
    let Some(mut receiver) = receiving_on_a_small_disk(&world, 1024) else { return };
    let (address, _) = receiver.ready();
    let says = ["kitchen has no room for the folder: 2.0", " MiB more are needed.", "Make room there"];
    world.sending(&address).run().failed(14, "storage", &says);
    receiver.end().failed(
        14,
        "storage",
        &["The disk is too full for the folder of laptop: 2.0", " MiB more are needed.", "--into"],
    );
}

#[test]
fn a_disk_that_is_too_small_for_a_sealed_file() {
    let world = World::new();
    world.large(3 << 20);
    let sealed = world.laptop.call(&["seal", "folder", "-o", "folder.waft"]).run().succeeded();
    let open = format!("exec \"$0\" --json open {} --into disk/into", world.laptop.work.join("folder.waft").display());
    let Some(call) = on_a_small_disk(&world, 1024, &open) else { return };
    let ended = call.env("WAFT_KEY", text(sealed.last("key"), "key")).run();
    ended.failed(14, "storage", &["The disk is too full: 2.0", " MiB more are needed.", "Make room"]);
    let seal = format!("exec \"$0\" --json seal {} -o disk/more.waft", world.folder().display());
    let ended = on_a_small_disk(&world, 1024, &seal).expect("as before").run();
    ended.failed(14, "storage", &["disk/more.waft cannot be used: No space left", "free space"]);
}

#[test]
fn a_disk_that_fills_up_on_the_way() {
    let world = World::new();
    world.large(12 << 20);
    let Some(mut receiver) = receiving_on_a_small_disk(&world, 16 << 10) else { return };
    let (address, _) = receiver.ready();
    let proxy = super::proxy::Proxy::before(&address, &[super::proxy::Behaviour::Stall(100_000)]);
    let sender = world.send(&proxy.address);
    proxy.await_trigger();
    // The disk can be reached through the root directory of a process in the namespace.
    let disk = format!("/proc/{}/root{}", receiver.pid(), world.kitchen.work.join("disk").display());
    fs::write(Path::new(&disk).join("filler"), noise(8 << 20)).unwrap();
    proxy.go_on();
    sender.end().failed(14, "storage", &["kitchen has no room for the folder", "more are needed"]);
    receiver.end().failed(14, "storage", &["The disk is too full for the folder of laptop"]);
}

/// A limit on the file size stands for a failing disk: it makes writes fail with an unusual error.
#[test]
fn a_disk_that_fails_on_the_way() {
    let world = World::new();
    world.large(3 << 20);
    let limited = ["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\""];
    let mut receiver = world.receiving(&["--once", "--no-code", "--sealed-key"]).within("sh", &limited).start();
    let (address, _) = receiver.ready();
    world.sending(&address).run().failed(14, "storage", &["kitchen failed to read or write its storage"]);
    let says = ["Reading or writing failed while receiving from laptop", "a-large", "Look at the disk"];
    receiver.end().failed(14, "storage", &says);
    world.nothing_arrived();

    let sealed = world.laptop.call(&["seal", "folder", "-o", "folder.waft"]).run().succeeded();
    let open = || world.laptop.call(&["open", "folder.waft", "--into", "opened"]);
    let open = open().env("WAFT_KEY", text(sealed.last("key"), "key")).within("sh", &limited);
    open.run().failed(
        14,
        "storage",
        &["Reading or writing the target failed", "a-large", "What the target held before"],
    );
    let seal = world.laptop.call(&["seal", "folder", "-o", "more.waft"]).within("sh", &limited);
    seal.run().failed(14, "storage", &["more.waft cannot be used", "free space"]);
    assert!(!world.laptop.work.join("more.waft").exists());
}

/// A result that cannot be written is a failure. A reader that closes the pipe early is not.
#[cfg(target_os = "linux")]
#[test]
fn a_result_that_cannot_be_written() {
    let world = World::strangers();
    for args in
        [&["id", "cert"][..], &["man"], &["completions", "bash"], &["--help"], &["send", "--help"], &["--version"]]
    {
        let into = |out: Stdio| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_waft"));
            command.args(args).env("WAFT_HOME", &world.laptop.home).stdout(out).output().unwrap()
        };
        let ended = into(fs::File::options().write(true).open("/dev/full").unwrap().into());
        assert_eq!(ended.status.code(), Some(14));
        let errors = String::from_utf8(ended.stderr).unwrap();
        assert!(errors.contains("standard output cannot be used: No space left"), "{errors}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(into(writer.into()).status.code(), Some(0), "{args:?}");
    }
}

#[test]
fn no_room_for_many_names() {
    let world = World::new();
    let long = "n".repeat(250);
    (0..5000).for_each(|at| write(&world.folder(), format!("{}/{at}{}", at % 10, &long[4..]), b""));
    let nowhere = world.sending("127.0.0.1:1").env("TMPDIR", world.root.path().join("nowhere"));
    nowhere.run().failed(14, "storage", &["Cannot use a temporary file: No such file", "another one in TMPDIR"]);
}

#[test]
fn what_the_folder_cannot_replace() {
    let world = World::new();
    world.small();
    write(&world.target(), "readme.txt/mine", b"mine");
    write(&world.target(), "deep/none", b"old");
    let before = listed(&world.target());
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key", "--merge"]);
    let (address, _) = receiver.ready();
    world.sending(&address).run().failed(14, "storage", &["kitchen cannot write to its target folder", "in the way"]);
    let says = [
        "The folder does not fit among what the target holds",
        "readme.txt: a folder of that name is in the way",
        "Nothing in the target was changed",
    ];
    receiver.end().failed(14, "storage", &says);
    assert_eq!(listed(&world.target()), before);
}

/// Takes the lock of another process that receives into the same folder.
pub(crate) fn hold(world: &World) -> fs::File {
    write(&world.staging(), "journal", b"");
    set_mode(&world.staging(), 0o700);
    let journal = fs::File::options().write(true).open(world.staging().join("journal")).unwrap();
    journal.lock().unwrap();
    journal
}

#[test]
fn a_folder_into_which_another_receives() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once", "--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let held = hold(&world);
    let mut sender = world.send(&address);
    sender.await_that("waiting", |event| event["what"] == "reader");
    drop(held);
    sender.end().succeeded();
    receiver.end().succeeded();
    world.arrived();
}

#[test]
fn the_obstacle_of_one_sender_is_not_reported_for_the_next() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--no-code"]);
    let (address, _) = receiver.ready();
    let held = hold(&world);
    let mut sender = world.send(&address);
    sender.await_that("waiting", |event| event["what"] == "reader");
    sender.interrupt();
    assert_eq!(sender.end().code, Some(130));
    receiver.await_event("error");
    drop(held);
    let mut sender = world.send(&address);
    let key = sender.key();
    (0..3).for_each(|_| receiver.answer("key", &other_key(&key)));
    sender.end().failed(13, "key", &["three times"]);
    let reported = text(&receiver.await_event("error"), "message");
    assert_eq!(reported, "The key was wrong, three times; the folder of laptop was refused.");
}

/// The folder changes after it was walked and before it is read, while the code is asked for.
fn changed_on_the_way(change: impl Fn(&Path), says: &[&str]) {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--once", "--sealed-key"]);
    let (address, code) = receiver.ready();
    let mut sender = world.send(&address);
    sender.await_event("asked");
    change(&world.folder());
    sender.write_line(&code.unwrap());
    let ended = sender.end().failed(14, "storage", says);
    assert!(ended.all("retry").count() == 0, "trying again would not help");
    let reported = receiver.await_event("error");
    check_error(&reported, "broken", &["laptop", "the folder", "is kept"]);
    world.nothing_arrived();
}

#[test]
fn a_file_that_changed() {
    let says = ["The folder changed while it was read", "readme.txt", "begin again"];
    changed_on_the_way(|folder| write(folder, "readme.txt", b"longer than it was before\n"), &says);
    changed_on_the_way(|folder| write(folder, "readme.txt", b"hello, kitchen!\n"), &says);
    changed_on_the_way(|folder| write(folder, "readme.txt", b""), &says);
}

#[test]
fn a_file_that_vanished() {
    let says = ["cannot be read any more", "readme.txt", "begin again"];
    changed_on_the_way(|folder| fs::remove_file(folder.join("readme.txt")).unwrap(), &says);
}

#[test]
fn a_file_that_became_a_link() {
    let change = |folder: &Path| {
        fs::remove_file(folder.join("readme.txt")).unwrap();
        symlink("/etc/hostname", folder.join("readme.txt")).unwrap();
    };
    changed_on_the_way(change, &["readme.txt"]);
}

#[test]
fn a_folder_that_cannot_be_read() {
    let world = World::new();
    world.small();
    let Some(call) = as_nobody(&world, world.sending("127.0.0.1:1")) else { return };
    set_mode(&world.folder().join("deep"), 0o000);
    call.run().failed(14, "storage", &["1 file or folder cannot be read", "deep: ", "owner and permissions"]);
    let call = as_nobody(&world, world.sending("127.0.0.1:1")).expect("as before");
    set_mode(&world.folder(), 0o000);
    call.run().failed(14, "storage", &["Cannot read folder: ", "owner and permissions"]);
    set_mode(&world.folder(), 0o755);
    set_mode(&world.folder().join("deep"), 0o755);
}

#[test]
fn a_file_that_cannot_be_read() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let Some(call) = as_nobody(&world, world.sending(&address)) else { return };
    set_mode(&world.folder().join("readme.txt"), 0o000);
    call.run().failed(14, "storage", &["cannot be read", "readme.txt"]);
    world.nothing_arrived();
}

/// File systems report a name that they cannot hold with different errors. None of them counts as a disk failure.
#[cfg(target_os = "linux")]
#[test]
fn names_that_the_file_system_refuses() {
    let world = World::new();
    write(&world.folder(), "a/b:c", b"x");
    write(&world.folder(), "d:e/f", b"x");
    let received = |name: &str, calls: &str, errno: &str| {
        let fault = format!("inject={calls}:error={errno}");
        let options = ["-f", "-qq", "-o", "/dev/null", "-P", name, "-e", &fault];
        let receiving = world.receiving(&["--once", "--no-code", "--sealed-key"]);
        let mut receiver = receiving.within("strace", &options).start();
        let (address, _) = receiver.ready();
        (world.sending(&address).run(), receiver.end())
    };
    for errno in ["EINVAL", "EILSEQ", "ENAMETOOLONG", "EPERM", "EACCES", "ENOENT", "EOPNOTSUPP"] {
        let (sender, receiver) = received("b:c", "openat,openat2", errno);
        sender.failed(15, "refused", &["kitchen cannot hold the name a/b:c", "Rename it"]);
        receiver.failed(15, "refused", &["cannot be held", "into/a/b:c"]);
    }
    let (sender, receiver) = received("d:e", "mkdirat", "EPERM");
    sender.failed(15, "refused", &["kitchen cannot hold the name d:e"]);
    receiver.failed(15, "refused", &["into/d:e"]);
    // An error that is not, or need not be, about the name is reported as it is.
    for (errno, exit, class) in [("EIO", 14, "storage"), ("ENOSPC", 14, "storage"), ("EROFS", 14, "storage")] {
        let (_, receiver) = received("b:c", "openat,openat2", errno);
        receiver.failed(exit, class, &["tree/a/b:c"]);
    }
    world.nothing_arrived();
}
