//! The file that holds the state of the model, which outlives the agent.

use std::path::Path;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::model::Model;
use crate::base::store;
use crate::toolstack::error::{Error, ErrorKind, Result};

/// State in the file, which outlives the agent as a real hypervisor does.
#[derive(Serialize, Deserialize)]
struct Saved {
    at_ms: i128,
    model: Model,
}

/// Reads a saved model and advances it by the time that has passed since.
pub(super) fn load(file: &Path, speed: u32) -> Result<Option<Model>> {
    let bad = |e: String| Error::new(ErrorKind::Other, format!("{}: {e}", file.display()));
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(bad(e.to_string())),
    };
    let mut saved: Saved = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
    let away = u64::try_from(wall_ms() - saved.at_ms).unwrap_or(0);
    let now = saved.model.now() + away * u64::from(speed);
    saved.model.advance(now);
    Ok(Some(saved.model))
}

fn wall_ms() -> i128 {
    OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000
}

/// Applies an outsider's command to a saved model that no agent is running.
pub(super) fn offline(
    file: &Path,
    speed: u32,
    act: impl FnOnce(&mut Model) -> Result<String>,
) -> Result<String> {
    let mut model = load(file, speed)?.unwrap_or_default();
    let answer = act(&mut model)?;
    save(file, &model);
    Ok(answer)
}

pub(super) fn save(file: &Path, model: &Model) {
    let saved = Saved {
        at_ms: wall_ms(),
        model: model.clone(),
    };
    let written = serde_json::to_vec(&saved)
        .map_err(std::io::Error::other)
        .and_then(|text| store::publish(file, &text));
    if let Err(e) = written {
        log::error!("{}: {e}", file.display());
    }
}
