//! The stand-in as a program: `provider-sim [PORT [SEED]]`, until it is killed.

use std::io::{Write as _, stdout};

use provider_sim::{KEY, Plan, Sim};

/// Days of the world: as many as are asked for at most at once.
const DAYS: i64 = 35;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let mut number = |or: u64| arguments.next().and_then(Result::ok).unwrap_or(or);
    let port = u16::try_from(number(0)).unwrap_or(0);
    let plan = Plan {
        seed: number(7),
        days: DAYS,
        page_buckets: 9,
        has_analytics: true,
        ..Plan::default()
    };
    let sim = Sim::start_at(plan, port)?;
    writeln!(stdout(), "{} {KEY}", sim.url())?;
    loop {
        std::thread::park();
    }
}
