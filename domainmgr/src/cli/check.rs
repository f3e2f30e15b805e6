//! `domainmgr check`

use std::cell::OnceCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use uuid::Uuid;

use super::output::say;
use crate::base::field_error::FieldError;
use crate::base::store::{self, Named};
use crate::frontends::eve;
use crate::frontends::xl::{self, Host};
use crate::host::disks;
use crate::host::files;
use crate::host::owners::{self, Owners};
use crate::spec::Spec;
use crate::spec::feasibility::{self, Refusal};
use crate::toolstack;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// DomainConfig files, files of xl's, or directories of them.
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// Leave out whether the kernel and the disks are there: the files are for another host.
    #[arg(long)]
    no_files: bool,
    /// This host, once somebody has asked: it takes a connection to Xen.
    #[arg(skip)]
    host: OnceCell<Result<Host, String>>,
}

impl Check {
    /// Checks all files. The exit code is 0 if everything is all right, 1 if not.
    pub(super) fn run(&self) -> ExitCode {
        let mut wrong = 0_u32;
        let owners = Owners::default();
        for path in &self.files {
            for file in expand(path) {
                match file.and_then(|file| {
                    self.one(&file, &owners)
                        .map(|ok| format!("{}: {ok}", file.display()))
                }) {
                    // The exit code tells the result even if this cannot be written.
                    Ok(line) => drop(say(&format!("{line}\n"))),
                    Err(line) => {
                        wrong += 1;
                        drop(writeln!(std::io::stderr(), "{line}"));
                    }
                }
            }
        }
        if wrong == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn host(&self) -> Result<&Host, String> {
        let host = self.host.get_or_init(super::config::host);
        host.as_ref().map_err(Clone::clone)
    }

    fn one(&self, file: &Path, owners: &Owners) -> Result<String, String> {
        let place = |e: String| format!("{}: {e}", file.display());
        if let Err(e) = std::fs::symlink_metadata(file) {
            return Err(place(e.to_string()));
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        match store::key_of(&name) {
            Named::Key(key) => {
                let text = store::read(file).map_err(|e| place(e.to_string()))?;
                let found = eve::understand(key, &text).map_err(|e| place(e.to_string()))?;
                let domain = Described {
                    key,
                    spec: found.spec.map_err(|e| place(e.to_string()))?,
                    activate: found.config.activate,
                };
                let warnings = found.warnings.iter();
                let warnings = warnings.map(|w| place(format!("warning: {w}"))).collect();
                self.domain(file, &domain, warnings, owners)
            }
            Named::Bad(why) => Err(place(why)),
            Named::Other => {
                let text = store::read_through(file).map_err(|e| place(e.to_string()))?;
                let found = xl::understand(file, &text, self.host()?)?;
                let domain = Described {
                    key: found.key,
                    spec: found.spec?,
                    activate: !found.file.idle,
                };
                let warnings = found.warnings.iter();
                let warnings = warnings.map(|w| format!("warning: {w}")).collect();
                self.domain(file, &domain, warnings, owners)
            }
        }
    }

    fn domain(
        &self,
        file: &Path,
        domain: &Described,
        mut warnings: Vec<String>,
        owners: &Owners,
    ) -> Result<String, String> {
        let Described {
            key,
            spec,
            activate,
        } = domain;
        let place = |e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
        let mut host = Vec::new();
        if !self.no_files {
            files::check(spec).map_err(|e| place(&e))?;
            let doubts = self.on_this_host(spec).map_err(|e| place(&e))?;
            warnings.extend(
                doubts
                    .iter()
                    .map(|doubt| place(&format!("warning: {doubt}"))),
            );
            host = owners::taken_by_host();
        }
        if let Err(refusal) = owners.take(*key, spec, &host) {
            let refused = FieldError::new(refusal.field, refusal.reason);
            // A domain that does not run takes nothing from others.
            if *activate {
                return Err(place(&refused));
            }
            warnings.push(place(&format!(
                "warning: {refused}; it can be activated once that is free"
            )));
        }
        let doubts = owners.warnings(*key);
        warnings.extend(
            doubts
                .iter()
                .map(|doubt| place(&format!("warning: {doubt}"))),
        );
        if !activate {
            let _ = owners.release(*key);
        }
        for warning in warnings {
            drop(writeln!(std::io::stderr(), "{warning}"));
        }
        Ok(format!("ok: {} ({})", spec.name, spec.mode.word()))
    }
}

impl Check {
    /// Checks that this host has everything that the domain needs. Returns doubts.
    fn on_this_host(&self, spec: &Spec) -> Result<Vec<FieldError>, FieldError> {
        // Xen is asked only for domains that name processors.
        let processors = if spec.cpus.is_empty() {
            0
        } else {
            self.host().map_or(u32::MAX, |host| host.facts.max_cpus)
        };
        let facts = toolstack::facts_of_this_host(spec, processors);
        let facts = facts.map_err(|e| FieldError::new("", format!("the host's network: {e}")))?;
        match feasibility::check(spec, &facts) {
            Ok(()) | Err(Refusal::Domains(_)) => {}
            Err(refusal) => return Err(refusal.error()),
        }
        let doubts = feasibility::doubts(spec, &facts).into_iter();
        Ok(doubts.chain(disks::doubts(spec)).collect())
    }
}

/// The domain that a file describes.
struct Described {
    key: Uuid,
    spec: Spec,
    activate: bool,
}

/// Returns the files in a directory that the agent would look at, or `path` itself if it is a file.
fn expand(path: &Path) -> Vec<Result<PathBuf, String>> {
    if !path.is_dir() {
        return vec![Ok(path.to_owned())];
    }
    match store::list(path) {
        Err(e) => vec![Err(format!("{}: {e}", path.display()))],
        Ok(names) => names
            .iter()
            .filter(|name| match store::key_of(name) {
                Named::Key(_) | Named::Bad(_) => true,
                Named::Other => xl::is_meant(name) && is_text(&path.join(name)),
            })
            .map(|name| Ok(path.join(name)))
            .collect(),
    }
}

/// Returns whether a file may be one of xl's. The markers among DomainConfigs are empty, or contain only the time at which
/// they were written.
fn is_text(path: &Path) -> bool {
    store::read_through(path).is_ok_and(|text| text.contains(&b'='))
}
