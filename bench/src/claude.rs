//! Claude Code: `.claude/projects/<cwd>/<session>.jsonl` with sub-agents beside it.
//!
//! A session is turns of one response each; the decks below make sure that every trap occurs in
//! the smallest corpus, and the rates keep it rare in a large one.

mod lines;
mod traps;

use anyhow::Result;

use self::lines::{Response, Shape, Thread};
#[cfg(test)]
pub(crate) use self::traps::TRAPS;
use self::traps::{
    ADVISOR, ASIDE, FAST, FIRST_LINE, IMAGE, JUNK, NO_REQUEST, NO_REQUEST_COPY, NULL_CACHE,
    NULL_OTHER, OLD_WRITE, PROGRESS, RESUMED, SPACED, STREAMED, SYNTHETIC, TASK, TORN,
    TWO_REQUESTS,
};
use crate::desk::{Desk, Growing};
use crate::instant::{self, DAY_MS, END_MS, HOUR_MS};
use crate::truth::{Call, Usage};

/// The name of this agent in truth and reports.
pub(crate) const NAME: &str = "claude-code";

const MODELS: &[&str] =
    &["claude-opus-4-8", "claude-opus-4-8", "claude-sonnet-4-6", "claude-haiku-4-5-20251001"];
const CWDS: &[&str] = &[
    "/home/dev/work/ledger",
    "/home/dev/work/api-server",
    "/home/dev/work/web.ui",
    "/home/dev/src/compiler",
    "/home/dev/src/infra",
    "/home/dev/notes",
    "/srv/ci/build_7",
    "/home/dev/work/mobile-app",
];
const BRANCHES: &[&str] = &["main", "feature/totals", "fix-412"];

/// The first responses of a corpus; afterwards odd shapes come at the rates of [`odd_shape`].
const SHAPES: &[Shape] = &[
    Shape::Plain,
    Shape::NullCacheRead,
    Shape::NoRequest,
    Shape::Spaced,
    Shape::Advisor,
    Shape::TwoRequests,
    Shape::Synthetic,
    Shape::NullRequest,
    Shape::OldCacheWrite,
    Shape::Fast,
    Shape::NullCacheWrite,
    Shape::NullCost,
    Shape::NullSpeed,
];

/// What makes a session special.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    Plain,
    Resume,
    Task,
    Aside,
    TornTail,
    Image,
    Junk,
}

const SCENES: &[Scene] = &[
    Scene::Task,
    Scene::Resume,
    Scene::Aside,
    Scene::Image,
    Scene::TornTail,
    Scene::Junk,
    Scene::Plain,
    Scene::Task,
    Scene::Resume,
];

/// Mean bytes of a session file in a large corpus.
const SESSION_BYTES_MEAN: u64 = 600_000;
/// Mean bytes of the first sessions, which must be small enough to be copied.
const EARLY_BYTES_MEAN: u64 = 60_000;
/// Copies are of at most this many bytes, so that they stay a small part of a corpus.
const RESUME_BYTES_MAX: usize = 400_000;
/// The longest image line.
const IMAGE_BYTES_MAX: u64 = 4_000_000;

/// The state of one run over all sessions.
#[derive(Debug)]
struct Writer<'d, 'a> {
    desk: &'d mut Desk<'a>,
    budget: u64,
    responses: usize,
    sessions: usize,
    /// The last session that may be resumed.
    earlier: Option<Earlier>,
}

/// A finished session and where its lines may be cut for a copy.
#[derive(Debug)]
struct Earlier {
    thread: Thread,
    cuts: Vec<Cut>,
}

/// An offset after a whole turn, and the tokens of the lines before it.
#[derive(Debug, Clone, Copy, Default)]
struct Cut {
    offset: usize,
    /// Kept tokens of responses with a request id.
    tokens: u64,
    /// All tokens on lines without a request id.
    unkeyed: u64,
}

/// A session while it is written.
#[derive(Debug)]
struct Open {
    thread: Thread,
    cuts: Vec<Cut>,
    /// Plain responses that a side chain may replay.
    plain: Vec<Response>,
}

