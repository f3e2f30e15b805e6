//! `domainmgr config`

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use libxl::Context;
use libxl::xlcfg::{self, XlConf, XlConfig};
use serde_json::Value;

use super::output::say;
use crate::base::field_error::FieldError;
use crate::base::store::{self, Named};
use crate::frontends::eve;
use crate::frontends::xl::{Host, is_ours};
use crate::spec::render;

#[derive(Debug, Args)]
pub(super) struct Config {
    /// A file of xl's, or a DomainConfig.
    file: PathBuf,
    /// Replaces or adds a key of a file of xl's, as with xl create.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The JSON of libxl, as `xl create -n` prints it. Without it, a line for each value.
    #[arg(long)]
    json: bool,
}

/// The host that xl's files are read for: this one; without a Xen, one with as many processors.
pub(super) fn host() -> Result<Host, String> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let facts = match Context::open().and_then(|context| xlcfg::Host::of(&context)) {
        Ok(facts) => facts,
        Err(_) => xlcfg::Host::new(u32::try_from(processors).unwrap_or(1)),
    };
    let conf = XlConf::read().map_err(|e| e.to_string())?;
    Ok(Host { facts, conf })
}

impl Config {
    pub(super) fn run(&self) -> Result<(), String> {
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let config = match store::key_of(&name) {
            Named::Key(key) => {
                if let Some(word) = self.overrides.first() {
                    return Err(format!("{word}: a DomainConfig has no keys of xl's"));
                }
                let place = |e: &dyn std::fmt::Display| format!("{}: {e}", self.file.display());
                let text = store::read_through(&self.file).map_err(|e| place(&e))?;
                let found = eve::understand(key, &text).map_err(|e| place(&e))?;
                let spec = found.spec.map_err(|e| place(&e))?;
                warn(&self.file, &found.warnings);
                render::domain_config(&spec)
            }
            Named::Bad(_) | Named::Other => {
                let host = host()?;
                let file = XlConfig::read_with(&self.file, &self.overrides);
                let file = file.map_err(|e| e.to_string())?;
                let meaning = file.domain_config(&host.facts, &host.conf);
                let meaning = meaning.map_err(|e| e.to_string())?;
                // The agent's own keys are no business of xl's.
                let others = meaning.warnings.iter().filter(|w| !is_ours(&w.key));
                for warning in others {
                    eprintln!("warning: {warning}");
                }
                meaning.config
            }
        };
        let config = serde_json::to_value(config).map_err(|e| e.to_string())?;
        if self.json {
            let text = serde_json::to_string_pretty(&config).map_err(|e| e.to_string())?;
            return say(&format!("{text}\n"));
        }
        let mut lines = String::new();
        flatten("", &config, &mut lines);
        say(&lines)
    }
}

fn warn(file: &Path, warnings: &[FieldError]) {
    for warning in warnings {
        eprintln!("warning: {}: {warning}", file.display());
    }
}

/// A line for each value: where it is, and what it is.
fn flatten(place: &str, value: &Value, lines: &mut String) {
    let dot = if place.is_empty() { "" } else { "." };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                flatten(&format!("{place}{dot}{name}"), value, lines);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (i, item) in items.iter().enumerate() {
                flatten(&format!("{place}[{i}]"), item, lines);
            }
        }
        // Nothing that is written to a text fails.
        other => drop(writeln!(lines, "{place} = {other}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_value_has_a_line() {
        let mut lines = String::new();
        let value =
            json!({"c_info": {"name": "web"}, "b_info": {"cpus": [0, 1]}, "nics": [{"mtu": 1500}]});
        flatten("", &value, &mut lines);
        let mut lines: Vec<&str> = lines.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "b_info.cpus = [0,1]",
                "c_info.name = \"web\"",
                "nics[0].mtu = 1500"
            ]
        );
    }
}
