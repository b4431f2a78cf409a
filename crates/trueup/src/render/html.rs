//! A page that shows figures by itself: the one of `ui/dist/report.html`, with data put into it.
//!
//! ```text
//! …<script type="application/json" id="data">{"version":"0.1.0","cli":"trueup report --html…
//! ```
//!
//! Names are whatever agents wrote. Where the data stands, none of them can end its element or begin
//! another: what could is escaped.

use std::io::{Read as _, Write};

use anyhow::{Context as _, Result};
use flate2::read::GzDecoder;
use serde_json::Value;

/// The page without data, as `npm run build` in `ui` leaves it.
const PAGE: &[u8] = include_bytes!("../../../../ui/dist/report.html.gz");

/// Behind this, data belong.
const PLACE: &str = r#"<script type="application/json" id="data">"#;

/// Writes the page of these data.
pub(crate) fn report(data: &Value, out: &mut impl Write) -> Result<()> {
    let mut page = String::new();
    GzDecoder::new(PAGE).read_to_string(&mut page).context("the program is damaged")?;
    let (before, after) = page.split_once(PLACE).context("the program is damaged")?;
    write!(out, "{before}{PLACE}{}{after}", embedded(data))?;
    Ok(())
}

/// JSON that can stand inside of a `script` element. All of what is escaped is only ever in its texts.
fn embedded(data: &Value) -> String {
    let mut escaped = String::new();
    for letter in data.to_string().chars() {
        match letter {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_name_ends_the_data_and_each_comes_back() {
        for name in [
            "</script><script>alert(1)</script>",
            "<!--<script>",
            "]]>&amp;&lt;",
            "a\u{2028}b\u{2029}c",
            "\u{202e}txt.exe 🦀 שלום \u{0}\\u003c",
        ] {
            let data = json!({ name: name });
            let text = embedded(&data);
            assert!(!text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{text}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), data);
        }
    }

    #[test]
    fn the_page_has_one_place_for_data_and_loads_nothing() {
        let mut page = Vec::new();
        report(&json!({"here": 1}), &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert_eq!(page.matches(PLACE).count(), 1);
        assert!(page.contains(r#"id="data">{"here":1}</script>"#));
        assert_eq!(page.matches("<script").count(), 2);
        assert_eq!(page.matches("<style").count(), 1);
        assert!(page.contains("default-src 'none'; script-src 'sha256-"));
        for unwanted in [" src=", "<link", "https:", "@import", "url(http", "'unsafe"] {
            assert!(!page.contains(unwanted), "{unwanted}");
        }
    }
}
