//! Names that Windows cannot hold safely. Independent of the system, so that every platform tests it. PROTOCOL.md,
//! section 8.2.

/// Whether Windows creates a file with exactly that name, in the intended directory.
#[cfg_attr(not(windows), allow(dead_code))]
pub(crate) fn holds(component: &str) -> bool {
    let unsafe_ends = component.ends_with(['.', ' ']);
    let unsafe_inside = component.contains(['\\', ':', '*', '?', '"', '<', '>', '|']);
    !unsafe_ends && !unsafe_inside && !is_reserved(component)
}

/// Whether the name refers to a device, with or without an extension.
fn is_reserved(component: &str) -> bool {
    let stem = component.split('.').next().unwrap_or(component).trim_end_matches(' ').to_uppercase();
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") {
        return true;
    }
    let number = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    // The superscript digits are reserved as well.
    number.is_some_and(|number| {
        let mut chars = number.chars();
        matches!((chars.next(), chars.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
    })
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn refuses_what_windows_takes_for_something_else() {
        for name in ["a\\b", "C:", "a:b", "*", "a?", "\"", "<", ">", "a|b", "a.", "a ", "..."] {
            assert!(!holds(name), "{name}");
        }
        for name in ["con", "CON.txt", "aux.c", "NUL", "nul .tar.gz", "com1", "LPT9.x", "com¹", "conin$", "prn"] {
            assert!(!holds(name), "{name}");
        }
        for name in ["con1", "auxiliary.c", ".nul", "com", "com10", "lptx", "a b", ".hidden", "ü", "-rf", "com11.txt"]
        {
            assert!(holds(name), "{name}");
        }
    }
}
