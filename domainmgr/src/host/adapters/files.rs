//! The files that list the adapters, and the ports that the host needs.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::model::{AssignableAdapters, DeviceNetworkStatus};
use crate::base::field_error::FieldError;
use crate::base::json;
use crate::base::store::{self, ReadError, Stamp};

/// Paths of the files.
#[derive(Clone, Debug)]
pub struct Files {
    /// The model: a file, or a directory of files that are named after models.
    pub model: PathBuf,
    /// The `DeviceNetworkStatus`.
    pub network: PathBuf,
}

/// The files that have been read, and their stamps.
#[derive(Debug, Default)]
pub(super) struct Reader {
    model: Option<(PathBuf, Option<Stamp>)>,
    network: Option<Option<Stamp>>,
    /// EVE's name for this machine, once it is known.
    machine: Option<String>,
    /// Reason why the model cannot be read at the moment.
    model_waits: Option<String>,
    /// Reason why the `DeviceNetworkStatus` cannot be read at the moment.
    network_waits: Option<String>,
}

impl Reader {
    /// Returns the model, if it has changed.
    pub(super) fn model(&mut self, files: &Files) -> Option<Result<AssignableAdapters, String>> {
        let path = match self.model_file(&files.model) {
            Ok(path) => path,
            Err(why) => return later(&mut self.model_waits, why).map(Err),
        };
        let now = (path.clone(), store::stamp(&path));
        if self.model.as_ref() == Some(&now) {
            return None;
        }
        match read::<AssignableAdapters>(&path) {
            Err(Unread::Later(why)) => later(&mut self.model_waits, why).map(Err),
            read => {
                self.model = Some(now);
                self.model_waits = None;
                let place = |e: FieldError| format!("{}: {e}", path.display());
                Some(read.map_err(Unread::words).and_then(|model| {
                    model.check().map_err(place)?;
                    Ok(model)
                }))
            }
        }
    }

    /// Returns the `DeviceNetworkStatus`, if it has changed.
    pub(super) fn network(&mut self, files: &Files) -> Option<Result<DeviceNetworkStatus, String>> {
        let now = store::stamp(&files.network);
        if self.network == Some(now) {
            return None;
        }
        match read(&files.network) {
            Err(Unread::Later(why)) => later(&mut self.network_waits, why).map(Err),
            read => {
                self.network = Some(now);
                self.network_waits = None;
                Some(read.map_err(Unread::words))
            }
        }
    }

    /// Returns the path of the model. In a directory it is `<model>.json`, or `default.json` if there is none.
    fn model_file(&mut self, path: &Path) -> Result<PathBuf, String> {
        if !path.is_dir() {
            return Ok(path.to_owned());
        }
        let machine = match &mut self.machine {
            Some(machine) => machine,
            slot => slot.insert(hardware_model()?),
        };
        let own = path.join(format!("{machine}.json"));
        Ok(if own.exists() {
            own
        } else {
            path.join("default.json")
        })
    }
}

/// Returns the reason why a file cannot be read at the moment, if it is a new one. The next look tries again.
fn later(waits: &mut Option<String>, why: String) -> Option<String> {
    let news = waits.replace(why.clone()).as_ref() != Some(&why);
    news.then_some(why)
}

/// Reason why a file cannot be used.
enum Unread {
    /// The file is missing, or its content is wrong.
    Bad(String),
    /// The agent cannot read the file now.
    Later(String),
}

impl Unread {
    fn words(self) -> String {
        match self {
            Self::Bad(why) | Self::Later(why) => why,
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Unread> {
    let place = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = store::read(path).map_err(|e| match e {
        ReadError::Later(_) => Unread::Later(place(&e)),
        ReadError::Gone | ReadError::Bad(_) => Unread::Bad(place(&e)),
    })?;
    json::parse(&text).map_err(|e| Unread::Bad(place(&e)))
}

/// Returns EVE's name for this machine.
///
/// # Errors
/// The agent cannot read the name now. It must not use another model because of that.
fn hardware_model() -> Result<String, String> {
    let line = |path: &str| match store::read(Path::new(path)) {
        Ok(text) => Ok(String::from_utf8_lossy(&text).trim().to_owned()),
        Err(ReadError::Later(why)) => Err(format!("{path}: {why}")),
        Err(ReadError::Gone | ReadError::Bad(_)) => Ok(String::new()),
    };
    let configured = line("/config/hardwaremodel")?;
    let model = if configured.is_empty() {
        let vendor = line("/sys/class/dmi/id/sys_vendor")?;
        let product = line("/sys/class/dmi/id/product_name")?;
        let parts = [vendor, product];
        let parts: Vec<String> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        parts.join(".")
    } else {
        configured
    };
    Ok(if model.is_empty() {
        "default".to_owned()
    } else {
        model.replace('/', "_")
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_directory_has_a_default_and_news_come_once() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files {
            model: dir.path().to_owned(),
            network: dir.path().join("global.json"),
        };
        let mut reader = Reader::default();
        let default = dir.path().join("default.json");
        assert_eq!(
            reader.model(&files).unwrap().unwrap_err(),
            format!("{}: no such file", default.display())
        );
        assert!(reader.model(&files).is_none());
        fs::write(&default, r#"{"IoBundleList":[{"Type":1}]}"#).unwrap();
        assert_eq!(
            reader.model(&files).unwrap().unwrap_err(),
            format!("{}: IoBundleList[0].Name: missing", default.display())
        );
        fs::write(&default, r#"{"IoBundleList":null}"#).unwrap();
        assert_eq!(
            reader.model(&files).unwrap().unwrap(),
            AssignableAdapters::default()
        );
        fs::write(&files.network, "[]").unwrap();
        assert_eq!(
            reader.network(&files).unwrap().unwrap_err(),
            format!("{}: expected a JSON object", files.network.display())
        );
    }
}