/// Writes sessions until `budget` bytes are reached.
pub(crate) fn generate(desk: &mut Desk<'_>, budget: u64) -> Result<()> {
    let mut writer = Writer { desk, budget, responses: 0, sessions: 0, earlier: None };
    while writer.desk.tree.bytes < budget || writer.sessions < SCENES.len() {
        writer.session()?;
    }
    Ok(())
}

/// Continues a session file by about `bytes`; completes a torn line first.
pub(crate) fn append(desk: &mut Desk<'_>, file: &mut Growing, bytes: u64) -> Result<()> {
    let mut open = Open::new(desk, file.session.clone(), file.project.clone(), file.now_ms);
    if let Some((rest, call)) = file.torn.take() {
        open.thread.out.extend_from_slice(rest.as_bytes());
        desk.call(&call);
    }
    let mut writer =
        Writer { desk, budget: bytes, responses: SHAPES.len(), sessions: 0, earlier: None };
    while (open.thread.out.len() as u64) < bytes {
        writer.turn(&mut open)?;
    }
    file.now_ms = open.thread.now_ms;
    desk.tree.extend(&file.path, &open.thread.out, open.thread.now_ms)
}

impl Open {
    fn new(desk: &mut Desk<'_>, session: String, cwd: String, now_ms: i64) -> Self {
        let branch = desk.rng.pick(BRANCHES);
        let thread =
            Thread { session, cwd, branch, agent: None, now_ms, out: Vec::new(), last_uuid: None };
        Self { thread, cuts: vec![Cut::default()], plain: Vec::new() }
    }
}

impl Writer<'_, '_> {
    fn session(&mut self) -> Result<()> {
        let scene = SCENES.get(self.sessions).copied().unwrap_or_else(|| odd_scene(self.desk));
        let early = self.sessions < SCENES.len();
        self.sessions += 1;
        let session = self.desk.rng.uuid();
        let (cwd, now_ms) =
            (self.desk.rng.pick(CWDS).to_owned(), instant::start(&mut self.desk.rng, early));
        let mut open = Open::new(self.desk, session, cwd, now_ms);
        if scene == Scene::Resume {
            self.resume(&mut open);
        }
        let copied = open.thread.out.len() as u64;
        let most = if early { EARLY_BYTES_MEAN } else { SESSION_BYTES_MEAN };
        let mean = most.min(self.budget / 16).max(6_000);
        let wanted = copied + self.desk.rng.long_tail(mean).max(6_000);
        self.turn(&mut open)?;
        self.special(scene, &mut open)?;
        while (open.thread.out.len() as u64) < wanted && open.thread.now_ms < END_MS - HOUR_MS {
            self.turn(&mut open)?;
        }
        self.finish(open, scene)
    }

    fn special(&mut self, scene: Scene, open: &mut Open) -> Result<()> {
        match scene {
            Scene::Task => self.task(open),
            Scene::Aside => self.aside(open),
            Scene::Image => {
                self.desk.trap(&IMAGE, 0);
                open.thread.image(self.desk, (self.budget / 12).min(IMAGE_BYTES_MAX))
            }
            Scene::Junk => self.junk(&open.thread),
            Scene::Plain | Scene::Resume | Scene::TornTail => Ok(()),
        }
    }

    fn finish(&mut self, mut open: Open, scene: Scene) -> Result<()> {
        let torn = if scene == Scene::TornTail { Some(self.tear(&mut open)?) } else { None };
        let thread = &open.thread;
        let path = format!("{}/{}.jsonl", folder(&thread.cwd), thread.session);
        self.desk.tree.write(&path, &thread.out, thread.now_ms)?;
        self.desk.tree.growing.push(Growing {
            agent: NAME.to_owned(),
            path,
            session: thread.session.clone(),
            project: thread.cwd.clone(),
            model: String::new(),
            now_ms: thread.now_ms,
            counters: None,
            torn,
        });
        if scene != Scene::Resume && scene != Scene::TornTail {
            self.earlier = Some(Earlier { thread: open.thread, cuts: open.cuts });
        }
        Ok(())
    }

