//! The `waft` command.

fn main() {}
