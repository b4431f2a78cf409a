//! Bodies as lists of events, so that a part of one can be sent again: digit by digit what it was.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Form;

#[derive(Serialize, Deserialize)]
pub(super) struct V0 {
    pub(super) api_key: String,
    pub(super) batch: Vec<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) historical_migration: Option<bool>,
    pub(super) sent_at: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct V1 {
    pub(super) created_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) historical_migration: Option<bool>,
    pub(super) batch: Vec<Box<RawValue>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Hook {
    pub(super) product: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) install: String,
    pub(super) sent_at: String,
    pub(super) events: Vec<Box<RawValue>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Logs {
    pub(super) resource_logs: Vec<ResourceLogs>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceLogs {
    pub(super) resource: Box<RawValue>,
    pub(super) scope_logs: Vec<ScopeLogs>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScopeLogs {
    pub(super) scope: Box<RawValue>,
    pub(super) log_records: Vec<Box<RawValue>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metrics {
    pub(super) resource_metrics: Vec<ResourceMetrics>,
}

/// Metrics have a scope for each event, so that they are as many as its events.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceMetrics {
    pub(super) resource: Box<RawValue>,
    pub(super) scope_metrics: Vec<Box<RawValue>>,
}

/// The body with those of its `events` events that are to be kept, by their place; `None` where it has
/// another number of them, or another form.
pub(super) fn keep(
    form: Form,
    body: &[u8],
    events: usize,
    is_kept: &dyn Fn(usize) -> bool,
) -> Option<Vec<u8>> {
    match form {
        Form::V0 => {
            let mut whole: V0 = serde_json::from_slice(body).ok()?;
            retain(&mut whole.batch, events, is_kept)?;
            serde_json::to_vec(&whole).ok()
        }
        Form::V1 => {
            let mut whole: V1 = serde_json::from_slice(body).ok()?;
            retain(&mut whole.batch, events, is_kept)?;
            serde_json::to_vec(&whole).ok()
        }
        Form::Webhook => {
            let mut whole: Hook = serde_json::from_slice(body).ok()?;
            retain(&mut whole.events, events, is_kept)?;
            serde_json::to_vec(&whole).ok()
        }
        Form::Logs => {
            let mut whole: Logs = serde_json::from_slice(body).ok()?;
            let scope = whole.resource_logs.first_mut()?.scope_logs.first_mut()?;
            retain(&mut scope.log_records, events, is_kept)?;
            serde_json::to_vec(&whole).ok()
        }
        Form::Metrics => {
            let mut whole: Metrics = serde_json::from_slice(body).ok()?;
            let resource = whole.resource_metrics.first_mut()?;
            retain(&mut resource.scope_metrics, events, is_kept)?;
            serde_json::to_vec(&whole).ok()
        }
        Form::Lines => {
            let mut whole: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
            retain(&mut whole, events, is_kept)?;
            Some(whole.concat())
        }
    }
}

fn retain<T>(list: &mut Vec<T>, events: usize, is_kept: &dyn Fn(usize) -> bool) -> Option<()> {
    let mut place = 0..;
    (list.len() == events).then(|| list.retain(|_| place.next().is_some_and(is_kept)))
}