    /// Begins with a verbatim copy of the earlier session's first turns, and later than its end.
    fn resume(&mut self, open: &mut Open) {
        let Some(earlier) = self.earlier.take() else { return };
        let fits = |cut: &&Cut| cut.offset <= RESUME_BYTES_MAX && cut.offset > 0;
        let Some(cut) = earlier.cuts.iter().rfind(fits).or(earlier.cuts.get(1)) else { return };
        if earlier.thread.now_ms > END_MS - DAY_MS {
            return;
        }
        open.thread.out.extend_from_slice(earlier.thread.out.get(..cut.offset).unwrap_or_default());
        open.thread.cwd = earlier.thread.cwd;
        open.thread.now_ms =
            instant::advance(earlier.thread.now_ms, self.desk.rng.millis(HOUR_MS / 4, 6 * HOUR_MS));
        self.desk.trap(&RESUMED, cut.tokens.cast_signed());
        if cut.unkeyed > 0 {
            self.desk.trap(&NO_REQUEST_COPY, cut.unkeyed.cast_signed());
        }
    }

    /// One prompt now and then, one response, one tool result, some chatter.
    fn turn(&mut self, open: &mut Open) -> Result<()> {
        open.thread.now_ms =
            instant::advance(open.thread.now_ms, self.desk.rng.millis(1_500, 40_000));
        if open.cuts.len() % 6 == 1 {
            let bytes = self.desk.rng.long_tail(600);
            open.thread.prompt(self.desk, bytes)?;
        }
        let shape = SHAPES.get(self.responses).copied().unwrap_or_else(|| odd_shape(self.desk));
        self.responses += 1;
        let (tokens, unkeyed) = self.respond(open, shape)?;
        let bytes = self.desk.rng.long_tail(9_000);
        open.thread.tool_result(self.desk, bytes)?;
        for _ in 0..self.desk.rng.below(4) {
            let bytes = self.desk.rng.long_tail(1_600);
            open.thread.chatter(self.desk, bytes)?;
        }
        let last = open.cuts.last().copied().unwrap_or_default();
        open.cuts.push(Cut {
            offset: open.thread.out.len(),
            tokens: last.tokens + tokens,
            unkeyed: last.unkeyed + unkeyed,
        });
        Ok(())
    }

    /// Writes one response and enters it; returns its tokens as (kept with a key, all without).
    fn respond(&mut self, open: &mut Open, shape: Shape) -> Result<(u64, u64)> {
        let response = draw(self.desk, shape);
        let lines_tokens = self.stream(&mut open.thread, &response)?;
        let kept = response.usage.sum();
        if shape == Shape::Synthetic {
            self.desk.trap(&SYNTHETIC, 0);
            return Ok((0, 0));
        }
        let mut tokens = self.enter(&open.thread, response.model, response.usage);
        if let Some((model, advice)) = response.advisor {
            tokens += self.enter(&open.thread, model, advice);
            self.desk.trap(&ADVISOR, -advice.sum().cast_signed());
        }
        match shape {
            Shape::Plain => open.plain.push(response),
            Shape::NullCacheRead | Shape::NullCacheWrite => {
                self.desk.trap(&NULL_CACHE, -kept.cast_signed());
            }
            Shape::NullRequest | Shape::NullCost | Shape::NullSpeed => {
                self.desk.trap(&NULL_OTHER, -kept.cast_signed());
            }
            Shape::Spaced => self.desk.trap(&SPACED, -kept.cast_signed()),
            Shape::Fast => self.desk.trap(&FAST, 0),
            Shape::OldCacheWrite => {
                self.desk.trap(&OLD_WRITE, -response.usage.cache_write_5m.cast_signed());
            }
            Shape::NoRequest => {
                self.desk.trap(&NO_REQUEST, (lines_tokens - kept).cast_signed());
                return Ok((0, lines_tokens));
            }
            Shape::TwoRequests => tokens += self.second_request(&mut open.thread, response)?,
            Shape::Advisor | Shape::Synthetic => {}
        }
        Ok((tokens, 0))
    }

