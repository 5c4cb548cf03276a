//! What the board finds out about itself when it starts, before it receives anything.

use embassy_stm32::pac::{RCC, UID};
use embedded_io_async::Write;
use static_cell::StaticCell;
use waft_receiver::board::Start;
use waft_receiver::identity::{IMAGE_MAX, Identity, IdentityError};
use waft_stm32::last::LastWords;
use waft_stm32::start;
use zeroize::Zeroizing;

use crate::board::Console;
use crate::{Flash, MAP};

/// Why the board started. The flags that tell it are cleared by this.
pub(crate) fn why(words: &LastWords) -> Start {
    let flags = RCC.rsr().read().0;
    RCC.rsr().modify(|flags| flags.set_rmvf(true));
    start::start(flags, words.heard().is_some())
}

/// The chip's number. It can be read in whole words only.
pub(crate) fn unique() -> [u32; 3] {
    core::array::from_fn(|word| UID.uid(word).read())
}

/// Tells the person at the console what the board said before it failed.
pub(crate) async fn mourn(console: &mut Console, start: Start, words: &LastWords) {
    let Some(words) = words.heard().filter(|_| start != Start::Power) else { return };
    defmt::warn!("the last words before that: {=str}", words);
    for part in ["\r\nThe last words before this start: ", words, "\r\n"] {
        // A console that fails has nobody to tell it to.
        let _ = console.write_all(part.as_bytes()).await;
    }
}

/// The identity that was written beside the firmware.
pub(crate) fn identity(flash: &mut Flash) -> Result<&'static Identity, IdentityError> {
    static IDENTITY: StaticCell<Identity> = StaticCell::new();
    let mut image = Zeroizing::new([0; IMAGE_MAX]);
    // A torn word in it: whoever wrote it was interrupted.
    flash.read_now(MAP.identity().start, &mut *image).map_err(|_| IdentityError::Checksum)?;
    Identity::parse(&*image).map(|identity| &*IDENTITY.init(identity))
}
