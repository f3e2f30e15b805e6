//! The files that say which adapters there are, and which of them the host needs.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::eve::{self, AssignableAdapters, DeviceNetworkStatus};
use crate::store::{self, ReadError, Stamp};

/// Where they are.
#[derive(Clone, Debug)]
pub struct Files {
    /// The model: a file, or a directory of files that are called after models.
    pub model: PathBuf,
    /// DeviceNetworkStatus.
    pub network: PathBuf,
}

/// What has been read, and when.
#[derive(Debug, Default)]
pub(super) struct Reader {
    model: Option<(PathBuf, Option<Stamp>)>,
    network: Option<Option<Stamp>>,
}

impl Reader {
    /// The model, if it is news.
    pub(super) fn model(&mut self, files: &Files) -> Option<Result<AssignableAdapters, String>> {
        let path = model_file(&files.model);
        let now = (path.clone(), store::stamp(&path));
        if self.model.as_ref() == Some(&now) {
            return None;
        }
        self.model = Some(now);
        Some(read::<AssignableAdapters>(&path).and_then(|model| {
            let place = |e: eve::FieldError| format!("{}: {e}", path.display());
            model.check().map_err(place)?;
            Ok(model)
        }))
    }

    /// The DeviceNetworkStatus, if it is news.
    pub(super) fn network(&mut self, files: &Files) -> Option<Result<DeviceNetworkStatus, String>> {
        let now = store::stamp(&files.network);
        if self.network == Some(now) {
            return None;
        }
        self.network = Some(now);
        Some(read(&files.network))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let place = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = store::read(path).map_err(|e: ReadError| place(&e))?;
    eve::parse(&text).map_err(|e| place(&e))
}

/// `<model>.json`, or `default.json` where there is none, in a directory; a file is itself.
fn model_file(path: &Path) -> PathBuf {
    if !path.is_dir() {
        return path.to_owned();
    }
    let own = path.join(format!("{}.json", hardware_model()));
    if own.exists() {
        own
    } else {
        path.join("default.json")
    }
}

/// What EVE calls this machine.
fn hardware_model() -> String {
    let line = |path: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.trim().to_owned()
    };
    let configured = line("/config/hardwaremodel");
    let model = if configured.is_empty() {
        let parts = ["sys_vendor", "product_name"].map(|n| line(&format!("/sys/class/dmi/id/{n}")));
        let parts: Vec<String> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        parts.join(".")
    } else {
        configured
    };
    if model.is_empty() {
        "default".to_owned()
    } else {
        model.replace('/', "_")
    }
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
