//! Users at a real terminal: every signal, questions that are asked again, and prompts that are only written to a
//! terminal.

use std::fs;

use rustix::process::Signal;

use super::drawn::in_the_middle;
use super::harness::{Waft, check_error};
use super::proxy::{Behaviour, Proxy};
use super::pty::{Terminal, shell, waft};
use super::world::World;

const CTRL_C: &str = "\x03";
const CTRL_BACKSLASH: &str = "\x1c";
const CTRL_Z: &str = "\x1a";
/// Number of bytes from the sender after which only chunks follow.
const IN_THE_MIDDLE: u64 = 300_000;

fn world() -> World {
    let world = World::new();
    world.small();
    world
}

/// A sender at a terminal that asks for the code of a receiver.
fn asked_for_the_code(world: &World) -> (Waft, String, Terminal) {
    let mut receiver = world.receive(&[]);
    let (address, code) = receiver.ready();
    let mut sender = Terminal::start(waft(&world.laptop, &["send", "folder", &format!("kitchen@{address}")]));
    sender.sees("Code that kitchen shows:");
    sender.await_echo(false);
    (receiver, code.expect("it asks for one"), sender)
}

/// Continues after the code was typed: types the sender's key at the receiver, and checks that the folder arrives.
fn goes_on(world: &World, receiver: &mut Waft, sender: &mut Terminal) {
    sender.sees("Read it out");
    let key = shown_key(sender);
    receiver.answer("key", &key);
    sender.sees("kitchen has the folder");
    receiver.await_event("committed");
    world.arrived();
}

fn shown_key(sender: &Terminal) -> String {
    let screen = sender.screen();
    let line = screen.lines().find_map(|line| line.strip_prefix("Key:")).expect("it shows the key");
    line.split_whitespace().collect::<Vec<_>>().join("-")
}

#[test]
fn whatever_ends_it_puts_the_terminal_right_and_tells_the_peer() {
    let world = world();
    type End = fn(&Terminal);
    let ends: [(End, i32); 5] = [
        (|sender| sender.types(CTRL_C), 130),
        (|sender| sender.types(CTRL_BACKSLASH), 131),
        (|sender| sender.signal(Signal::HUP), 129),
        (|sender| sender.signal(Signal::TERM), 143),
        (|sender| sender.types("0\x04\x15\x04"), 12),
    ];
    for (end, code) in ends {
        let (mut receiver, _, mut sender) = asked_for_the_code(&world);
        end(&sender);
        sender.assert_exit(code);
        check_error(&receiver.await_event("error"), "broken", &["laptop cancelled the transfer"]);
    }
}

#[test]
fn a_terminal_that_is_closed_ends_it_in_good_order() {
    let world = world();
    let (mut receiver, _, mut sender) = asked_for_the_code(&world);
    sender.close();
    assert_eq!(sender.end().code(), Some(129));
    check_error(&receiver.await_event("error"), "broken", &["laptop cancelled the transfer"]);
}

#[test]
fn a_second_ctrl_c_ends_it_at_once() {
    let world = World::new();
    // Nothing passes in either direction any more, so the receiver cannot learn that the sender has stopped.
    let (_receiver, proxy, mut sender) = in_the_middle(&world);
    sender.types(CTRL_C);
    sender.types(CTRL_C);
    sender.assert_exit(130);
    proxy.cut();
}

/// Types Ctrl-Z, and waits for the shell. Before that, the command could still read what is typed next.
fn stop(terminal: &mut Terminal) {
    terminal.types(CTRL_Z);
    terminal.await_screen("the shell", |screen| screen.trim_end().ends_with("ready>"));
    assert!(terminal.echoes());
}

