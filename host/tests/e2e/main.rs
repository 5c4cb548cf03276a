//! End-to-end tests: the built `waft` as separate processes on loopback, driven like a script would drive them, against
//! itself and against dishonest peers.
//!
//! [`harness`] starts processes and reads their events. [`world`] sets up homes and folders. [`proxy`] is placed
//! between two processes and cuts, stalls or mutes connections. [`peers`] are senders and receivers with real
//! identities that violate the protocol. Every failure is provoked for real and compared with its exit code, its class
//! and its text.
//!
//! No test asserts on time. Deadlines of minutes are reached in seconds by advancing the clock of a process
//! ([`ahead`]). Tests that have to wait for a real deadline are in [`deadlines`] and run first.

#![cfg(unix)]
// The futures of these traits run only on the thread that creates them.
#![allow(async_fn_in_trait)]

mod ahead;
mod before_asking;
mod boards;
mod certificates;
mod changed;
mod deadlines;
mod demo;
mod discovery;
mod drawn;
mod durable;
mod elf;
mod everyday;
mod files;
mod firewalls;
mod flashing;
mod frames;
mod harness;
mod hostile_receivers;
mod hostile_senders;
mod identities;
mod inbox;
mod interrupted;
mod needs;
mod pairing;
mod peers;
mod preload;
mod provision;
mod proxy;
mod pty;
mod reach;
mod refusals;
mod renewal;
mod scripts;
mod sealed;
mod secrets;
mod several;
mod slow;
#[path = "../../../core/tests/session/source.rs"]
mod source;
mod storage;
mod strangers;
mod terminal;
mod transfers;
mod wiped;
mod world;
