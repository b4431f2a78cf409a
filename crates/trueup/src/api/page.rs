//! `GET /`: a plain page for a person: what was used, whether all is well, how to post.
//!
//! One document without scripts; the browser is told to load and run nothing beside its own style.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use trueup_core::report::{Report, Sums};
use uuid::Uuid;

use super::App;
use super::health::Health;
use super::ledger::Overview;
use crate::clock;
use crate::render::number;

const STYLE: &str = include_str!("page.css");

/// Agents that a table lists; the total is of all.
const ROWS_MAX: usize = 50;

pub(super) async fn get(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let now = clock::now();
    let overview = app.read(move |path, book| Overview::read(path, book, now)).await;
    let nonce = Uuid::new_v4().simple().to_string();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let page = Page { overview: overview.ok(), health: app.health(), now: now.to_string(), host };
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, &policy),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, page.html(&nonce)).into_response()
}

/// What the page shows.
struct Page<'a> {
    /// Missing where the ledger is busy.
    overview: Option<Overview>,
    health: Health,
    now: String,
    host: &'a str,
}

impl Page<'_> {
    fn html(&self, nonce: &str) -> String {
        let usage = match &self.overview {
            Some(overview) => {
                table("Today", &overview.today) + &table("This month", &overview.month)
            }
            None => "<p class=\"bad\">The ledger is busy; reload in a moment.</p>".to_owned(),
        };
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>trueup</title>\
             <style nonce=\"{nonce}\">{STYLE}</style></head><body>\n<h1>trueup</h1>\n\
             <p class=\"quiet\">{} · days and months in UTC</p>\n{usage}{}{}</body></html>\n",
            escaped(&self.now),
            health(&self.health),
            post(self.host),
        )
    }
}

fn table(title: &str, report: &Report) -> String {
    if report.rows.is_empty() {
        return format!("<h2>{title}</h2>\n<p class=\"quiet\">No usage.</p>\n");
    }
    let mut html = format!("<h2>{title}</h2>\n<table><tr><th>Agent</th>");
    for name in ["Calls", "Input", "Cached", "Output", "Total tokens", "Cost"] {
        push(&mut html, format_args!("<th class=\"number\">{name}</th>"));
    }
    html.push_str("</tr>\n");
    for report_row in report.rows.iter().take(ROWS_MAX) {
        let name = report_row.keys.first().map_or("", |key| &**key);
        row(&mut html, name, &report_row.sums);
    }
    row(&mut html, "Total", &report.totals);
    html.push_str("</table>\n");
    if report.totals.exact.unpriced_calls > 0 {
        let calls = number::grouped(report.totals.exact.unpriced_calls);
        push(
            &mut html,
            format_args!(
                "<p class=\"quiet\">{calls} calls have no known price: they are in no cost.</p>\n"
            ),
        );
    }
    if report.totals.estimated.calls > 0 {
        html.push_str(
            "<p class=\"quiet\">Beside these, agents claim sessions of which no call was recorded: \
             see <code>trueup report</code>.</p>\n",
        );
    }
    html
}

fn row(html: &mut String, name: &str, sums: &Sums) {
    let sum = &sums.exact;
    let tokens = &sum.tokens;
    push(html, format_args!("<tr><td>{}</td>", escaped(name)));
    for count in [
        sum.calls,
        tokens.input.saturating_add(tokens.cache_written()),
        tokens.cache_read,
        tokens.output,
        tokens.total(),
    ] {
        push(html, format_args!("<td class=\"number\">{}</td>", number::grouped(count)));
    }
    let cost = number::dollars(sum.cost_nanousd());
    push(html, format_args!("<td class=\"number\">{cost}</td></tr>\n"));
}

fn health(health: &Health) -> String {
    let class = if health.status == "ok" { "good" } else { "bad" };
    let mut html =
        format!("<h2>Health: <span class=\"{class}\">{}</span></h2>\n<table>", health.status);
    let error = health.db_error.as_deref().or(health.sync_error.as_deref()).unwrap_or("none");
    let last_sync = health.last_sync.map_or_else(|| "not yet".to_owned(), |time| time.to_string());
    for (name, value) in [
        ("Last sync", last_sync),
        ("Problem", error.to_owned()),
        ("Queue", format!("{} of {} records", health.queue_depth, health.queue_capacity)),
        ("Dropped", number::grouped(health.dropped_total)),
        ("Ledger", health.ledger.clone().unwrap_or_default()),
        ("Size", number::bytes(health.db_size_bytes.saturating_add(health.wal_size_bytes))),
        ("Disk", health.disk_status.to_owned()),
        ("Version", health.version.to_owned()),
    ] {
        push(&mut html, format_args!("<tr><th>{name}</th><td>{}</td></tr>\n", escaped(&value)));
    }
    html.push_str("</table>\n");
    html
}

fn post(host: &str) -> String {
    format!("<h2>Post a trace</h2>\n<pre>{}</pre>\n", escaped(&example(host)))
}

/// A command that can be copied, in lines that fit into the page.
fn example(host: &str) -> String {
    format!(
        r#"curl http://{host}/v1/traces \
  -H 'Content-Type: application/json' \
  -d '{{"provider": "openai", "model": "gpt-5.5",
       "prompt_tokens": 1020, "completion_tokens": 52}}'"#
    )
}

fn push(html: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _is_written = html.write_fmt(part).is_ok();
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_markup() {
        assert_eq!(escaped("<b a='\"'>&"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
        assert!(post("<x>").contains("http://&lt;x&gt;/v1/traces"));
    }

    #[test]
    fn the_example_fits_into_the_page_and_is_a_trace() {
        let example = example("127.0.0.1:9090");
        assert!(example.lines().all(|line| line.len() <= 60), "{example}");
        let (_, body) = example.split_once("-d '").unwrap();
        let body: serde_json::Value = serde_json::from_str(body.trim_end_matches('\'')).unwrap();
        assert_eq!(body["model"], "gpt-5.5");
    }
}
