/// Events of the manifest, and the keys that a record of each may have.
pub(crate) const EVENTS: &[(&str, &[&str])] = &[
    ("installed", &[]),
    ("search_rollup", &["outcome", "results", "duration_ms"]),
];
