//! The slot store on a flash that keeps the rules of NOR flash, driven through the `Store` trait as a session drives
//! it.

mod archive;
mod bench;
mod cases;
mod contract;
mod damage;
mod failures;
mod layouts;
mod nor;
mod sweep;
mod twice;
