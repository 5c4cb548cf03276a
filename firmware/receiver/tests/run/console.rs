//! Tests of console input: line editing, keys and codes in the wrong place, and harmless output of files and names.

use tokio::join;
use waft_core::session::SessionError;
use waft_core::wire::message::Refusal;
use waft_receiver::identity::KeyPolicy;

use crate::archive::archive;
use crate::board::Powered;
use crate::laptop::Outcome;
use crate::transfers::{folder, laptop_and_board};
use crate::user::BROKEN;

#[tokio::test]
async fn a_line_that_is_too_long_is_refused_as_a_whole() {
    let (_, identity) = laptop_and_board();
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            let longest = "x".repeat(256);
            fixture.user.types(&longest).await;
            fixture.user.sees("That is no command").await;
            // Neither the command at its beginning nor the one at its end is executed.
            fixture.user.types(&format!("release{}release", " ".repeat(256))).await;
            let seen = fixture.user.sees("That line is too long").await;
            assert!(!seen.contains("Nothing is held"), "{seen}");
            fixture.user.types("release").await;
            let seen = fixture.user.sees("Nothing is held").await;
            assert!(!seen.contains("too long"), "{seen}");
            fixture.user.presses(format!("{longest}x\x15")).await;
            fixture.user.types("release").await;
            let seen = fixture.user.sees("Nothing is held").await;
            assert!(!seen.contains("too long"), "{seen}");
        })
        .await;
}

#[tokio::test]
async fn keys_that_mean_nothing_change_nothing() {
    let (_, identity) = laptop_and_board();
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            // Arrows, Delete, F5, Tab and Escape, and deleted characters of one to four bytes.
            fixture.user.presses("re\x1b[A\x1bOB\x1b[3~\x1b[15~\t\0leaé€\u{1f34b}\x7f\x08\x7fse\x1b\r").await;
            fixture.user.sees("Nothing is held").await;
            fixture.user.presses("nonsense\x03release\n").await;
            fixture.user.sees("Nothing is held").await;
            // The board cannot know the width of such a character, so it draws the line again.
            fixture.user.presses("a日\x7f\x7frelease\n").await;
            let seen = fixture.user.sees("Nothing is held").await;
            assert!(seen.contains("a日\r\x1b[K> a\x08 \x08release"), "{seen:?}");
            fixture.user.presses(b"\xe9\xff\n").await;
            fixture.user.sees("That is no command").await;
            // These are one line each, and one empty line.
            fixture.user.presses("release\r\nrelease\n\nrelease\r\n").await;
            fixture.user.sees("Nothing is held.").await;
            let seen = fixture.user.sees("Nothing is held.").await + &fixture.user.sees("Nothing is held.").await;
            assert_eq!(seen, "> release\r\nNothing is held.\r\n> \r\n> release\r\nNothing is held.\r\n");
        })
        .await;
}

#[tokio::test]
async fn an_error_of_the_line_is_not_its_end() {
    let (_, identity) = laptop_and_board();
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            for errors in [1, 2, 5] {
                fixture.user.presses(vec![BROKEN; errors]).await;
                fixture.user.types("release").await;
                fixture.user.sees("Nothing is held.").await;
            }
        })
        .await;
}

/// Both keys are pasted at once. The second one waits until the first one was rejected.
#[tokio::test]
async fn a_right_key_behind_a_wrong_one_counts() {
    let (laptop, identity) = laptop_and_board();
    let folder = folder(1);
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            let code = fixture.user.reads_code().await;
            let user = async {
                fixture.user.sees("Type the key").await;
                fixture.user.presses(format!("0123-4567-89AB-CDEF\r\n{}\r\n", laptop.key.display())).await;
                let seen = fixture.user.sees("The key is right.").await;
                assert!(!seen.contains("No key is needed") && seen.contains("2 tries left"), "{seen}");
                assert!(seen.contains(&format!("key> {}", laptop.key.display())), "it is shown as a key: {seen}");
            };
            let (outcome, ()) = join!(laptop.send(fixture.address, &folder, &code, None), user);
            assert_eq!(outcome.receipt().digest, folder.root);
            fixture.user.types("release").await;
            fixture.user.sees("Nothing is held.").await;
        })
        .await;
}

#[tokio::test]
async fn codes_and_late_keys_are_answered_with_what_to_do() {
    let (laptop, identity) = laptop_and_board();
    let (folder, key) = (folder(1), laptop.key.display().to_string());
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            let code = fixture.user.reads_code().await;
            let user = async {
                fixture.user.types(&code).await;
                fixture.user.sees("A code is typed at the sender.").await;
                fixture.user.types(&key).await;
                fixture.user.sees("No key is needed now.").await;
                fixture.user.sees("Type the key").await;
                fixture.user.types("0393").await;
                fixture.user.sees("A code is typed at the sender.").await;
                fixture.user.types("stauts").await;
                fixture.user.sees("That is no key, and no command: character 4").await;
                fixture.user.types("decline").await;
                fixture.user.sees("it was declined").await;
                fixture.user.types(&key.to_lowercase().replace('-', " ")).await;
                fixture.user.sees("No key is needed now.").await;
            };
            let (outcome, ()) = join!(laptop.send(fixture.address, &folder, &code, None), user);
            assert!(matches!(outcome, Outcome::Ended(SessionError::Refused(Refusal::Declined))), "{outcome:?}");
        })
        .await;
}

