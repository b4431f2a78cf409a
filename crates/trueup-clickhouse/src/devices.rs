//! What each device said of itself last: on the first shard, for there are few.

use trueup_core::{Text, UnixMs};

use crate::native::{Columns, Get, NativeError, Row};
use crate::quote::quoted;
use crate::schema::millis;
use crate::statement::{Purpose, Statement};

/// A device, as it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceState {
    /// Whose it is.
    pub tenant: Text,
    /// Its name.
    pub device: Text,
    /// When it said so: of two words of one device the later one holds.
    pub told: UnixMs,
    /// What it said, in the words of whoever keeps it.
    pub about: String,
}

/// Keeps what devices said.
#[must_use]
pub fn keep_devices(states: &[DeviceState]) -> Statement {
    let columns = Columns::new()
        .with("tenant", Get::Text(|it: &DeviceState| &it.tenant))
        .with("device", Get::Text(|it: &DeviceState| &it.device))
        .with("told_ms", Get::U64(|it: &DeviceState| millis(it.told)))
        .with("about", Get::Text(|it: &DeviceState| &it.about));
    Statement::insert("device_state", &columns, states)
}

/// Asks for a tenant's devices, by name: [`device_of`] reads each row.
#[must_use]
pub fn devices(tenant: &str) -> Statement {
    let sql = format!(
        "SELECT tenant, device, told_ms, about FROM device_state FINAL WHERE tenant = {}
         ORDER BY device",
        quoted(tenant)
    );
    Statement::new(Purpose::Read, sql)
}

/// A device.
///
/// # Errors
/// What is no row of the answer.
pub fn device_of(row: Row<'_>) -> Result<DeviceState, NativeError> {
    let told = i64::try_from(row.unsigned("told_ms")?).ok();
    Ok(DeviceState {
        tenant: row.text("tenant")?.into(),
        device: row.text("device")?.into(),
        told: told.map(UnixMs).ok_or(NativeError::Value { column: "told_ms" })?,
        about: row.text("about")?.to_owned(),
    })
}
