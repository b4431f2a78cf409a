//! Codex: `.codex/sessions/YYYY/MM/DD/rollout-<time>-<id>.jsonl` and `.codex/archived_sessions`.
//!
//! A rollout repeats itself: counts are re-emitted, forks begin with their parent's whole history,
//! archives keep a copy. The truth counts each advance of a thread's totals once.

mod lines;
mod traps;

use anyhow::Result;

use self::lines::{Origin, Rollout};
#[cfg(test)]
pub(crate) use self::traps::TRAPS;
use self::traps::{
    ARCHIVED, CACHED, FORK, LIMITS_ONLY, NO_MODEL, RE_EMITTED, REASONING, RECORD, RESTART, RESUMED,
    SUBAGENT, SUBAGENT_BURST, TOTALS_ONLY,
};
use crate::desk::{Desk, Growing};
use crate::instant::{self, DAY_MS, END_MS, HOUR_MS};
use crate::truth::{Call, Usage};

/// The name of this agent in truth and reports.
pub(crate) const NAME: &str = "codex";

const MODELS: &[&str] = &["gpt-5.5", "gpt-5.5", "gpt-5.4", "gpt-5.3-codex"];
/// What a rollout without a model is taken for.
const FALLBACK_MODEL: &str = "gpt-5";
const CWDS: &[&str] = &[
    "/home/dev/work/ledger",
    "/home/dev/work/api-server",
    "/home/dev/src/compiler",
    "/home/dev/src/tools",
    "/srv/ci/build_9",
];

/// What makes a rollout special.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    Plain,
    Fork,
    Resume,
    Subagents,
    Archived,
    ArchivedOnly,
    TotalsOnly,
    Restart,
    NoModel,
    Records,
}

const SCENES: &[Scene] = &[
    Scene::Plain,
    Scene::Fork,
    Scene::Subagents,
    Scene::Resume,
    Scene::Archived,
    Scene::TotalsOnly,
    Scene::Restart,
    Scene::NoModel,
    Scene::Records,
    Scene::ArchivedOnly,
    Scene::Plain,
    Scene::Fork,
];

const ROLLOUT_BYTES_MEAN: u64 = 800_000;
/// Mean bytes of the first rollout, which must be small enough to be forked.
const EARLY_BYTES_MEAN: u64 = 80_000;
/// Only rollouts up to this size are forked, so that copies stay a small part of a corpus.
const PARENT_BYTES_MAX: usize = 350_000;

/// The state of one run over all rollouts.
#[derive(Debug)]
struct Writer<'d, 'a> {
    desk: &'d mut Desk<'a>,
    budget: u64,
    rollouts: usize,
    /// The last plain rollout that may be forked.
    earlier: Option<Rollout>,
}

/// Writes rollouts until `budget` bytes are reached.
pub(crate) fn generate(desk: &mut Desk<'_>, budget: u64) -> Result<()> {
    let mut writer = Writer { desk, budget, rollouts: 0, earlier: None };
    while writer.desk.tree.bytes < budget || writer.rollouts < SCENES.len() {
        let scene = SCENES.get(writer.rollouts).copied().unwrap_or_else(|| odd_scene(writer.desk));
        let early = writer.rollouts < SCENES.len();
        writer.rollouts += 1;
        writer.scene(scene, early)?;
    }
    Ok(())
}

/// Continues a rollout by about `bytes`.
pub(crate) fn append(desk: &mut Desk<'_>, file: &mut Growing, bytes: u64) -> Result<()> {
    let model = MODELS.iter().find(|&&model| model == file.model).copied();
    let mut rollout = Rollout {
        id: file.session.clone(),
        cwd: file.project.clone(),
        model,
        started_ms: file.now_ms,
        now_ms: file.now_ms,
        out: Vec::new(),
        totals: file.counters.unwrap_or_default(),
    };
    let mut writer = Writer { desk, budget: bytes, rollouts: 0, earlier: None };
    while (rollout.out.len() as u64) < bytes {
        writer.turn(&mut rollout, Scene::Plain)?;
    }
    (file.now_ms, file.counters) = (rollout.now_ms, Some(rollout.totals));
    desk.tree.extend(&file.path, &rollout.out, rollout.now_ms)
}

impl Writer<'_, '_> {
    fn scene(&mut self, scene: Scene, early: bool) -> Result<()> {
        match scene {
            Scene::Fork | Scene::Resume => match self.parent() {
                Some(parent) => self.copy(scene, &parent),
                None => self.fresh(Scene::Plain, early),
            },
            Scene::Subagents => match self.parent() {
                Some(parent) => self.siblings(&parent),
                None => self.fresh(Scene::Plain, early),
            },
            Scene::Plain
            | Scene::Archived
            | Scene::ArchivedOnly
            | Scene::TotalsOnly
            | Scene::Restart
            | Scene::NoModel
            | Scene::Records => self.fresh(scene, early),
        }
    }

    /// The rollout to be forked, if it is small and leaves room before the end of the corpus.
    fn parent(&self) -> Option<Rollout> {
        let fits = |r: &&Rollout| r.out.len() <= PARENT_BYTES_MAX && r.now_ms < END_MS - DAY_MS;
        self.earlier.as_ref().filter(fits).cloned()
    }

