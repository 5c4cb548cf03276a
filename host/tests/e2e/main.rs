//! The built `waft` against itself and against liars: separate processes on loopback, driven as a script would drive
//! them.
//!
//! [`harness`] starts and reads processes, [`world`] gives them homes and folders, [`proxy`] stands between two of them
//! and cuts, stalls or mutes, [`peers`] are senders and receivers of our own making that have real identities and lie.
//! Every failure is provoked for real and held against its exit code, its class and its text.
//!
//! Nothing here asserts on time. What a receiver waits minutes for comes in seconds where its clock is hurried
//! ([`ahead`]); what has to wait for one of the program's own deadlines stands together in [`deadlines`], and comes
//! first.

#![cfg(unix)]
// A future here runs where it is made.
#![allow(async_fn_in_trait)]

mod ahead;
mod before_asking;
mod boards;
mod certificates;
mod deadlines;
mod demo;
mod drawn;
mod durable;
mod files;
mod firewalls;
mod frames;
mod harness;
mod hostile;
mod identities;
mod interrupted;
mod liars;
mod needs;
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
mod slow;
#[path = "../../../core/tests/session/source.rs"]
mod source;
mod storage;
mod strangers;
mod terminal;
mod transfers;
mod wiped;
mod world;
