//! Target for paths, keys, codes and escaping. Whatever parses must be printed and parsed to the same value again.

use waft_core::code::{AuthCode, TransferKey};
use waft_core::pairing::PairingCode;
use waft_core::path::{FolderName, RelPath, escape};

/// Parses the input as each of these types.
pub fn run(data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    if let Ok(path) = RelPath::new(text) {
        assert!(path.components().all(|component| !matches!(component, "" | "." | "..")));
        match path.parent() {
            Some(parent) => assert_eq!(format!("{}/{}", parent.as_str(), path.name()), text),
            None => assert_eq!(path.name(), text),
        }
    }
    if let Ok(name) = FolderName::new(text) {
        assert!(name.as_str() == text && RelPath::new(text).is_ok_and(|path| path.parent().is_none()));
    }
    if let Ok(key) = TransferKey::parse(text) {
        let again = TransferKey::parse(&key.display().to_string()).expect("a displayed key parses");
        assert_eq!(again.canonical(), key.canonical());
    }
    if let Ok(code) = AuthCode::parse(text) {
        assert!(code.matches(code.digits()));
    }
    if let Ok(code) = PairingCode::parse(text) {
        let shown = code.display().to_string();
        let again = PairingCode::parse(&shown).expect("a displayed code parses");
        assert_eq!(again.display().to_string(), shown);
    }
    assert!(!escape(text).to_string().chars().any(char::is_control));
}
