//! Lets PostHog's SDK test harness (<https://github.com/PostHog/posthog-sdk-test-harness>) drive our sink.
//!
//! ```sh
//! cargo run -p trueup-telemetry --example posthog_adapter -- 127.0.0.1:8080 v0
//! docker run --rm --network host ghcr.io/posthog/sdk-test-harness:latest run --adapter-url http://localhost:8080
//! ```

#![expect(clippy::unwrap_used, reason = "a program for tests; what fails ends it")]

#[path = "../tests/it/adapter.rs"]
mod adapter;
#[expect(dead_code, reason = "the tests use all of it")]
#[path = "../tests/it/http.rs"]
mod http;

use std::io::Write as _;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let is_v1 = match arguments.next().as_deref() {
        None | Some("v0") => false,
        Some("v1") => true,
        Some(other) => {
            let told = format!("posthog_adapter [ADDRESS] [v0|v1]: there is no {other}\n");
            std::io::stderr().write_all(told.as_bytes()).unwrap();
            return;
        }
    };
    let server = adapter::start(&address, is_v1);
    let told = format!("listening on {}\n", server.url());
    std::io::stdout().write_all(told.as_bytes()).unwrap();
    loop {
        std::thread::park();
    }
}