#[tokio::test]
async fn files_and_names_are_shown_whole_and_harmless() {
    let (laptop, mut identity) = laptop_and_board();
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    // A piece of this text ends within a character.
    let long = format!("z{}\u{202e}gpj.", "日本語".repeat(20));
    let text = format!(
        "# Grüße\r\n\r\n\tindented\nx{}\r\r\n\x1b]0;x\x07\u{9b}2J\u{200f}\n{}",
        "é".repeat(100),
        "日".repeat(17)
    );
    let files = [
        ("binary", [0x80; 60].to_vec()),
        ("empty", vec![]),
        ("large", b"0123456789abcde\n".repeat(300)),
        ("text", text.into()),
        (long.as_str(), vec![b'x']),
    ];
    let archive = archive(files.into_iter().map(|(path, bytes)| (path.to_owned(), Some(bytes))).collect(), 100);
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            laptop.send(fixture.address, &archive, "", None).await.receipt();
            fixture.user.sees("Digest:").await;
            fixture.user.types("list\nhold").await;
            let shown = between(&fixture.user.sees("is held.").await, "> list\r\n");
            assert!(shown.contains(&format!("        1  z{}\\u{{202e}}gpj.\r\n", "日本語".repeat(20))), "{shown}");
            let mut shows = async |path: &str| {
                fixture.user.types(&format!("show {path}\nhold")).await;
                between(&fixture.user.sees("is held.").await, &format!("> show {path}\r\n"))
            };
            assert_eq!(shows("binary").await, "\\x80".repeat(60) + "\r\n");
            assert_eq!(shows("empty").await, "It is empty.\r\n");
            let shown = shows("large").await;
            assert_eq!(shown, "0123456789abcde\r\n".repeat(256) + "... 4.69 KiB in all\r\n");
            let lines = [
                "# Grüße",
                "",
                "\tindented",
                &format!("x{}\\u{{d}}", "é".repeat(100)),
                "\\u{1b}]0;x\\u{7}\\u{9b}2J\\u{200f}",
                &"日".repeat(17),
                "",
            ];
            assert_eq!(shows("text").await, lines.join("\r\n"));
            assert_eq!(shows("").await, "Which file? `list` lists them.\r\n");
        })
        .await;
}

#[tokio::test]
async fn a_terminal_that_collects_lines_gets_lines_only() {
    let (_, identity) = laptop_and_board();
    let mut powered = Powered { echo: false, ..Powered::new(16) };
    powered
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.sees("Code:").await;
            fixture.user.presses("releasf\x7fe\n").await;
            let seen = fixture.user.sees("Nothing is held").await;
            let is_line = |line: &str| line.starts_with("Listening at ") || line == "Nothing is held.";
            assert!(seen.lines().all(is_line), "{seen:?}");
        })
        .await;
}

#[tokio::test]
async fn a_folder_is_held_shown_and_checked() {
    let (laptop, mut identity) = laptop_and_board();
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    let folder = archive(vec![("d".into(), None), ("d/\u{202e}gpj.".into(), Some(b"content".to_vec()))], 100);
    let mut powered = Powered::new(16);
    powered
        .boot(Ok(&identity), async |mut fixture| {
            laptop.send(fixture.address, &folder, "", None).await.receipt();
            let seen = fixture.user.sees("Digest:").await;
            assert!(!seen.contains("Code:"), "{seen}");
            fixture.user.types("list").await;
            fixture.user.sees("directory  d\r\n").await;
            fixture.user.types("hold").await;
            fixture.user.sees("Generation 1 is held.").await;
            fixture.user.types("release").await;
            fixture.user.sees("The folder is no longer held.").await;
            fixture.user.types("release").await;
            fixture.user.sees("Nothing is held.").await;
            fixture.user.types("forget").await;
            fixture.user.sees("If you are sure").await;
            assert!(fixture.slots.folder().is_some());
        })
        .await;
    let bytes = &mut powered.flash.get_mut().bytes;
    let at = bytes.windows(7).position(|bytes| bytes == b"content").unwrap();
    bytes[at] ^= 1;
    powered
        .boot(Ok(&identity), async |mut fixture| {
            fixture.user.types("verify").await;
            fixture.user.sees("Damaged: d/\\u{202e}gpj.\r\n").await;
            fixture.user.sees("Damaged: 1 file. Send the folder again.").await;
        })
        .await;
}

/// The output after a command, up to the next prompt.
fn between(seen: &str, command: &str) -> String {
    let (_, output) = seen.split_once(command).unwrap_or_else(|| panic!("{seen:?}"));
    output.split('>').next().unwrap().to_owned()
}
