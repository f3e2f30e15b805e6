//! The methods about orders that were given before.

use varlink::Call;

use super::service::{Bad, Service, bad, complain, reply};
use super::wire::{Cancelled, Complaint, Job, Jobs};
use crate::core::{Answer, Order};

impl Service {
    pub(super) fn jobs(&self, call: &mut Call, name: Option<&str>) -> varlink::Result<()> {
        let statuses = match name.map(|name| self.find(name)).transpose() {
            Err(bad) => return complain(call, bad),
            Ok(Some((_, status))) => vec![status],
            Ok(None) => {
                let all = self.all().into_iter();
                all.map(|(_, status)| status).collect()
            }
        };
        let mut jobs: Vec<Job> = statuses.iter().flat_map(|s| Job::all_of(s)).collect();
        jobs.sort_by_key(|job| job.job);
        reply(call, false, &Jobs { jobs })
    }

    pub(super) fn cancel(&self, call: &mut Call, id: u64) -> varlink::Result<()> {
        let all = self.all();
        let job = |status: &_| Job::all_of(status).into_iter().find(|job| job.job == id);
        let found = all
            .iter()
            .find_map(|(key, status)| Some((*key, status, job(status)?)));
        let Some((key, status, known)) = found else {
            let what = Complaint {
                job: Some(id),
                ..Complaint::default()
            };
            let error = "NoSuchJob";
            return complain(call, Bad { error, what });
        };
        let Some(worker) = self.sources.board.worker(key) else {
            return complain(call, bad("Refused", status, "it is just being forgotten"));
        };
        let (_, answers) = worker.order(&Order::Cancel(id), self.client.clone());
        // There is one answer, which comes when the operation under way has been aborted.
        let answer = answers.recv().unwrap_or_else(|_| {
            Answer::Failed("its thread has ended, and nobody knows what came of it".to_owned())
        });
        match answer {
            Answer::Done | Answer::Accepted => {
                let now = self.sources.board.one(key);
                let job = now.as_deref().and_then(job).unwrap_or(known);
                reply(call, false, &Cancelled { job })
            }
            Answer::Refused(why) => complain(call, bad("Refused", status, &why)),
            Answer::Failed(why) => complain(call, bad("Failed", status, &why)),
        }
    }
}
