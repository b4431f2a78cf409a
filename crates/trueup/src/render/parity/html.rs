//! A page that needs nothing else: no script, no font, nothing from elsewhere.

use std::io::Write as _;

use anyhow::Result;

use super::group::groups;
use super::{
    Shown, against, amount, captured, days, last_day, price, quantity, remarks, side, tie_out,
    verdict,
};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;\
padding:0 1rem;color:#1c1c1c;background:#fff}table{border-collapse:collapse;margin:1rem 0;width:100%}\
th,td{padding:.3rem .6rem;text-align:left;border-bottom:1px solid #ccc;vertical-align:top}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.fail{color:#a40000;font-weight:600}\
.warn{color:#7a5300}code{font-size:.9em}@media(prefers-color-scheme:dark){body{color:#eee;\
background:#161616}th,td{border-color:#444}.fail{color:#ff8a80}.warn{color:#ffd180}}";

pub(super) fn write(shown: &Shown<'_>, out: &mut Vec<u8>) -> Result<()> {
    let run = shown.run;
    let title = format!("Parity, {} to {}", run.from.utc_date(), last_day(run));
    writeln!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         <p><strong>{}</strong> Days are in UTC.</p>",
        escaped(&verdict(shown))
    )?;
    differences(shown, out)?;
    for pair in &run.pairs {
        comparison(pair, out)?;
    }
    writeln!(out, "<p>{}</p>\n<ul>", escaped(&tie_out(run)))?;
    for remark in remarks(shown) {
        writeln!(out, "<li>{}</li>", escaped(&remark))?;
    }
    writeln!(out, "</ul>\n<p>Run <code>{}</code></p>\n</main>\n</body>\n</html>", run.run_id)?;
    Ok(())
}

fn differences(shown: &Shown<'_>, out: &mut Vec<u8>) -> Result<()> {
    let groups = groups(shown.run);
    if groups.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<h2>Where the rest is</h2>\n<table>\n<thead><tr><th>class</th><th>provider</th>\
         <th>days</th><th>where</th><th>first side</th><th>second side</th></tr></thead>\n<tbody>"
    )?;
    for group in &groups {
        let (left, right) = group.sides;
        let accepted = group.accepted.map(|reason| format!(", accepted: {reason}"));
        let meaning = format!("{}{}", group.class.meaning(), accepted.unwrap_or_default());
        let look = if group.accepted.is_some() { "" } else { group.severity.name() };
        writeln!(
            out,
            "<tr><td><span class=\"{look}\">{}</span><br><small>{}</small></td><td>{}</td>\
             <td>{}</td><td>{}</td><td>{}: {}</td><td>{}: {}</td></tr>",
            group.class.name(),
            escaped(&meaning),
            escaped(group.provider),
            group.when(),
            escaped(&group.place_and_whose()),
            side(left),
            group.own(),
            side(right),
            group.says(&group.right),
        )?;
    }
    writeln!(out, "</tbody>\n</table>")?;
    Ok(())
}

fn comparison(pair: &trueup_core::reconcile::PairResult, out: &mut Vec<u8>) -> Result<()> {
    let sentences =
        [Some(format!("{}.", days(pair))), captured(pair).map(|it| it + "."), price(pair)];
    writeln!(
        out,
        "<h2>{}</h2>\n<p>{}</p>\n<table>\n<thead><tr><th></th><th>side</th>\
         <th class=\"n\">matched</th><th class=\"n\">variance</th><th class=\"n\">missing</th>\
         <th class=\"n\">total</th></tr></thead>\n<tbody>",
        escaped(&against(&pair.provider, pair.sides)),
        escaped(&sentences.into_iter().flatten().collect::<Vec<_>>().join(" "))
    )?;
    for line in &pair.ties {
        let name = if line.is_estimated { "~ claimed" } else { line.side.name() };
        writeln!(out, "<tr><td>{}</td><td>{name}</td>", quantity(line.quantity))?;
        for number in [&line.matched, &line.variance, &line.missing, &line.total] {
            writeln!(out, "<td class=\"n\">{}</td>", amount(line.quantity, number))?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(out, "</tbody>\n</table>")?;
    Ok(())
}

/// Text that is no markup, in HTML and in XML. What XML cannot hold at all becomes a mark.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}
