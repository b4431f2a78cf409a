//! The devices of a hub's account: whether each is heard of, and whether all that it has has come.

use serde_json::json;

use super::{Item, Sight, Status, Verdict};
use crate::fleet::{State, losses};
use crate::render::number::{counted, duration_s};

/// What looks at a device's own side.
const LOOK: &str = "trueup push status";

/// Devices of which something is missing, or that are not heard of.
pub(super) fn devices(sight: &Sight<'_>) -> Verdict {
    let fleet = &sight.fleet;
    let count = |wanted: State| fleet.devices.iter().filter(|(_, state)| *state == wanted).count();
    let [lossy, silent, behind] = [State::Lossy, State::Silent, State::Behind].map(count);
    let status = match (lossy, silent + behind) {
        (0, 0) => Status::Ok,
        (0, _) => Status::Warn,
        _ => Status::Fail,
    };
    let all = counted(fleet.devices.len() as u64, "device");
    let detail = match status {
        Status::Ok => format!("{all}, all of what they have is here"),
        Status::Warn | Status::Fail => {
            format!("{all}: {lossy} lossy, {silent} silent, {behind} behind")
        }
    };
    let long = duration_s(fleet.silent_after.as_secs());
    let item = |(device, state): &(trueup_ledger::Device, State)| {
        let [missing, dropped, refused] = losses(device);
        let reason = match state {
            State::Ok => return None,
            State::Lossy => format!(
                "{missing} places were passed over, {dropped} records dropped and {refused} refused"
            ),
            State::Silent => format!("not heard of for {long}: is `trueup serve` running there?"),
            State::Behind => format!("records wait for longer than {long}"),
        };
        let item = Item { mend: Some(LOOK.to_owned()), ..Item::new(reason) };
        Some(Item { first: Some("on the device".to_owned()), ..item.of(&device.name) })
    };
    let items = fleet.devices.iter().filter_map(item).collect();
    Verdict::new(status, detail)
        .with(items)
        .meta("by_state", json!({"lossy": lossy, "silent": silent, "behind": behind}))
}
