//! The work of `embedder` in a program that has no telemetry in it: how large that is.

mod work;

fn main() -> std::io::Result<()> {
    let mut tokens = 0;
    work::work(|turn| {
        let both = turn.tokens_input.saturating_add(turn.tokens_output);
        tokens = tokens
            .max(both.saturating_add(turn.duration_ms).saturating_add(turn.session.len() as u64));
    });
    std::hint::black_box(tokens);
    work::print_memory()
}