    fn begin(&mut self, now_ms: i64) -> Rollout {
        let rng = &mut self.desk.rng;
        Rollout {
            id: rng.uuid(),
            cwd: rng.pick(CWDS).to_owned(),
            model: Some(rng.pick(MODELS)),
            started_ms: now_ms,
            now_ms,
            out: Vec::new(),
            totals: Usage::default(),
        }
    }

    fn fresh(&mut self, scene: Scene, early: bool) -> Result<()> {
        let now_ms = instant::start(&mut self.desk.rng, early);
        let mut rollout = self.begin(now_ms);
        if scene == Scene::NoModel {
            rollout.model = None;
        }
        rollout.meta(&Origin::Fresh)?;
        self.prompt(&mut rollout)?;
        self.turns(&mut rollout, scene)?;
        self.finish(&rollout, scene)?;
        if scene == Scene::Plain {
            self.earlier = Some(rollout);
        }
        Ok(())
    }

    fn turns(&mut self, rollout: &mut Rollout, scene: Scene) -> Result<()> {
        let most = if self.rollouts < 2 { EARLY_BYTES_MEAN } else { ROLLOUT_BYTES_MEAN };
        let mean = most.min(self.budget / 24).max(8_000);
        let wanted = rollout.out.len() as u64 + self.desk.rng.long_tail(mean).max(8_000);
        self.turn(rollout, scene)?;
        if scene == Scene::Restart {
            self.restart(rollout)?;
        }
        while (rollout.out.len() as u64) < wanted && rollout.now_ms < END_MS - HOUR_MS {
            self.turn(rollout, scene)?;
        }
        Ok(())
    }

    /// A fork or a resumed copy: own meta, the parent's whole history, then own turns.
    fn copy(&mut self, scene: Scene, parent: &Rollout) -> Result<()> {
        let gap = self.desk.rng.millis(HOUR_MS / 4, 5 * HOUR_MS);
        let mut child = self.begin(instant::advance(parent.now_ms, gap));
        child.cwd.clone_from(&parent.cwd);
        child.meta(&Origin::Fork { parent: &parent.id })?;
        let replayed = parent.totals.sum().cast_signed();
        if scene == Scene::Fork {
            child.replay_restamped(self.desk, parent);
            self.desk.trap(&FORK, replayed);
        } else {
            child.replay_verbatim(parent);
            self.desk.trap(&RESUMED, replayed);
        }
        child.now_ms = instant::advance(child.now_ms, self.desk.rng.millis(6_000, 90_000));
        self.prompt(&mut child)?;
        self.turns(&mut child, Scene::Plain)?;
        self.finish(&child, scene)
    }

    /// Sub-agents whose files insert the parent's meta but replay no count; their prompts agree.
    fn siblings(&mut self, parent: &Rollout) -> Result<()> {
        let mut prompt = Vec::new();
        self.desk.text(&mut prompt, 300);
        let meta = parent.out.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
        for sibling in 0..self.desk.rng.between(2, 3) {
            let gap = self.desk.rng.millis(1_000, 60_000);
            let mut child = self.begin(instant::advance(parent.now_ms, gap));
            child.cwd.clone_from(&parent.cwd);
            child.meta(&Origin::Subagent { parent: &parent.id })?;
            child.out.extend_from_slice(meta);
            child.turn_context()?;
            child.prompt(&prompt)?;
            self.first_of_sibling(&mut child, sibling == 0)?;
            self.turns(&mut child, Scene::Plain)?;
            self.desk.trap(&SUBAGENT, -child.totals.sum().cast_signed());
            self.finish(&child, Scene::Subagents)?;
        }
        Ok(())
    }

    /// A sub-agent's first count: one sibling re-emits it within the same second, the others not.
    fn first_of_sibling(&mut self, child: &mut Rollout, re_emits: bool) -> Result<()> {
        child.now_ms = instant::advance(child.now_ms, self.desk.rng.millis(2_000, 45_000));
        child.now_ms -= child.now_ms.rem_euclid(1_000);
        child.work(self.desk)?;
        let used = draw(self.desk);
        child.totals.add(&used);
        child.token_count(Some(&used))?;
        self.enter(child, &used);
        if re_emits {
            child.now_ms += 300;
            child.token_count(Some(&used))?;
            let tokens = used.sum().cast_signed();
            self.desk.trap(&RE_EMITTED, tokens);
            self.desk.trap(&SUBAGENT_BURST, -tokens);
        }
        Ok(())
    }

    fn prompt(&mut self, rollout: &mut Rollout) -> Result<()> {
        rollout.turn_context()?;
        let (mut text, bytes) = (Vec::new(), self.desk.rng.long_tail(500));
        self.desk.text(&mut text, bytes);
        rollout.prompt(&text)
    }

    /// Some work, one response counted, and what is re-emitted after it.
    fn turn(&mut self, rollout: &mut Rollout, scene: Scene) -> Result<()> {
        rollout.now_ms = instant::advance(rollout.now_ms, self.desk.rng.millis(2_000, 45_000));
        rollout.work(self.desk)?;
        let used = draw(self.desk);
        rollout.totals.add(&used);
        self.count(rollout, scene, &used)
    }

