//! `domainmgr resume`

use clap::Args;

use super::named::Named;
use super::output::say;
use crate::toolstack::libxl;

#[derive(Debug, Args)]
pub(super) struct Resume {
    #[command(flatten)]
    domain: Named,
}

impl Resume {
    pub(super) fn run(&self) -> Result<(), String> {
        let id = self.domain.find()?;
        libxl::resume(id).map_err(|e| format!("{}: {e}", self.domain.name))?;
        say(&format!("domain {id} goes on\n"))
    }
}
