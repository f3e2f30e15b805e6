//! The past of a key's domains.

use time::OffsetDateTime;
use uuid::Uuid;

use super::told::Told;

/// Number of named files that are remembered for each key.
const SPENT: usize = 64;

/// The past of a key, for people and for the pauses between restarts.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct Past {
    /// Number of attempts to boot since the domain was asked for, or since its last end.
    pub(in crate::core) tries: u32,
    /// Number of restarts because the guest had ended.
    pub(in crate::core) restarts: u32,
    /// Number of lives in a row that were short.
    pub(in crate::core) short_lives: u32,
    /// There has been a domain, or an attempt at one that failed and was given up.
    pub(in crate::core) has_run: bool,
    pub(in crate::core) last_exit: Option<String>,
    /// Action taken at the last exit.
    pub(in crate::core) last_action: Option<String>,
    pub(in crate::core) boot_time: Option<OffsetDateTime>,
    /// Files that somebody has named, and that the guest must not go on from any more unless they were written since this time:
    /// its disks are no longer as they were then. The newest last, and at most [`SPENT`].
    pub(in crate::core) spent: Vec<(String, OffsetDateTime)>,
    /// Number of the last migration by which a domain has come here.
    pub(in crate::core) arrived: Option<Uuid>,
    /// State at the last event.
    pub(in crate::core) told: Told,
}

impl Past {
    /// Remembers that the guest has gone on from a named file, which was written at this time or before.
    pub(in crate::core) fn is_spent(&mut self, file: &str, at: OffsetDateTime) {
        self.is_written(file);
        self.spent.push((file.to_owned(), at));
        if self.spent.len() > SPENT {
            self.spent.remove(0);
        }
    }

    /// Forgets a named file that has been replaced.
    pub(in crate::core) fn is_written(&mut self, file: &str) {
        self.spent.retain(|(path, _)| path != file);
    }
}
