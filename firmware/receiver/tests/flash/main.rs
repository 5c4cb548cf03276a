//! Tests of the slot store and the seed on a simulated NOR flash: single cases, driven through the `Store` trait as a
//! session does, and a simulator of power cuts.

mod archive;
mod base;
mod bench;
mod cases;
mod contract;
mod damage;
mod failures;
mod layouts;
mod nor;
mod power;
mod revert;
mod review;
mod sharing;
mod timing;