    /// One line per content block, the output count growing; returns the tokens of all lines.
    fn stream(&mut self, thread: &mut Thread, response: &Response) -> Result<u64> {
        let duplicated = response.shape == Shape::NoRequest || response.shape == Shape::NullRequest;
        let most = if response.shape == Shape::Synthetic { 1 } else { 4 };
        let blocks = self.desk.rng.between(if duplicated { 2 } else { 1 }, most);
        let (last, base) = (response.usage.output, response.usage.sum() - response.usage.output);
        let (mut sum, mut output) = (0, last.min(1));
        for _ in 1..blocks {
            thread.assistant(self.desk, response, output, false)?;
            if response.shape != Shape::NoRequest {
                self.desk.trap(&STREAMED, (base + output).cast_signed());
            }
            if sum == 0 {
                self.desk.trap(&FIRST_LINE, output.cast_signed() - last.cast_signed());
            }
            sum += base + output;
            output = self.desk.rng.between(output, last / 3 + 1);
            thread.now_ms += self.desk.rng.millis(100, 4_000);
        }
        thread.assistant(self.desk, response, last, true)?;
        Ok(sum + base + last)
    }

    /// The same message id once more, under another request id: a second call.
    fn second_request(&mut self, thread: &mut Thread, mut response: Response) -> Result<u64> {
        response.request = format!("req_011C{}", self.desk.rng.base62(20));
        thread.now_ms += 1_200;
        thread.assistant(self.desk, &response, response.usage.output, true)?;
        self.desk.trap(&TWO_REQUESTS, -response.usage.sum().cast_signed());
        Ok(self.enter(thread, response.model, response.usage))
    }

    fn enter(&mut self, thread: &Thread, model: &str, usage: Usage) -> u64 {
        self.desk.call(&call(thread, model, usage))
    }

    /// A sub-agent in its own file, repeated as progress, summed up in the task's result.
    fn task(&mut self, open: &mut Open) -> Result<()> {
        let agent = self.desk.rng.hex(8);
        let mut side = open.thread.clone();
        (side.agent, side.out, side.last_uuid) = (Some(agent.clone()), Vec::new(), None);
        side.prompt(self.desk, 400)?;
        let mut last = draw(self.desk, Shape::Plain);
        for _ in 0..self.desk.rng.between(2, 6) {
            side.now_ms = instant::advance(side.now_ms, self.desk.rng.millis(1_500, 9_000));
            last = draw(self.desk, Shape::Plain);
            self.stream(&mut side, &last)?;
            self.enter(&side, last.model, last.usage);
            open.thread.now_ms = side.now_ms;
            open.thread.progress(self.desk, &agent, &last)?;
            self.desk.trap(&PROGRESS, last.usage.sum().cast_signed());
            let bytes = self.desk.rng.long_tail(4_000);
            side.tool_result(self.desk, bytes)?;
        }
        open.thread.task_result(self.desk, &agent, &last)?;
        self.desk.trap(&TASK, last.usage.sum().cast_signed());
        self.write_side(open, &side, &agent)
    }

    /// `/btw`: earlier responses replayed under new request ids and with more cache reads.
    fn aside(&mut self, open: &mut Open) -> Result<()> {
        while open.plain.is_empty() {
            self.turn(open)?;
        }
        let agent = format!("aside_question-{}", self.desk.rng.hex(8));
        let mut side = open.thread.clone();
        (side.agent, side.out, side.last_uuid) = (Some(agent.clone()), Vec::new(), None);
        for replayed in open.plain.iter().rev().take(6) {
            let mut replay = replayed.clone();
            replay.request = format!("req_011C{}", self.desk.rng.base62(20));
            replay.usage.cache_read += self.desk.rng.between(20_000, 90_000);
            side.assistant(self.desk, &replay, replay.usage.output, true)?;
            self.desk.trap(&ASIDE, replay.usage.sum().cast_signed());
        }
        let answer = draw(self.desk, Shape::Plain);
        side.now_ms = instant::advance(side.now_ms, 2_000);
        self.stream(&mut side, &answer)?;
        self.enter(&side, answer.model, answer.usage);
        self.write_side(open, &side, &agent)
    }

    fn write_side(&mut self, open: &Open, side: &Thread, agent: &str) -> Result<()> {
        let path =
            format!("{}/{}/subagents/agent-{agent}.jsonl", folder(&side.cwd), open.thread.session);
        self.desk.tree.write(&path, &side.out, side.now_ms)
    }

