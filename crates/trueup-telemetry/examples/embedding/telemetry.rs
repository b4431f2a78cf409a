/// Events of the manifest, and the keys that a record of each may have.
pub(crate) const EVENTS: &[(&str, &[&str])] = &[
    ("installed", &[]),
    ("search_rollup", &["duration_ms", "outcome", "results"]),
];
