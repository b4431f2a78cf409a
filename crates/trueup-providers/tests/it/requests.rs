//! What is asked, and what is made of a refusal.

use trueup_core::{IssueCode, Reply};
use trueup_providers::{Ask, Cursor, PROVIDERS, Refusal, Span, provider, refusal};

fn span() -> Span {
    Span::days("2026-11-01", "2026-11-03").unwrap()
}

#[test]
fn cogni_defect_1_a_cursor_is_only_ever_a_value_of_the_query() {
    for provider in PROVIDERS {
        for family in provider.families() {
            let first = Ask::new(family, span());
            let page = Some(Cursor::new("page_AAAA/../v2==").unwrap());
            let next = provider.request(&Ask { page, ..first.clone() });
            let first = provider.request(&first);
            assert_eq!(next.path, first.path);
            // Every parameter of the first page is sent again.
            assert!(next.query.starts_with(&first.query), "{}", family.name);
            assert!(!next.target().contains("/../"));
        }
    }
}

#[test]
fn cogni_defect_2_dimensions_are_sent_one_by_one_and_the_tier_is_among_them() {
    let openai = provider("openai").unwrap();
    let target =
        openai.request(&Ask::new(openai.family("usage/completions").unwrap(), span())).target();
    for dim in
        ["model", "project_id", "api_key_id", "service_tier", "batch", "user_id", "api_source"]
    {
        assert!(target.contains(&format!("group_by%5B%5D={dim}")), "{target}");
    }
    assert!(!target.contains("%2C") && !target.contains(','), "{target}");
}

#[test]
fn cogni_defect_8_the_end_is_exclusive_and_no_window_is_empty() {
    let openai = provider("openai").unwrap();
    let one = Span::days("2026-11-01", "2026-11-02").unwrap();
    let target = openai.request(&Ask::new(openai.family("costs").unwrap(), one)).target();
    assert!(target.contains("start_time=1793491200&end_time=1793577600"), "{target}");
    assert!(one.parts(1).all(|part| part.until > part.from));
    let litellm = provider("litellm").unwrap();
    let target = litellm.request(&Ask::new(&litellm.families()[0], one)).target();
    assert!(target.ends_with("?start_date=2026-11-01&end_date=2026-11-01"), "{target}");
}

fn refused(status: u16, body: &str) -> Refusal {
    let openai = provider("openai").unwrap();
    let ask = Ask::new(openai.family("costs").unwrap(), span());
    refusal(openai, &ask, &Reply { status, body: body.into(), ..Reply::default() })
}

#[test]
fn a_refused_dimension_is_left_out_and_the_least_telling_first() {
    for (body, dim) in [
        ("Unsupported group_by value: api_source", "api_source"),
        ("user_id cannot be combined with project_id", "user_id"),
        ("group_by: too many", "api_source"),
    ] {
        assert!(matches!(refused(400, body), Refusal::Without(left, _) if left == dim), "{body}");
    }
    let final_code = |refusal: Refusal| match &refusal {
        Refusal::Final(issue) => issue.code,
        Refusal::Without(..) | Refusal::Later(_) => panic!("{refusal:?}"),
    };
    assert_eq!(final_code(refused(400, "start_time is in the future")), IssueCode::Refused);
    assert_eq!(final_code(refused(401, "Incorrect API key provided: sk-…")), IssueCode::KeyRefused);
    assert_eq!(final_code(refused(403, "Missing scopes: api.usage.read")), IssueCode::ScopeMissing);
    assert_eq!(final_code(refused(404, "")), IssueCode::NotOffered);
    assert_eq!(final_code(refused(302, "")), IssueCode::Redirected);
    for status in [408, 429, 500, 503] {
        assert!(matches!(refused(status, ""), Refusal::Later(_)), "{status}");
    }
}

#[test]
fn a_refusal_names_the_missing_scope_and_never_the_key() {
    let Refusal::Final(scope) = refused(403, "Missing scopes: api.usage.read") else { panic!() };
    assert!(scope.detail.contains("Missing scopes: api.usage.read; the key must be an admin key"));
    let Refusal::Final(key) = refused(401, "Incorrect API key provided: sk-secret") else {
        panic!()
    };
    assert!(!key.detail.contains("sk-secret"), "{key}");
}
