//! The ledger's file, and the machine that it lies on.

use std::path::Path;

use trueup_agents::Agent;
use trueup_core::{HOUR_MS, UnixMs};
use trueup_ledger::Volume;

use super::{Item, LedgerState, Mend, Sight, Status, Verdict, ago};
use crate::render::number::{self, counted};

/// Largest ledger whose pages are all looked at: longer than a second nobody wants to wait.
const QUICK_CHECK_BYTES_MAX: u64 = 256 << 20;

/// Faults of a file that are named.
const FAULTS_MAX: u32 = 10;

/// What is wrong with the pages of a ledger, in a quick look; empty for one that is too large for it.
pub(crate) fn damage(reader: &trueup_ledger::Reader, path: &Path) -> Vec<String> {
    if size(path) > QUICK_CHECK_BYTES_MAX {
        return Vec::new();
    }
    reader.quick_check(FAULTS_MAX).unwrap_or_else(|error| vec![error.to_string()])
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// Whether the file is whole.
pub(super) fn ledger_integrity(sight: &Sight<'_>) -> Verdict {
    let bytes = size(&sight.ledger);
    let item = |reason: &str, mend: Mend| Item::new(reason).at(&sight.ledger).mended(mend);
    match &sight.state {
        LedgerState::UpToDate
        | LedgerState::OnlyRead
        | LedgerState::Held { .. }
        | LedgerState::ReadOnly { .. } => {
            let is_quick = bytes <= QUICK_CHECK_BYTES_MAX;
            let detail = if is_quick { "its pages are whole" } else { "opens; too large for more" };
            Verdict::ok(detail).meta("bytes", bytes).meta("pages_checked", is_quick)
        }
        LedgerState::Absent => Verdict::new(Status::Warn, "there is no ledger yet")
            .with(vec![item("not there", (None, "trueup sync"))]),
        LedgerState::CannotBeMade { why } => {
            let first = "let the user of trueup write there, or name another with --ledger";
            Verdict::new(Status::Fail, "there is no ledger, and none can be made: nothing is kept")
                .with(vec![item(why, (Some(first), "trueup sync"))])
        }
        LedgerState::Unusable { why } => {
            let mend = (Some("move it away, and keep it"), "trueup sync");
            let detail = "it cannot be used; what follows was read anew from what is still on disk";
            Verdict::new(Status::Fail, detail).with(why.iter().map(|why| item(why, mend)).collect())
        }
    }
}

/// Who writes the ledger.
pub(super) fn ledger_lock(sight: &Sight<'_>) -> Verdict {
    match &sight.state {
        LedgerState::UpToDate => Verdict::ok("no other process holds it"),
        LedgerState::OnlyRead | LedgerState::Absent => Verdict::ok("not tried"),
        LedgerState::Unusable { .. } => Verdict::ok("not tried: it cannot be used"),
        LedgerState::Held { owner } => {
            Verdict::ok(format!("process {owner} keeps it")).meta("owner", owner.clone())
        }
        LedgerState::ReadOnly { why } | LedgerState::CannotBeMade { why } => {
            let mend = (Some("run it as the user who may write it"), "trueup sync");
            let item = Item::new(why).at(&sight.ledger).mended(mend);
            Verdict::new(Status::Warn, "it cannot be written: what is new does not get into it")
                .with(vec![item])
        }
    }
}

/// Bytes left for the ledger below which somebody should look.
const FREE_BYTES_WARN: u64 = 200_000_000;
/// Bytes left below which the next sync may not fit.
const FREE_BYTES_FAIL: u64 = 20_000_000;

/// Whether the ledger has room to grow.
pub(super) fn disk_space(sight: &Sight<'_>) -> Verdict {
    let mut folders = sight.ledger.ancestors().skip(1);
    let folder = folders.find(|folder| folder.is_dir()).unwrap_or_else(|| Path::new("."));
    let item = |reason: String| {
        let first = "make room there, or name another ledger with --ledger";
        Item::new(reason).at(folder).mended((Some(first), "trueup doctor"))
    };
    let Some(volume) = Volume::of(folder) else {
        let detail = "it is not known how much room the ledger has";
        let items = vec![item("the system does not say how full its volume is".into())];
        return Verdict::new(Status::Warn, detail).with(items);
    };
    let free = volume.available_bytes;
    let detail = format!("{} left for the ledger", number::bytes(free));
    let status = match free {
        ..FREE_BYTES_FAIL => Status::Fail,
        FREE_BYTES_FAIL..FREE_BYTES_WARN => Status::Warn,
        FREE_BYTES_WARN.. => Status::Ok,
    };
    let items = if status == Status::Ok { Vec::new() } else { vec![item(detail.clone())] };
    Verdict::new(status, detail).with(items).meta("free_bytes", free)
}

/// How far ahead of the clock a time may be: clocks of machines differ.
const AHEAD_MS: i64 = HOUR_MS;

/// Whether the clock, and the times of what was read, can both be right.
pub(super) fn clock(sight: &Sight<'_>) -> Verdict {
    let newest = sight.newest;
    let limit = UnixMs(sight.now.0.saturating_add(AHEAD_MS));
    let mut items = Vec::new();
    if newest.read > limit {
        let reason = format!("the ledger was last written at {}, after now", newest.read);
        let mend = (Some("set the clock of this machine"), "timedatectl");
        items.push(Item::new(reason).mended(mend));
    }
    if newest.usage > limit {
        let reason = format!("there is usage of {}, after now", newest.usage);
        let mend = (Some("see to the clock of the machine that wrote it"), "trueup report day");
        items.push(Item::new(reason).mended(mend));
    }
    match items.len() as u64 {
        0 => Verdict::ok("nothing is of the future"),
        count => {
            let detail = format!("{} of the future; now is {}", counted(count, "time"), sight.now);
            Verdict::new(Status::Warn, detail).with(items)
        }
    }
}

/// When an agent's stores were last read.
pub(super) fn last_success(sight: &Sight<'_>, agent: &dyn Agent) -> Verdict {
    let state = sight.sources.iter().find(|state| state.source == agent.id());
    let roots: Vec<_> =
        sight.inventory.roots.iter().filter(|found| found.source == agent.id()).collect();
    let stores = sight.inventory.stores.iter().filter(|store| store.source == agent.id()).count();
    let item = |reason: &str, mend: Mend, path: &Path| Item::new(reason).at(path).mended(mend);
    if let Some(state) = state.filter(|state| state.last_read.0 > 0) {
        let age = ago(state.last_read, sight.now);
        let detail = format!("{}, new bytes {age}", counted(state.stores, "store"));
        return Verdict::ok(detail)
            .meta("last_read", state.last_read.to_string())
            .meta("stores", state.stores)
            .meta("calls", state.calls);
    }
    let found: Vec<&Path> =
        roots.iter().filter(|found| found.exists).map(|found| &*found.root.path).collect();
    let (detail, items) = if found.is_empty() {
        let items = roots.iter().map(|found| {
            let mend = (Some("set the variable that names its folder"), "trueup sources");
            item("not there", mend, &found.root.path)
        });
        (format!("no folder of {} is here", agent.title()), items.collect::<Vec<_>>())
    } else if stores == 0 {
        let first =
            "where it keeps its sessions elsewhere, set the variable that names that folder";
        let mend = (Some(first), "trueup sources");
        let items = found.iter().map(|path| item("no session in it", mend, path));
        (format!("{} is here, and nothing was read of it", agent.title()), items.collect())
    } else {
        let items = found.iter().map(|path| {
            let reason = format!("{} never read", counted(stores as u64, "store"));
            item(&reason, (None, "trueup sync"), path)
        });
        (format!("{} is here, and nothing was read of it", agent.title()), items.collect())
    };
    Verdict::new(Status::Warn, detail).with(items)
}
