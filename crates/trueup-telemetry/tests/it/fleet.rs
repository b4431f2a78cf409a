//! What a fleet sends, whatever happens to it.

use tempfile::TempDir;
use trueup_telemetry::manifest::Manifest;
use trueup_telemetry::simulate::{Figures, Scenario, simulate};

use crate::product::MANIFEST;

/// The default budget.
fn product() -> Manifest {
    let text = MANIFEST.replace("= 20", "= 2").replace("hard_cap = 40", "hard_cap = 6");
    Manifest::parse(&text, "telemetry.toml").unwrap()
}

fn run(scenario: Scenario) -> Figures {
    let folder = TempDir::new().unwrap();
    simulate(&product(), scenario, folder.path()).unwrap()
}

#[test]
fn check_37_a_healthy_fleet_sends_two_events_a_day_and_loses_no_record() {
    let figures = run(Scenario { installs: 12, days: 4, is_bad: false, restarts: 0, seed: 7 });
    assert_eq!(figures.records, figures.told, "{figures:?}");
    assert!(figures.records > 1_000, "{figures:?}");
    assert!(figures.mean() <= 2.1, "{figures:?}");
    assert!(figures.most() <= 6, "{figures:?}");
}

#[test]
fn check_38_no_bad_day_of_a_fleet_passes_the_hard_cap() {
    let figures = run(Scenario { installs: 5, days: 1, is_bad: true, restarts: 200, seed: 7 });
    assert!(figures.most() <= 6, "{figures:?}");
    assert!(figures.events > 0, "{figures:?}");
}
