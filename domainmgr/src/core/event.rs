//! Events of a domain's history.

use time::OffsetDateTime;

use super::state::facts::Facts;
use super::state::job::Job;

/// An entry in the history of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Time when the event was noticed.
    pub at: OffsetDateTime,
    /// The domain's name.
    pub name: String,
    /// Domid; 0 if there is no domain.
    pub domid: u32,
    /// State, as in `StateName` of the DomainStatus; or `error`, `held`, `changed`, `order`, `removed`.
    pub what: String,
    /// Text for people, such as the reason or the user.
    pub detail: String,
}

impl Event {
    /// The end of an order.
    pub(super) fn of_job(at: OffsetDateTime, f: &Facts, job: &Job) -> Self {
        let Job { id, verb, by, .. } = job;
        let end = match &job.failure {
            Some(why) => format!("failed: {why}"),
            None => "done".to_owned(),
        };
        Self {
            at,
            name: f.name().unwrap_or_default(),
            domid: f.domain().map_or(0, |id| id.domid),
            what: "order".to_owned(),
            detail: format!("{verb} by {by}, job {id}: {end}"),
        }
    }
}
