//! The formats of codes, keys and numbers: parsing what a user types, and showing them to a user.

use std::fmt;

use rand_core::OsRng;
use waft_core::code::{AuthCode, TransferKey};
use waft_core::sealed::{Header, Secret, Stretch};

use crate::cli::ui::Ui;
use crate::cli::ui::secret;
use crate::worker::in_background;

/// Parses a key. The error text says what is wrong with the format. Keys are boxed, because a key that is moved leaves
/// copies on the stack, and futures that are moved to the heap take such copies with them.
pub(super) fn key_form(text: &str) -> Result<Box<TransferKey>, String> {
    let mut key = Box::new(TransferKey::empty());
    key.read(text).map_err(|error| error.to_string())?;
    Ok(key)
}

/// Makes a fresh key for a run or a sealed file.
pub(super) fn new_key() -> Box<TransferKey> {
    let mut key = Box::new(TransferKey::empty());
    key.randomize(&mut OsRng);
    key
}

/// Parses a code. The error text says what is wrong with the format.
pub(super) fn code_form(text: &str) -> Result<AuthCode, String> {
    AuthCode::parse(text.trim()).map_err(|_| "it does not have just four digits".into())
}

/// Derives the secret of a sealed file from its key. The computation takes a moment, so it runs on a thread of its
/// own.
pub(super) async fn file_secret(key: &TransferKey, header: &Header) -> Box<Secret> {
    let (mut copy, salt, iterations) = (Box::new(TransferKey::empty()), header.salt, header.iterations);
    copy.copy_from(key);
    in_background(move || {
        let mut secret = Box::new(Secret::empty());
        let mut stretch = Stretch::new(&copy, &salt, iterations);
        while !stretch.step(iterations) {}
        stretch.finish(&mut secret);
        secret
    })
    .await
}

/// Shows a key in groups; under `--verbose` also in words of a spelling alphabet.
pub(super) fn show_key(ui: &Ui, key: &TransferKey) {
    let shown = secret(key.display());
    let groups = fmt::from_fn(|f| shown.split('-').try_for_each(|group| write!(f, "  {group}")));
    ui.must(secret(format_args!("Key: {groups}")).as_str());
    if ui.is_verbose() {
        for group in shown.split('-') {
            ui.detail(secret(format_args!("  {group}  {}", spoken(group))).as_str());
        }
    }
}

/// Shows a code with spaces between its digits, so that it is easy to read from a distance.
pub(super) fn show_code(ui: &Ui, what: &str, code: &AuthCode) {
    let wide = fmt::from_fn(|f| code.digits().iter().try_for_each(|digit| write!(f, " {}", char::from(*digit))));
    ui.must(secret(format_args!("{what}: {wide}")).as_str());
}

/// One word per character of a group, from the ICAO spelling alphabet, each with a leading space.
fn spoken(group: &str) -> impl fmt::Display {
    fmt::from_fn(|f| group.chars().try_for_each(|character| write!(f, " {}", word(character))))
}

fn word(character: char) -> &'static str {
    const DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    const LETTERS: [&str; 26] = [
        "Alfa", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "India", "Juliett", "Kilo", "Lima",
        "Mike", "November", "Oscar", "Papa", "Quebec", "Romeo", "Sierra", "Tango", "Uniform", "Victor", "Whiskey",
        "X-ray", "Yankee", "Zulu",
    ];
    match character {
        '0'..='9' => DIGITS[character as usize - '0' as usize],
        'A'..='Z' => LETTERS[character as usize - 'A' as usize],
        _ => "?",
    }
}

/// A number of files as text.
pub(super) fn files(count: u32) -> String {
    if count == 1 { "1 file".into() } else { format!("{count} files") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_can_be_read_out() {
        assert_eq!(spoken("0AZ9").to_string(), " zero Alfa Zulu nine");
    }
}
