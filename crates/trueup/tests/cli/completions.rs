//! What packages hold of the command line.

use std::fs;

use crate::home::{Home, text_of};

const VERBS: [&str; 4] = ["report", "serve", "hooks", "completions"];

#[test]
fn shells_complete_every_verb() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.transcript(&format!("completions {shell}"));
        assert!(VERBS.iter().all(|verb| script.contains(verb)), "{script}");
        // Options of every verb, and those that are made from the settings.
        assert!(script.contains("openclaw-dir") && script.contains("max-text-bytes"), "{script}");
    }
}

#[test]
fn every_verb_has_a_manual_page() {
    let home = Home::new();
    fs::create_dir(home.at("man")).unwrap();
    home.transcript("man man");
    for verb in VERBS {
        let page = text_of(home.at(&format!("man/trueup-{verb}.1")));
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    let missing = home.transcript("man nowhere");
    assert!(missing.contains("cannot write into nowhere"), "{missing}");
}
