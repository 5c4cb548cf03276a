//! Texts that contain a secret and are zeroized when they are dropped.

use std::fmt::{Display, Write as _};

use zeroize::Zeroizing;

/// Capacity for every text with a code or a key. A text that outgrew it would be reallocated and leave a copy in
/// memory.
const ROOM: usize = 512;

/// Formats a text that contains a secret.
pub(crate) fn secret(text: impl Display) -> Zeroizing<String> {
    let mut room = Zeroizing::new(String::with_capacity(ROOM));
    write!(room, "{text}").expect("memory takes every text");
    room
}
