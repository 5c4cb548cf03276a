//! The screen of a terminal: what is erased, what is hidden, and where lines break.

use std::fs::File;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use super::proxy::{Behaviour, Proxy};
use super::pty::{Terminal, waft};
use super::world::{World, write};

/// Number of bytes from the sender after which only chunks follow.
const IN_THE_MIDDLE: u64 = 300_000;

/// A sender at a terminal, stalled in the middle of a transfer, with its progress bar drawn.
pub(super) fn in_the_middle(world: &World) -> (super::harness::Waft, Proxy, Terminal) {
    world.large(12 << 20);
    let mut receiver = world.receive(&["--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let proxy = Proxy::before(&address, &[Behaviour::Stall(IN_THE_MIDDLE)]);
    let to = format!("kitchen@{}", proxy.address);
    let mut sender = Terminal::start(waft(&world.laptop, &["send", "folder", &to]));
    proxy.await_trigger();
    sender.sees(" left");
    (receiver, proxy, sender)
}

#[test]
fn a_bar_is_gone_when_the_transfer_is_over() {
    let world = World::new();
    let (_receiver, proxy, mut sender) = in_the_middle(&world);
    proxy.go_on();
    sender.sees("kitchen has the folder");
    sender.assert_exit(0);
    assert!(!sender.screen().contains(" left"), "{}", sender.screen());
}

#[test]
fn ctrl_c_leaves_nothing_in_the_line() {
    let world = World::new();
    let args = ["receive", "--into", "into", "--listen", "127.0.0.1:0"];
    let mut receiver = Terminal::start(waft(&world.kitchen, &args));
    receiver.sees("Code:");
    receiver.types("\x03");
    receiver.assert_exit(130);
    let screen = receiver.screen();
    assert!(screen.lines().any(|line| line == "error: Interrupted."), "{screen}");
}

#[test]
fn ctrl_c_twice_ends_the_line_of_a_bar() {
    let world = World::new();
    let (_receiver, proxy, mut sender) = in_the_middle(&world);
    while sender.is_running() {
        sender.signal(Signal::INT);
        sleep(Duration::from_millis(300));
    }
    sender.assert_exit(130);
    proxy.cut();
}

/// The command waits for the lock on the home, and does not handle signals any more.
#[test]
fn ctrl_c_ends_a_command_that_does_not_listen_to_it() {
    let world = World::new();
    let lock = File::options().append(true).create(true).open(world.laptop.home.join("lock")).unwrap();
    lock.lock().unwrap();
    let mut waiting = Terminal::start(waft(&world.laptop, &["id", "--renew"]));
    waiting.sees("Make a new identity (yes or no)?");
    waiting.await_echo(false);
    waiting.types("yes\n");
    waiting.await_echo(true);
    while waiting.is_running() {
        waiting.signal(Signal::INT);
        sleep(Duration::from_millis(50));
    }
    waiting.assert_exit(130);
}

#[test]
fn a_terminal_without_escape_sequences_gets_no_bar() {
    let world = World::new();
    world.large(12 << 20);
    let mut receiver = world.receive(&["--no-code", "--sealed-key"]);
    let (address, _) = receiver.ready();
    let sending = waft(&world.laptop, &["send", "folder", &format!("kitchen@{address}")]).env("TERM", "dumb");
    let mut sender = Terminal::start(sending);
    sender.sees("kitchen has the folder");
    sender.assert_exit(0);
    assert!(!sender.written.contains(&0x1b), "{:?}", String::from_utf8_lossy(&sender.written));
}

/// If answers come from a pipe, a question in the log would only confuse.
#[test]
fn a_question_that_a_pipe_answers_is_not_shown() {
    let world = World::new();
    world.small();
    let mut receiver = world.receive(&["--sealed-key"]);
    let (address, code) = receiver.ready();
    let mut sender = world.send(&address);
    sender.answer("code", &code.unwrap());
    let ended = sender.end().succeeded();
    assert!(ended.errors.contains("kitchen has the folder"), "{ended:#?}");
    assert!(!ended.errors.contains("Code that kitchen shows"), "{ended:#?}");
}

#[test]
fn quiet_commands_say_nothing_that_is_not_needed() {
    let world = World::new();
    world.small();
    write(&world.folder(), "a\nb", b"a name that cannot be sent");
    let mut receiver = world.receive(&["--no-code", "--sealed-key", "--quiet"]);
    let (address, _) = receiver.ready();
    let sending = world.sending(&address).arg("--quiet").arg("--skip-unsendable").run().succeeded();
    assert_eq!(sending.errors, "");
    assert_eq!(sending.all("warning").count(), 1, "{sending:#?}");
    receiver.interrupt();
    assert!(receiver.end().errors.starts_with("error: Interrupted."));
}

#[test]
fn long_lines_are_broken_between_words() {
    let world = World::strangers();
    let image = format!("{}.bin", "kitchen".repeat(12));
    let args = ["provision", "--board", "nucleo-h563zi", "--name", "kitchen", "-o", &image];
    let mut terminal = Terminal::start(waft(&world.laptop, &args));
    terminal.sees("delete the file once it is flashed.");
    terminal.assert_exit(0);
    let screen = terminal.screen();
    assert!(screen.contains("cargo build --profile firmware"), "{screen}");
    // A path that is longer than a line cannot be broken.
    let is_command = |line: &&str| line.trim_start().starts_with("cargo build");
    let command = screen.lines().find(is_command).unwrap();
    assert!(command.len() <= 120 && command.ends_with('\\'), "{screen}");
}
