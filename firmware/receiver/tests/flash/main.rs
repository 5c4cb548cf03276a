//! The slot store and the seed on a flash that keeps the rules of NOR flash: single cases, driven through the `Store`
//! trait as a session drives it, and a simulator of power cuts.

mod archive;
mod bench;
mod cases;
mod contract;
mod damage;
mod failures;
mod layouts;
mod nor;
mod power;