#[test]
fn a_question_is_shown_again_after_ctrl_z() {
    let world = world();
    let mut receiver = world.receive(&[]);
    let (address, code) = receiver.ready();
    let code = code.unwrap();
    let mut terminal = Terminal::start(shell(&world.laptop, None));
    terminal.sees("ready>");
    terminal.types(&format!("$WAFT send folder kitchen@{address}\n"));
    terminal.sees("Code that kitchen shows:");
    terminal.await_echo(false);
    terminal.types(&code[..2]);
    terminal.sees(&format!("Code that kitchen shows: {}", &code[..2]));
    for _ in 0..2 {
        stop(&mut terminal);
        terminal.types("clear; echo stop''ped\n");
        terminal.await_screen("the shell's answer", |screen| screen.contains("stopped") && !screen.contains("Code"));
        terminal.types("fg\n");
        // With the text that was typed before, which is still there.
        terminal.sees(&format!("Code that kitchen shows: {}", &code[..2]));
        terminal.await_echo(false);
    }
    terminal.types(&format!("{}\n", &code[2..]));
    goes_on(&world, &mut receiver, &mut terminal);
    terminal.await_echo(true);
    terminal.types("exit\n");
    terminal.end();
}

#[test]
fn a_question_in_the_background_waits_for_the_foreground() {
    let world = world();
    let mut receiver = world.receive(&[]);
    let (address, code) = receiver.ready();
    let mut terminal = Terminal::start(shell(&world.laptop, None));
    terminal.sees("ready>");
    terminal.types(&format!("$WAFT send folder kitchen@{address}\n"));
    terminal.sees("Code that kitchen shows:");
    stop(&mut terminal);
    terminal.types("bg\n");
    terminal.types("clear; echo back''ground\n");
    terminal.await_screen("the shell's answer", |screen| screen.contains("background"));
    assert!(terminal.echoes(), "the terminal is the shell's");
    terminal.types("fg\n");
    terminal.sees("Code that kitchen shows:");
    terminal.await_echo(false);
    terminal.types(&format!("{}\n", code.unwrap()));
    goes_on(&world, &mut receiver, &mut terminal);
    terminal.types("exit\n");
    terminal.end();
}

#[test]
fn a_transfer_goes_on_in_the_background() {
    let world = World::new();
    world.large(12 << 20);
    let mut receiver = world.receive(&["--sealed-key"]);
    let (address, code) = receiver.ready();
    let proxy = Proxy::before(&address, &[Behaviour::Stall(IN_THE_MIDDLE)]);
    let mut terminal = Terminal::start(shell(&world.laptop, None));
    terminal.sees("ready>");
    terminal.types(&format!("$WAFT send folder kitchen@{}\n", proxy.address));
    terminal.sees("Code that kitchen shows:");
    terminal.types(&format!("{}\n", code.unwrap()));
    proxy.await_trigger();
    stop(&mut terminal);
    terminal.types("bg\n");
    // Text that is typed meanwhile goes to the shell.
    terminal.types("echo he''llo\n");
    terminal.sees("hello");
    proxy.go_on();
    receiver.await_event("committed");
    terminal.sees("kitchen has the folder");
    terminal.types("exit\n");
    terminal.end();
    world.arrived();
}

#[test]
fn a_terminal_that_was_changed_meanwhile_does_not_show_what_is_typed() {
    let world = world();
    let (mut receiver, code, mut sender) = asked_for_the_code(&world);
    sender.signal(Signal::STOP);
    sender.set_echo();
    sender.signal(Signal::CONT);
    sender.await_echo(false);
    sender.types(&format!("{code}\n"));
    goes_on(&world, &mut receiver, &mut sender);
    sender.assert_exit(0);
}

#[test]
fn prompts_do_not_go_to_a_log() {
    let world = world();
    let mut receiver = world.receive(&[]);
    let (address, code) = receiver.ready();
    let script = format!("exec $WAFT send folder kitchen@{address} 2>log");
    let mut sender = Terminal::start(shell(&world.laptop, Some(&script)));
    sender.sees("Code that kitchen shows:");
    sender.await_echo(false);
    sender.types("12a3\n");
    sender.sees("it does not have just four digits");
    sender.types(&super::refusals::other_than(&code.clone().unwrap()));
    sender.types("\n");
    sender.sees("That code is wrong; tries left: 2.\nCode that kitchen shows:");
    sender.types(&format!("{}\n", code.unwrap()));
    let is_whole = |line: &str| line.starts_with("Key:") && line.split_whitespace().count() == 5;
    sender.await_screen("the key", |screen| screen.lines().any(is_whole));
    receiver.answer("key", &shown_key(&sender));
    sender.assert_exit(0);
    let log = fs::read_to_string(world.laptop.work.join("log")).unwrap();
    assert!(log.contains("kitchen has the folder"), "{log}");
    assert!(!log.contains("Code that kitchen shows") && !log.contains('\x1b'), "{log:?}");
    world.arrived();
}