    fn count(&mut self, rollout: &mut Rollout, scene: Scene, used: &Usage) -> Result<()> {
        let tokens = used.sum().cast_signed();
        let last = (scene != Scene::TotalsOnly).then_some(used);
        rollout.token_count(last)?;
        self.enter(rollout, used);
        match scene {
            Scene::TotalsOnly => self.desk.trap(&TOTALS_ONLY, -tokens),
            Scene::NoModel => self.desk.trap(&NO_MODEL, -tokens),
            Scene::Records => {
                rollout.usage_record(self.desk, used)?;
                self.desk.trap(&RECORD, tokens);
            }
            Scene::Plain
            | Scene::Fork
            | Scene::Resume
            | Scene::Subagents
            | Scene::Archived
            | Scene::ArchivedOnly
            | Scene::Restart => {}
        }
        let again = [0, 0, 1, 1, 1, 2].get(self.desk.rng.below(6) as usize).copied().unwrap_or(0);
        for _ in 0..again {
            rollout.now_ms += self.desk.rng.millis(5, 900);
            rollout.token_count(last)?;
            self.desk.trap(&RE_EMITTED, if last.is_some() { tokens } else { 0 });
        }
        if self.desk.rng.chance(60) || rollout.totals.calls == 1 {
            rollout.rate_limits()?;
            self.desk.trap(&LIMITS_ONLY, 0);
        }
        Ok(())
    }

    fn enter(&mut self, rollout: &Rollout, used: &Usage) {
        self.desk.trap(&CACHED, used.cache_read.cast_signed());
        self.desk.trap(&REASONING, used.reasoning.cast_signed());
        self.desk.call(&Call {
            at_ms: rollout.now_ms,
            model: rollout.model.unwrap_or(FALLBACK_MODEL).to_owned(),
            project: rollout.cwd.clone(),
            session: rollout.id.clone(),
            usage: *used,
        });
    }

    /// The counters start again: the total of this response is smaller in every part.
    fn restart(&mut self, rollout: &mut Rollout) -> Result<()> {
        self.turn(rollout, Scene::Restart)?;
        rollout.now_ms = instant::advance(rollout.now_ms, 9_000);
        let before = rollout.totals;
        let used = Usage {
            input: before.input / 3,
            cache_read: before.cache_read / 4,
            output: before.output / 3,
            reasoning: before.reasoning / 3,
            ..Usage::default()
        };
        self.desk.trap(&RESTART, -before.sum().cast_signed());
        rollout.totals = used.one_call();
        self.count(rollout, Scene::Restart, &used)
    }

    fn finish(&mut self, rollout: &Rollout, scene: Scene) -> Result<()> {
        let name =
            format!("rollout-{}-{}.jsonl", instant::file_stamp(rollout.started_ms), rollout.id);
        let active = format!(".codex/sessions/{}/{name}", instant::folders(rollout.started_ms));
        let archived = format!(".codex/archived_sessions/{name}");
        if scene != Scene::ArchivedOnly {
            self.desk.tree.write(&active, &rollout.out, rollout.now_ms)?;
        }
        if matches!(scene, Scene::Archived | Scene::ArchivedOnly) {
            self.desk.tree.write(&archived, &rollout.out, rollout.now_ms)?;
        }
        if scene == Scene::Archived {
            self.desk.trap(&ARCHIVED, rollout.totals.sum().cast_signed());
        }
        if matches!(scene, Scene::Plain | Scene::Fork | Scene::Resume | Scene::Subagents) {
            self.desk.tree.growing.push(growing(rollout, active));
        }
        Ok(())
    }
}

fn growing(rollout: &Rollout, path: String) -> Growing {
    Growing {
        agent: NAME.to_owned(),
        path,
        session: rollout.id.clone(),
        project: rollout.cwd.clone(),
        model: rollout.model.unwrap_or_default().to_owned(),
        now_ms: rollout.now_ms,
        counters: Some(rollout.totals),
        torn: None,
    }
}

fn odd_scene(desk: &mut Desk<'_>) -> Scene {
    match desk.rng.below(100) {
        0..4 => Scene::Fork,
        4..7 => Scene::Resume,
        7..12 => Scene::Subagents,
        12..15 => Scene::Archived,
        15..18 => Scene::ArchivedOnly,
        18..21 => Scene::TotalsOnly,
        21..23 => Scene::Restart,
        23..26 => Scene::NoModel,
        26..36 => Scene::Records,
        _ => Scene::Plain,
    }
}

/// The tokens of one response: about 86,000, four fifths of them cached; each field above zero.
fn draw(desk: &mut Desk<'_>) -> Usage {
    let rng = &mut desk.rng;
    let output = rng.long_tail(900) + 12;
    let usage = Usage {
        input: rng.long_tail(15_000) + 6,
        cache_read: rng.long_tail(70_000) + 8,
        output,
        reasoning: output / 3 + rng.below(output / 4),
        ..Usage::default()
    };
    usage.one_call()
}
