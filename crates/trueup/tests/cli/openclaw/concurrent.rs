//! A gateway that writes while trueup reads: a few bytes at a time, and whole files renamed over.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use super::expected::Expected;
use super::folders::check;
use super::tree::{SESSIONS, Tree, base_lines};
use crate::home::Running;

/// Longest of one write.
const WRITE_BYTES_MAX: usize = 97;

/// Sessions that are written, each with the same calls: those of all count once.
const SESSIONS_WRITTEN: usize = 6;

/// Totals of the base session after each of its calls.
const TOTALS: [u64; 4] = [0, 1_090, 2_202, 3_358];

/// Reads, in processes of their own, while another thread writes.
pub(super) fn prove(expected: &Expected) {
    let tree = Tree::named();
    fs::create_dir_all(tree.at(SESSIONS)).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_all(&tree));
        let mut last = 0;
        while !writer.is_finished() {
            last = assert_goes_on(&tree, last);
        }
    });
    check(&tree, "kept", expected.r#final.as_ref().unwrap());
    check(&tree, "fresh", expected.r#final.as_ref().unwrap());
}

/// A total that is one of the base session's, and none before `last`.
fn assert_goes_on(tree: &Tree, last: u64) -> u64 {
    let (exact, estimated) = tree.tokens("kept");
    assert!(TOTALS.contains(&exact) && exact >= last, "{exact} after {last}");
    assert_eq!(estimated, 0);
    exact
}

/// Every other session grows by a few bytes, the others are each time another file.
fn write_all(tree: &Tree) {
    let text = base_lines().concat().into_bytes();
    for number in 0..SESSIONS_WRITTEN {
        let path = tree.at(&format!("{SESSIONS}/s{number}.jsonl"));
        if number % 2 == 0 {
            let mut file = File::create(path).unwrap();
            for (at, piece) in pieces(&text).enumerate() {
                file.write_all(piece).unwrap();
                file.sync_data().unwrap();
                pause(at);
            }
        } else {
            let new = tree.at("being-written");
            for (at, end) in (0..=text.len()).step_by(text.len() / 12).enumerate() {
                fs::write(&new, &text[..end]).unwrap();
                fs::rename(&new, &path).unwrap();
                pause(at);
            }
            fs::write(&new, &text).unwrap();
            fs::rename(&new, &path).unwrap();
        }
    }
}

/// Now and then a reader gets far enough to see what was written so far.
fn pause(at: usize) {
    if at.is_multiple_of(3) {
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Pieces of 1 to 97 bytes.
fn pieces(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut at = 0_usize;
    std::iter::from_fn(move || {
        at += 1;
        let length = (1 + at * 31 % WRITE_BYTES_MAX).min(text.len());
        let (piece, rest) = text.split_at(length);
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

#[test]
fn a_process_that_keeps_watching_sees_every_piece() {
    let tree = Tree::named();
    fs::create_dir_all(tree.at(SESSIONS)).unwrap();
    let mut command = tree.command("kept", "sync --watch");
    command.env("TRUEUP_SYNC_INTERVAL", "1ms").stdout(Stdio::null());
    let mut keeper = Running(command.spawn().unwrap());
    write_all(&tree);
    let mut last = 0;
    // The keeper holds the ledger: reports say what it has read so far.
    while last < TOTALS[3] {
        last = assert_goes_on(&tree, last);
    }
    keeper.kill();
    assert_eq!(tree.tokens("kept"), (3_358, 0));
    tree.assert_settled("kept");
    assert_eq!(tree.tokens("fresh"), (3_358, 0));
}