#[test]
fn a_terminal_without_escape_sequences_gets_none() {
    let world = world();
    let mut receiver = world.receive(&["--sealed-key"]);
    let (address, code) = receiver.ready();
    let sending = waft(&world.laptop, &["send", "folder", &format!("kitchen@{address}")]).env("TERM", "dumb");
    let mut sender = Terminal::start(sending);
    sender.sees("Code that kitchen shows:");
    sender.types("12x4\n");
    sender.sees("it does not have just four digits");
    sender.types(&format!("{}\n", code.unwrap()));
    sender.sees("kitchen has the folder");
    sender.assert_exit(0);
    assert!(!sender.written.contains(&0x1b), "{:?}", String::from_utf8_lossy(&sender.written));
    receiver.await_event("committed");
}

#[test]
fn what_was_typed_before_a_question_does_not_answer_it() {
    let world = world();
    let args = ["receive", "--into", "into", "--listen", "127.0.0.1:0", "--no-code", "--once"];
    let mut receiver = Terminal::start(waft(&world.kitchen, &args));
    receiver.sees("Listening at");
    receiver.types("early\n");
    receiver.sees("early");
    let screen = receiver.screen();
    let at = screen.lines().find_map(|line| line.strip_prefix("Listening at ")).unwrap().trim();
    let mut sender = world.send(at);
    let key = sender.key();
    receiver.sees("Key that laptop shows, for");
    receiver.await_echo(false);
    receiver.types(&key.to_lowercase().replace('-', ""));
    receiver.sees(&key);
    receiver.types("\n");
    receiver.sees("The folder of laptop is in into");
    receiver.assert_exit(0);
    // The question was not asked again, as it would be after an answer with an error in its form.
    assert!(!receiver.screen().lines().any(|line| line.starts_with("Key: ")), "{}", receiver.screen());
    sender.end().succeeded();
}

#[test]
fn a_simulated_board_comes_back_after_ctrl_z() {
    let world = World::strangers();
    let mut terminal = Terminal::start(shell(&world.laptop, None));
    terminal.sees("ready>");
    terminal.types("$WAFT simulate --listen 127.0.0.1:0\n");
    terminal.sees("Listening at");
    terminal.types("li");
    terminal.await_screen("the prompt", |screen| screen.trim_end().ends_with("> li"));
    stop(&mut terminal);
    terminal.types("clear; fg\n");
    terminal.await_screen("the prompt", |screen| screen.trim_end().ends_with("> li") && !screen.contains("Listening"));
    terminal.await_echo(false);
    terminal.types("st\n");
    terminal.sees("There is no folder.");
    terminal.types(CTRL_C);
    terminal.sees("The board was switched off.");
    terminal.await_echo(true);
    terminal.types("exit\n");
    terminal.end();
}

#[test]
fn signals_have_the_exit_codes_that_shells_know() {
    let world = World::new();
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131), (Signal::INT, 130)] {
        let mut receiver = world.receive(&[]);
        receiver.ready();
        receiver.signal(signal);
        receiver.end().failed(code, "interrupted", &["Interrupted"]);
    }
}

#[test]
fn a_receiver_under_nohup_outlives_its_terminal() {
    let world = world();
    let mut receiver = world.receiving(&["--once", "--no-code", "--sealed-key"]).within("nohup", &[]).start();
    let (address, _) = receiver.ready();
    receiver.signal(Signal::HUP);
    world.sending(&address).run().succeeded();
    receiver.end().succeeded();
}
