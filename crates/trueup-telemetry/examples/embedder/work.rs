//! What the program does, with telemetry or without: turns of 64 sessions, for some seconds.

use std::fs;
use std::io::Write as _;
use std::thread;
use std::time::Duration;

const TURNS: u64 = 10_000;
const SESSIONS: u64 = 64;
/// So many turns come at once, and then a pause: the log is written some ten times.
const AT_ONCE: u64 = 100;
const PAUSE: Duration = Duration::from_millis(25);

/// One turn of an agent.
pub(crate) struct Turn {
    pub(crate) session: String,
    pub(crate) tokens_input: u64,
    pub(crate) tokens_output: u64,
    pub(crate) duration_ms: u64,
}

/// Does it all. Who wants to know of a turn is told.
pub(crate) fn work(mut tell: impl FnMut(&Turn)) {
    let mut chance = 42_u64;
    let mut below = |max: u64| {
        chance =
            chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % max
    };
    for number in 0..TURNS {
        tell(&Turn {
            session: format!("session-{}", number % SESSIONS),
            tokens_input: below(200_000),
            tokens_output: below(9_000),
            duration_ms: below(90_000),
        });
        if number % AT_ONCE == 0 {
            thread::park_timeout(PAUSE);
        }
    }
}

/// Prints what the system says of the memory of this process.
pub(crate) fn print_memory() -> std::io::Result<()> {
    let status = fs::read("/proc/self/status")?;
    let is_of_memory = |line: &&[u8]| {
        [&b"VmHWM"[..], b"VmRSS", b"RssAnon"].iter().any(|name| line.starts_with(name))
    };
    for line in status.split(|byte| *byte == b'\n').filter(is_of_memory) {
        std::io::stdout().write_all(&[line, b"\n"].concat())?;
    }
    Ok(())
}
