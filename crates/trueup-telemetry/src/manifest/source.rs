//! The events of a manifest as constants of Rust, by which `instrument!` knows at compile time what
//! there is.

use std::fmt::Write as _;

use super::Manifest;

impl Manifest {
    /// Source code for a product's `build.rs` to write: the constant `EVENTS` with every event that
    /// records go to, and the keys that each may have.
    ///
    /// ```
    /// use trueup_telemetry::manifest::Manifest;
    /// let manifest = Manifest::parse(
    ///     r#"
    ///     product = "example"
    ///     env_prefix = "EXAMPLE"
    ///     [fields]
    ///     tokens = { u64 = true }
    ///     [[rollup]]
    ///     event = "turns"
    ///     grain = "1d"
    ///     sum = ["tokens"]
    ///     "#,
    ///     "telemetry.toml",
    /// )?;
    /// assert!(manifest.rust_source().contains(r#"("turns", &["tokens"]),"#));
    /// # Ok::<(), trueup_telemetry::manifest::ManifestError>(())
    /// ```
    #[must_use]
    pub fn rust_source(&self) -> String {
        let mut source = String::from(
            "/// Events of the manifest, and the keys that a record of each may have.\n\
             pub(crate) const EVENTS: &[(&str, &[&str])] = &[\n",
        );
        for (event, fields) in &self.accepted {
            let keys: Vec<String> =
                fields.iter().map(|id| format!("{:?}", self.name(*id))).collect();
            // Writing to a text cannot fail.
            let _is_written = writeln!(source, "    ({event:?}, &[{}]),", keys.join(", ")).is_ok();
        }
        source.push_str("];\n");
        source
    }
}
