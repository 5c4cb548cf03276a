//! The stack usage.

#[path = "../../stack.rs"]
mod common;

pub(crate) use common::{wipe, wipe_unused};
use waft_receiver::board::Stack;

/// The peak usage and the size of the stack.
pub(crate) fn usage() -> Stack {
    Stack { peak: common::peak(), size: common::size() }
}
