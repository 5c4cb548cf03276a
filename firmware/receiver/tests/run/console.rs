//! What a person types at the console, and what may go wrong with it.

use crate::board::Powered;
use crate::transfers::cast;

#[tokio::test]
async fn a_line_that_is_too_long_is_refused_as_a_whole() {
    let (_, identity) = cast();
    Powered::new(16)
        .boot(Ok(&identity), async |mut scene| {
            let longest = "x".repeat(256);
            scene.person.types(&longest).await;
            scene.person.sees("That is no command").await;
            // Neither the one that stands in its first part, nor the one behind it.
            scene.person.types(&format!("release{}release", " ".repeat(256))).await;
            let seen = scene.person.sees("That line is too long").await;
            assert!(!seen.contains("Nothing is held"), "{seen}");
            scene.person.types("release").await;
            let seen = scene.person.sees("Nothing is held").await;
            assert!(!seen.contains("too long"), "{seen}");
            scene.person.presses(format!("{longest}x\x15")).await;
            scene.person.types("release").await;
            let seen = scene.person.sees("Nothing is held").await;
            assert!(!seen.contains("too long"), "{seen}");
        })
        .await;
}

#[tokio::test]
async fn keys_that_mean_nothing_change_nothing() {
    let (_, identity) = cast();
    Powered::new(16)
        .boot(Ok(&identity), async |mut scene| {
            // Arrows, Delete, F5, Tab and Escape; characters of one to four bytes, taken back.
            scene.person.presses("re\x1b[A\x1bOB\x1b[3~\x1b[15~\t\0leaé€\u{1f34b}\x7f\x08\x7fse\x1b\r").await;
            scene.person.sees("Nothing is held").await;
            scene.person.presses("nonsense\x03release\n").await;
            scene.person.sees("Nothing is held").await;
            scene.person.presses(b"\xe9\xff\n").await;
            scene.person.sees("That is no command").await;
        })
        .await;
}
