//! `domainmgr jobs` and `domainmgr cancel`

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::FormattedDuration;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::client::{Socket, complain, exit};
use super::complete;
use super::output::{printable, say};
use crate::frontends::control::wire::Job;

#[derive(Debug, Args)]
pub(super) struct Jobs {
    /// Only those of this domain: its name, its DisplayName, its uuid or its number.
    #[arg(add = complete::domains())]
    name: Option<String>,
    #[command(flatten)]
    socket: Socket,
}

#[derive(Debug, Args)]
pub(super) struct Cancel {
    /// The number of an order, as `jobs` and `--no-wait` show it.
    #[arg(add = complete::jobs())]
    job: u64,
    #[command(flatten)]
    socket: Socket,
}

impl Jobs {
    pub(super) fn run(&self) -> ExitCode {
        let name = self.name.as_deref();
        match self.socket.connect().and_then(|c| c.jobs(name)) {
            Err(e) => exit(complain(name.unwrap_or_default(), &e, self.socket.json)),
            Ok(jobs) => {
                let text = if self.socket.json {
                    jobs.iter().map(|job| format!("{}\n", json!(job))).collect()
                } else {
                    table(&jobs, OffsetDateTime::now_utc())
                };
                drop(say(&text));
                ExitCode::SUCCESS
            }
        }
    }
}

impl Cancel {
    pub(super) fn run(&self) -> ExitCode {
        match self.socket.connect().and_then(|c| c.cancel(self.job)) {
            Err(e) => exit(complain(&format!("job {}", self.job), &e, self.socket.json)),
            Ok(job) => {
                let text = if self.socket.json {
                    json!(job).to_string()
                } else {
                    printable(&format!(
                        "{}: {} is cancelled; {}",
                        job.name, job.verb, job.state
                    ))
                };
                drop(say(&format!("{text}\n")));
                ExitCode::SUCCESS
            }
        }
    }
}

/// A line per order, those that are being worked off among those that have come to their end.
fn table(jobs: &[Job], now: OffsetDateTime) -> String {
    let mut text = format!(
        "{:>5} {:<20} {:<10} {:<12} {:>8}  RESULT\n",
        "JOB", "NAME", "VERB", "BY", "AGE"
    );
    for job in jobs {
        let since = OffsetDateTime::parse(&job.since, &Rfc3339).ok();
        let age = since.map(|since| Duration::try_from(now - since).unwrap_or_default());
        let age = age.map(|age| FormattedDuration(Duration::from_secs(age.as_secs())).to_string());
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:>5} {:<20} {:<10} {:<12} {:>8}  {}",
            job.job,
            printable(&job.name),
            job.verb,
            printable(&job.by),
            age.unwrap_or_default(),
            printable(&result(job))
        );
    }
    text
}

/// Result of an order, or its progress.
fn result(job: &Job) -> String {
    match (&job.failure, &job.ended, job.percent) {
        (Some(why), ..) => format!("failed: {why}"),
        (None, Some(_), _) => "done".to_owned(),
        (None, None, Some(percent)) => format!("under way: {percent} %"),
        (None, None, None) => format!("under way: {}", job.state),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_has_a_line() {
        let job = Job {
            job: 7,
            uuid: String::new(),
            name: "web.1".into(),
            verb: "save".into(),
            by: "root".into(),
            since: "2026-01-02T03:04:05Z".into(),
            state: "RUNNING".into(),
            percent: None,
            ended: None,
            failure: None,
        };
        let now = OffsetDateTime::parse("2026-01-02T03:05:06Z", &Rfc3339).unwrap();
        let line = |job: &Job| {
            let text = table(std::slice::from_ref(job), now);
            text.lines().nth(1).unwrap_or_default().to_owned()
        };
        let words = |job: &Job| {
            let line = line(job);
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let start = "7 web.1 save root 00:01:01";
        assert_eq!(words(&job), format!("{start} under way: RUNNING"));
        let ended = Some("2026-01-02T03:04:09Z".to_owned());
        for (job, said) in [
            (
                Job {
                    percent: Some(40),
                    ..job.clone()
                },
                "under way: 40 %",
            ),
            (
                Job {
                    ended: ended.clone(),
                    ..job.clone()
                },
                "done",
            ),
            (
                Job {
                    ended,
                    failure: Some("no\nroom".into()),
                    ..job
                },
                "failed: no room",
            ),
        ] {
            assert_eq!(words(&job), format!("{start} {said}"));
        }
    }
}
