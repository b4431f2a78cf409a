# One door for every chore. `just` alone lists them.
set shell := ["bash", "-euo", "pipefail", "-c"]

default:
    @just --list --unsorted

# what an editor save should run
check:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# everything that needs no compiler
tidy:
    .ci/run format spelling manifests policy unused links

# unit, conformance and end-to-end tests
test *ARGS:
    cargo nextest run --workspace --locked {{ARGS}}
    cargo test --doc --workspace --locked -q

# write golden files anew, then read the difference
accept:
    TRUEUP_ACCEPT=1 INSTA_UPDATE=always cargo test --workspace --locked
    git diff --stat

# everything CI runs, in CI's order
ci:
    .ci/run

docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

release:
    cargo build --release --locked -p trueup

# reports against generated truth, and against kill -9
prove: release
    cargo build --release --locked -p trueup-bench
    scripts/prove-truth
    scripts/prove-kill
    scripts/prove-sidecar

# against a real OpenClaw, installed from npm
prove-openclaw: release
    scripts/prove-openclaw

fuzz SECONDS="60" *TARGETS:
    scripts/fuzz {{SECONDS}} {{TARGETS}}
