//! What OpenAI's projects and keys are called: lists, page by page.
//!
//! ```json
//! {"object":"list","data":[{"id":"proj_a","object":"organization.project","name":"Search"}],
//!  "first_id":"proj_a","last_id":"proj_a","has_more":false}
//! ```
//!
//! Source: the official API description. A key without a name is called by its redacted value.

use std::borrow::Cow;

use trueup_core::{BilledName, Issue, IssueCode, Request};

use crate::fields::{Fields, shape_unknown};
use crate::{Cursor, NamesOf, NamesPage};

/// Longest id of a project.
const ID_BYTES_MAX: usize = 128;

/// How to ask for a page.
pub(super) fn request(of: NamesOf<'_>, after: Option<&Cursor>) -> Option<Request> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut query = vec![pair("limit", "100")];
    let path = match of {
        NamesOf::Projects => {
            query.push(pair("include_archived", "true"));
            Cow::Borrowed("/organization/projects")
        }
        NamesOf::Keys(project) if is_id(project) => {
            Cow::Owned(format!("/organization/projects/{project}/api_keys"))
        }
        NamesOf::Keys(_) => return None,
    };
    query.extend(after.map(|after| pair("after", after.text())));
    Some(Request { path, query, headers: Vec::new() })
}

/// Whether an id can stand in a path and lead nowhere else.
fn is_id(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// What a page says.
pub(super) fn page(of: NamesOf<'_>, body: &[u8]) -> Result<NamesPage, Issue> {
    let mut page = Fields::of_body(body)?;
    let data = page.list("data").ok_or_else(|| shape_unknown("the answer has no list `data`"))?;
    let mut told = NamesPage::default();
    let mut last = page.text("last_id");
    let kind = match of {
        NamesOf::Projects => "project",
        NamesOf::Keys(_) => "key",
    };
    for one in data {
        let Some(mut one) = Fields::of(one) else { continue };
        let Some(id) = one.text("id") else { continue };
        let name = one.text("name").filter(|name| !name.is_empty());
        let name = name.or_else(|| one.text("redacted_value"));
        let name = name.map(|name| BilledName {
            kind: kind.into(),
            id: id.as_str().into(),
            name: name.as_str().into(),
        });
        told.names.extend(name);
        told.ids.push(id);
    }
    let has_more = page.take_some("has_more").is_some_and(|raw| raw.get() == "true");
    if has_more {
        last = last.or_else(|| told.ids.last().cloned());
        let missing =
            || Issue::new(IssueCode::CursorMissing, "there are more names, and no cursor");
        told.next = Some(Cursor::new(&last.ok_or_else(missing)?)?);
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_names_and_leads_to_the_next() {
        let body = br#"{"object":"list","data":[{"id":"proj_a","name":"Search","archived_at":null},
            {"id":"proj_b","name":null},{"name":"none"},7],"last_id":"proj_b","has_more":true}"#;
        let told = page(NamesOf::Projects, body).unwrap();
        assert_eq!(told.ids, ["proj_a", "proj_b"]);
        assert_eq!(told.names.len(), 1);
        assert_eq!((&*told.names[0].kind, &*told.names[0].name), ("project", "Search"));
        let next = request(NamesOf::Projects, told.next.as_ref()).unwrap().target();
        assert_eq!(next, "/organization/projects?limit=100&include_archived=true&after=proj_b");
        let keys =
            br#"{"data":[{"id":"key_1","name":"","redacted_value":"sk-...abc"}],"has_more":false}"#;
        let told = page(NamesOf::Keys("proj_a"), keys).unwrap();
        assert_eq!((&*told.names[0].name, &told.next), ("sk-...abc", &None));
    }

    #[test]
    fn what_is_no_list_is_named_and_no_id_leads_elsewhere() {
        let code = |body: &[u8]| page(NamesOf::Projects, body).unwrap_err().code;
        assert_eq!(code(b"<html>"), IssueCode::NotJson);
        assert_eq!(code(b"{}"), IssueCode::ShapeUnknown);
        assert_eq!(code(br#"{"data":[],"has_more":true}"#), IssueCode::CursorMissing);
        let evil = br#"{"data":[],"has_more":true,"last_id":"https://evil.example/"}"#;
        assert_eq!(code(evil), IssueCode::CursorInvalid);
        let keys = |project: &str| request(NamesOf::Keys(project), None);
        assert_eq!(keys("proj_a").unwrap().path, "/organization/projects/proj_a/api_keys");
        for project in ["", "..", "a/b", "a?b", "a#b", "a%2f", "ä", &"a".repeat(129)] {
            assert_eq!(keys(project), None, "{project}");
        }
    }
}
