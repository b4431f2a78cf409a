//! CSV that spreadsheets take for data.

/// A name that a spreadsheet takes for a name, not for a formula.
pub(crate) fn harmless(name: &str) -> String {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{name}")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_formulas() {
        assert_eq!(harmless("=cmd()"), "'=cmd()");
        assert_eq!(harmless("claude"), "claude");
    }
}
