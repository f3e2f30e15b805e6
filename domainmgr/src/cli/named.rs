//! Finds a domain of the agent by the name that the user gives.

use std::path::PathBuf;

use clap::Args;

use super::{complete, paths, status};
use crate::frontends::control::names;
use crate::toolstack::DomainId;

#[derive(Debug, Args)]
pub(super) struct Named {
    /// A domain's name, as `status` shows it, its DisplayName, its uuid or its number.
    #[arg(add = complete::domains())]
    pub(super) name: String,
    /// DomainStatus files [default: /var/run/domainmgr/DomainStatus]
    #[arg(long, value_name = "DIR")]
    status_dir: Option<PathBuf>,
}

impl Named {
    /// Returns the running domain of that name, according to the agent's DomainStatus files.
    pub(super) fn find(&self) -> Result<DomainId, String> {
        let dir = paths::status_dir(self.status_dir.as_deref(), false)?;
        let all = status::read_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let wanted = self.name.as_str();
        let found: Vec<_> = all
            .iter()
            .filter(|s| names::is_exactly(s, wanted) || names::is_loosely(s, wanted))
            .collect();
        match found.as_slice() {
            [] => Err(format!(
                "{wanted}: no such domain; `domainmgr status` lists them"
            )),
            [one] if one.domain_id == 0 => {
                Err(format!("{wanted}: not running ({})", one.state_name))
            }
            [one] => Ok(DomainId {
                domid: one.domain_id,
                uuid: one
                    .uuid_and_version
                    .uuid
                    .parse()
                    .map_err(|e| format!("{wanted}: {e}"))?,
            }),
            [..] => Err(format!("{wanted}: there are several; use the full name")),
        }
    }
}
