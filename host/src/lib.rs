//! waft on a computer: the command line, and what the protocol needs there.

#![forbid(unsafe_code)]
