//! The forms of codes and keys: how they are read from a person, and shown to one.

use waft_core::code::{AuthCode, TransferKey};

use crate::ui::Ui;

/// Reads a key, or says what is wrong with its form.
pub(super) fn key_form(text: &str) -> Result<TransferKey, String> {
    TransferKey::parse(text).map_err(|error| error.to_string())
}

/// Reads a code, or says what is wrong with its form.
pub(super) fn code_form(text: &str) -> Result<AuthCode, String> {
    AuthCode::parse(text.trim()).map_err(|_| "it does not have just four digits".into())
}

/// Shows a key in groups; under `--verbose` also as words to be read out.
pub(super) fn show_key(ui: &Ui, key: &TransferKey) {
    let shown = zeroize::Zeroizing::new(key.display().to_string());
    ui.must(format!("Key:   {}", shown.replace('-', "  ")));
    if ui.is_verbose() {
        shown.split('-').for_each(|group| ui.detail(format!("  {group}   {}", spoken(group))));
    }
}

/// The words for a group, after the spelling alphabet of the ICAO.
fn spoken(group: &str) -> String {
    group.chars().map(word).collect::<Vec<_>>().join(" ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_can_be_read_out() {
        assert_eq!(spoken("0AZ9"), "zero Alfa Zulu nine");
    }
}
