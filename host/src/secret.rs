//! Texts with a secret in them, which is wiped from memory together with the text.

use std::fmt::{Display, Write as _};

use zeroize::Zeroizing;

/// Room for every text with a code or a key in it. A text that outgrew it would leave a copy behind.
const ROOM: usize = 512;

/// Formats a text in which a secret stands.
pub(crate) fn secret(text: impl Display) -> Zeroizing<String> {
    let mut room = Zeroizing::new(String::with_capacity(ROOM));
    write!(room, "{text}").expect("memory takes every text");
    room
}
