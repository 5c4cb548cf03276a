//! Frames over a [`Link`](super::Link), with deadlines.
