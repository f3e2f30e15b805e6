//! Reads one file of xl's: from its bytes to the domain that the file describes.

use std::fmt;
use std::path::Path;

use libxl::xlcfg::XlConfig;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::host::Host;
use super::limits;
use super::with_host;
use super::words::words;
use crate::spec::Spec;
use crate::spec::from_libxl;
use crate::spec::with_host::WithHost;

/// Namespace for the keys of domains that are known by their name (version 5 UUIDs).
const NAMES: Uuid = Uuid::from_u128(0x5d3f_0b52_7a0e_4c53_9b86_0f5e_6c1a_94d7);

/// The unparsed content of a file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its path.
    pub path: String,
    /// The name of its domain.
    pub name: String,
    /// Its domain's share in the end of the host.
    #[serde(default)]
    pub with_host: WithHost,
    /// The file does not ask for its domain to run.
    #[serde(default)]
    pub idle: bool,
    /// The whole text.
    text: String,
}

/// Leaves out the text, which may hold passwords.
impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("path", &self.path)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A file that has been understood.
#[derive(Clone, Debug)]
pub struct Found {
    /// The key of its domain.
    pub key: Uuid,
    /// The unparsed file.
    pub file: File,
    /// The spec, or the reason why there is none.
    pub spec: Result<Spec, String>,
    /// Warnings that xl would give, and warnings about settings that do not take effect as written.
    pub warnings: Vec<String>,
}

/// Returns the key of a domain that is known by its name.
#[must_use]
pub fn key_of_name(name: &str) -> Uuid {
    Uuid::new_v5(&NAMES, name.as_bytes())
}

/// Returns the key for a file that does not identify its domain, or that identifies the domain of another file.
#[must_use]
pub fn key_of_file(path: &Path) -> Uuid {
    let name = format!(
        "file {}",
        path.file_name().unwrap_or_default().to_string_lossy()
    );
    key_of_name(&name)
}

/// A file whose domain is known.
pub(super) struct Identified {
    pub(super) key: Uuid,
    file: File,
    config: XlConfig,
}

/// Interprets the file at `path`, which has this content.
///
/// # Errors
/// The file does not even identify its domain. The message has the place and the reason.
pub fn understand(path: &Path, content: &[u8], host: &Host) -> Result<Found, String> {
    let Identified {
        key,
        mut file,
        config,
    } = identify(path, content)?;
    let meant = with_host::read(&config).and_then(|with_host| {
        file.with_host = with_host;
        file.idle = !with_host::activate(&config)?;
        meaning(&file, key, &config, host)
    });
    let (spec, warnings) = match meant {
        Ok((spec, warnings)) => (Ok(spec), warnings),
        Err(e) => (Err(e), Vec::new()),
    };
    Ok(Found {
        key,
        file,
        spec,
        warnings,
    })
}

/// Identifies the domain that a file describes.
///
/// # Errors
/// The file cannot be parsed, or does not identify its domain.
pub(super) fn identify(path: &Path, content: &[u8]) -> Result<Identified, String> {
    let place = path.display().to_string();
    let text = match std::str::from_utf8(content) {
        Ok(text) => text,
        Err(e) => {
            let before = content.iter().take(e.valid_up_to());
            let line = before.filter(|byte| **byte == b'\n').count() + 1;
            return Err(format!("{place}:{line}: not UTF-8"));
        }
    };
    let config = XlConfig::parse(text, &place).map_err(|e| words(&e))?;
    let of = |key| {
        let text = config.string(key).ok().flatten();
        text.filter(|text| !text.is_empty())
    };
    let name = of("name").ok_or_else(|| format!("{place}: name: a domain needs a name"))?;
    let key = match of("uuid") {
        None => key_of_name(&name),
        Some(text) => match Uuid::try_parse(&text) {
            Ok(uuid) if uuid.is_nil() => {
                return Err(format!("{place}: uuid: the nil uuid is dom0's"));
            }
            Ok(uuid) => uuid,
            Err(_) => {
                return Err(format!(
                    "{place}: uuid: {text:?} is no UUID; write 8-4-4-4-12 hexadecimal digits with hyphens"
                ));
            }
        },
    };
    let file = File {
        path: place,
        name,
        with_host: WithHost::default(),
        idle: false,
        text: text.to_owned(),
    };
    Ok(Identified { key, file, config })
}

/// Returns the spec for the key, and the warnings.
fn meaning(
    file: &File,
    key: Uuid,
    config: &XlConfig,
    host: &Host,
) -> Result<(Spec, Vec<String>), String> {
    let found = config
        .domain_config(&host.facts, &host.conf)
        .map_err(|e| e.to_string())?;
    let foreign = found
        .warnings
        .iter()
        .filter(|w| !with_host::is_ours(&w.key));
    let mut warnings: Vec<String> = foreign.map(ToString::to_string).collect();
    let fresh_genid = config.string("ms_vm_genid").ok().flatten();
    let fresh_genid = fresh_genid.is_some_and(|text| text == "generate");
    let spec = from_libxl::domain(key, found.config, fresh_genid);
    let place = |e| format!("{}: {e}", file.path);
    let spec = spec.map_err(place)?;
    if let Some(config) = &spec.given {
        limits::check(&spec, config).map_err(place)?;
    }
    warnings.extend(limits::doubts(&spec).into_iter().map(place));
    Ok((spec, warnings))
}

impl File {
    /// Returns the spec, as this version of the agent understands the file.
    ///
    /// # Errors
    /// Nothing can be built from the file. The message has the place and the reason.
    pub fn spec(&self, key: Uuid, host: &Host) -> Result<Spec, String> {
        let config = XlConfig::parse(&self.text, &self.path).map_err(|e| words(&e))?;
        meaning(self, key, &config, host).map(|(spec, _)| spec)
    }

    /// Returns a digest of the text, the same for files that say the same. It neither protects secrets nor resists malice.
    #[must_use]
    pub fn digest(&self) -> String {
        let text = Uuid::new_v5(&NAMES, self.text.as_bytes());
        text.simple().to_string()
    }
}
