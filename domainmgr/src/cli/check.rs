//! `domainmgr check`

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use uuid::Uuid;

use crate::eve;
use crate::owners::{self, Owners};
use crate::render;
use crate::store::{self, Named};

#[derive(Debug, Args)]
pub(super) struct Check {
    /// DomainConfig files, or directories of them.
    #[arg(required = true, value_name = "FILE|DIR")]
    files: Vec<PathBuf>,
    /// Leave out whether the kernel and the disks are there: the files are for another host.
    #[arg(long)]
    no_files: bool,
}

impl Check {
    /// 0 if everything is all right, 1 if not.
    pub(super) fn run(&self) -> ExitCode {
        let mut wrong = 0_u32;
        let owners = Owners::default();
        for path in &self.files {
            for file in expand(path) {
                match file.and_then(|file| {
                    self.one(&file, &owners)
                        .map(|ok| format!("{}: {ok}", file.display()))
                }) {
                    // The exit code tells, even if nobody reads this.
                    Ok(line) => drop(super::say(&format!("{line}\n"))),
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

    fn one(&self, file: &Path, owners: &Owners) -> Result<String, String> {
        let place = |e: String| format!("{}: {e}", file.display());
        if let Err(e) = std::fs::symlink_metadata(file) {
            return Err(place(e.to_string()));
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let key = match store::key_of(&name) {
            Named::Key(key) => key,
            Named::Bad(why) => return Err(place(why)),
            Named::Other => {
                return Err(place(
                    "the name of the file is not a uuid with .json".to_owned(),
                ));
            }
        };
        let text = store::read(file).map_err(|e| place(e.to_string()))?;
        self.content(file, key, &text, owners)
            .map_err(|e| place(e.to_string()))
    }

    fn content(
        &self,
        file: &Path,
        key: Uuid,
        text: &[u8],
        owners: &Owners,
    ) -> Result<String, eve::FieldError> {
        let found = eve::understand(key, text)?;
        let spec = found.spec?;
        let mut host = Vec::new();
        if !self.no_files {
            render::check_files(&spec)?;
            host = owners::taken_by_host();
        }
        let mut said: Vec<String> = found.warnings.iter().map(ToString::to_string).collect();
        if let Err(refusal) = owners.take(key, &spec, &host) {
            let refused = eve::FieldError::new(refusal.field, refusal.reason);
            // What does not run takes nothing from anybody.
            if found.config.activate {
                return Err(refused);
            }
            said.push(format!("{refused}; it can be activated once that is free"));
        }
        said.extend(owners.warnings(key));
        if !found.config.activate {
            let _ = owners.release(key);
        }
        for warning in said {
            drop(writeln!(
                std::io::stderr(),
                "{}: warning: {warning}",
                file.display()
            ));
        }
        Ok(format!("ok: {} ({})", spec.name, spec.mode.word()))
    }
}

/// The files in a directory that the agent would look at; a file is itself.
fn expand(path: &Path) -> Vec<Result<PathBuf, String>> {
    if !path.is_dir() {
        return vec![Ok(path.to_owned())];
    }
    match store::list(path) {
        Err(e) => vec![Err(format!("{}: {e}", path.display()))],
        Ok(names) => names
            .iter()
            .filter(|name| store::key_of(name) != Named::Other)
            .map(|name| Ok(path.join(name)))
            .collect(),
    }
}
