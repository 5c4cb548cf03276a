//! Rules for every receiver, computer or board: one suite of tests that runs against both.
//!
//! [`rig`] starts and operates a receiver, the built `waft receive` or the built `waft simulate`. [`laptop`] is a
//! sender whose runs a test controls: the salt, the key, and where it stops. A rule is written once, in [`rules`],
//! [`strangers`] or [`answers`], and [`for_both!`] creates a test of it for each receiver. PROTOCOL.md, sections 2, 3 and
//! 6.

#![cfg(unix)]

/// Creates two tests of each rule: one against a computer that receives, one against a board.
macro_rules! for_both {
    ($($rule:ident),* $(,)?) => {
        mod computer {
            $(#[test] fn $rule() { super::$rule(crate::rig::Kind::Computer) })*
        }
        mod board {
            $(#[test] fn $rule() { super::$rule(crate::rig::Kind::Board) })*
        }
    };
}

mod answers;
#[path = "../e2e/harness.rs"]
#[allow(dead_code)]
mod harness;
mod laptop;
#[path = "../e2e/peers.rs"]
#[allow(dead_code)]
mod peers;
mod rig;
mod rules;
#[path = "../board/site.rs"]
#[allow(dead_code)]
mod site;
#[path = "../../../core/tests/session/source.rs"]
#[allow(dead_code)]
mod source;
mod strangers;
#[path = "../e2e/world.rs"]
#[allow(dead_code)]
mod world;