    /// Cuts the file inside its last line; what is missing comes with `append`.
    fn tear(&mut self, open: &mut Open) -> Result<(String, Call)> {
        let thread = &mut open.thread;
        thread.now_ms = instant::advance(thread.now_ms, 3_000);
        let response = draw(self.desk, Shape::Plain);
        let whole = thread.out.len();
        thread.assistant(self.desk, &response, response.usage.output, true)?;
        let missing = self.desk.rng.between(2, 150) as usize;
        let rest = thread.out.split_off((thread.out.len() - missing).max(whole));
        self.desk.trap(&TORN, response.usage.sum().cast_signed());
        Ok((String::from_utf8(rest)?, call(thread, response.model, response.usage)))
    }

    fn junk(&mut self, thread: &Thread) -> Result<()> {
        let folder = folder(&thread.cwd);
        for body in [
            &b""[..],
            b"not json at all\n\"usage\":{\"input_tokens\":7}\n\n",
            b"\x00\xff\xfe{\"type\":\"assistant\"\n",
        ] {
            let path = format!("{folder}/{}.jsonl", self.desk.rng.uuid());
            self.desk.tree.write(&path, body, thread.now_ms)?;
            self.desk.trap(&JUNK, 0);
        }
        Ok(())
    }
}

fn call(thread: &Thread, model: &str, usage: Usage) -> Call {
    let (project, session) = (thread.cwd.clone(), thread.session.clone());
    Call { at_ms: thread.now_ms, model: model.to_owned(), project, session, usage }
}

fn folder(cwd: &str) -> String {
    format!(".claude/projects/{}", cwd.replace(['/', '.', '_'], "-"))
}

fn odd_scene(desk: &mut Desk<'_>) -> Scene {
    match desk.rng.below(100) {
        0..10 => Scene::Resume,
        10..28 => Scene::Task,
        28..33 => Scene::Aside,
        33..36 => Scene::TornTail,
        36..39 => Scene::Image,
        39 => Scene::Junk,
        _ => Scene::Plain,
    }
}

fn odd_shape(desk: &mut Desk<'_>) -> Shape {
    match desk.rng.below(2000) {
        0 => Shape::NullCacheRead,
        1 => Shape::NullCacheWrite,
        2 => Shape::NullRequest,
        3 => Shape::NullCost,
        4 => Shape::NullSpeed,
        5..9 => Shape::NoRequest,
        9 => Shape::Spaced,
        10..14 => Shape::Advisor,
        14..18 => Shape::TwoRequests,
        18..28 => Shape::Synthetic,
        28..60 => Shape::OldCacheWrite,
        60..120 => Shape::Fast,
        _ => Shape::Plain,
    }
}

/// Draws the tokens of one response: about 70,000, most of them read from the cache.
fn draw(desk: &mut Desk<'_>, shape: Shape) -> Response {
    let rng = &mut desk.rng;
    let written = rng.long_tail(2_500);
    let one_hour = shape != Shape::OldCacheWrite && rng.chance(300);
    let mut usage = Usage {
        input: rng.between(1, 40),
        cache_read: rng.long_tail(66_000),
        cache_write_5m: if one_hour { written / 3 } else { written },
        cache_write_1h: if one_hour { written - written / 3 } else { 0 },
        output: rng.long_tail(450) + 2,
        ..Usage::default()
    };
    if shape == Shape::NullCacheRead {
        usage.cache_read = 0;
    } else if shape == Shape::NullCacheWrite {
        (usage.cache_write_5m, usage.cache_write_1h) = (0, 0);
    } else if shape == Shape::Synthetic {
        usage = Usage::default();
    }
    let advice =
        Usage { input: rng.between(900, 9_000), output: rng.between(100, 900), ..Usage::default() };
    Response {
        id: format!("msg_01{}", rng.base62(22)),
        request: format!("req_011C{}", rng.base62(20)),
        model: if shape == Shape::Fast { "claude-opus-4-8" } else { rng.pick(MODELS) },
        usage,
        shape,
        advisor: (shape == Shape::Advisor).then_some(("claude-opus-4-7", advice)),
    }
}
