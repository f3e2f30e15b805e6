//! Decisions of the resource agent, from what the agent shows of a domain. No effects.

use time::{Duration, OffsetDateTime};

use super::cluster::Fencing;
use super::verdict::{Code, Verdict};
use crate::frontends::eve::DomainStatus;

/// Time for which another toolstack may suspend a domain, for a checkpoint of its own.
const REST: Duration = Duration::seconds(30);

/// Result of a question for the domain.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    Domain(Box<DomainStatus>),
    /// The agent knows no such domain.
    Nobody,
    /// No agent has run since this host was started, so that no domain of one can run here.
    NeverRan,
    /// The agent cannot be asked, for this reason.
    Silent(String),
    /// The socket may not be used.
    NotAllowed(String),
}

impl Found {
    /// Returns the domain, or the verdict where there is none. A domain that is not there is `absent`.
    pub(super) fn or(self, absent: Verdict) -> Result<Box<DomainStatus>, Verdict> {
        match self {
            Self::Domain(status) => Ok(status),
            Self::Nobody | Self::NeverRan => Err(absent),
            Self::Silent(why) => Err(Verdict::failed(format!(
                "it is not known whether the domain runs here: {why}"
            ))),
            Self::NotAllowed(why) => Err(Verdict::new(Code::Permission, why)),
        }
    }
}

/// Result of a monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    Is(Verdict),
    /// It does not run, but the agent may start it at any time. That has to end before Pacemaker may start it elsewhere.
    Withdraw,
    /// It runs, and would be started again with this host. That has to end.
    UntilBoot,
}

/// Judges a domain that was looked at `now`.
pub(super) fn watched(status: &DomainStatus, is_recurring: bool, now: OffsetDateTime) -> Watched {
    let failed = |why: String| Watched::Is(Verdict::failed(why));
    let ok = Watched::Is(Verdict::ok());
    match status.state_name.as_str() {
        "RUNNING" | "PAUSED" | "BOOTING" => {
            let stays = status.held == "started" && !status.held_until_boot && !status.activate;
            if is_recurring && stays {
                Watched::UntilBoot
            } else {
                ok
            }
        }
        "HALTING" if !status.last_err.is_empty() => failed(status.last_err.clone()),
        "HALTING" => ok,
        "SUSPENDED" if !is_under_way(status) => match undecided(status) {
            Some(why) => failed(why),
            None if is_resting(status, now) => ok,
            None => failed(format!("it is suspended: {}", status.state_reason)),
        },
        "SUSPENDED" => ok,
        "BROKEN" => failed(described(status)),
        "PRESERVED" => failed(format!("its guest has ended: {}", described(status))),
        _ if is_to_run(status) => Watched::Withdraw,
        _ => Watched::Is(Verdict::not_running()),
    }
}

/// Returns whether the agent has the domain run, or would start it.
pub(super) fn is_to_run(status: &DomainStatus) -> bool {
    match status.held.as_str() {
        "" => status.activate && status.moved_to.is_empty(),
        held => held == "started",
    }
}

/// Returns whether the domain is down and stays so: nothing is about to build it, and it is not about to come from another host.
pub(super) fn is_stopped(status: &DomainStatus) -> bool {
    !is_there(status) && !is_to_run(status) && !is_under_way(status)
}

/// Returns whether the domain is about to come from another host.
pub(super) fn is_coming(status: &DomainStatus) -> bool {
    let mut under_way = status.jobs.iter().filter(|job| job.ended.is_none());
    under_way.any(|job| job.verb == "receive")
}

/// Returns whether there is a domain.
pub(super) fn is_there(status: &DomainStatus) -> bool {
    !matches!(
        status.state_name.as_str(),
        "INSTALLED" | "HALTED" | "SAVED" | ""
    )
}

/// Returns whether an order is under way, such as a save or a migration.
fn is_under_way(status: &DomainStatus) -> bool {
    status.jobs.iter().any(|job| job.ended.is_none())
}

fn is_resting(status: &DomainStatus, now: OffsetDateTime) -> bool {
    status
        .suspended_since
        .is_none_or(|since| now - since < REST)
}

/// Describes a guest whose migration has come to no known end, if there is one.
pub(super) fn undecided(status: &DomainStatus) -> Option<String> {
    let (name, host) = (&status.domain_name, &status.given_to);
    (!host.is_empty()).then(|| {
        format!(
            "it is suspended in the middle of a failed migration: it was given away to {host}, and it is not known whether it runs \
             there; `domainmgr migrate --resolve {name}` asks {host}"
        )
    })
}

/// Describes the state of a domain.
pub(super) fn described(status: &DomainStatus) -> String {
    let words = [&status.state_name, &status.last_err, &status.state_reason];
    let words: Vec<&str> = words
        .into_iter()
        .map(String::as_str)
        .filter(|word| !word.is_empty())
        .collect();
    words.join("; ")
}

/// Decision about a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Is(Verdict),
    /// Start it. `anyway`: the agent cannot exclude that it runs elsewhere, and Pacemaker can.
    Do {
        anyway: bool,
    },
}

/// Decides about a start. `require_fencing`: only in a cluster with fencing.
pub(super) fn start(status: &DomainStatus, fencing: Fencing, require_fencing: bool) -> Start {
    let installed = |why: String| Start::Is(Verdict::new(Code::Installed, why));
    if status.activate {
        return installed(
            "its file asks for it to run, so that this node would start it when it comes back, whatever Pacemaker says: write \
             domainmgr_activate = 0 into the file of xl's, or \"Activate\": false into the DomainConfig"
                .to_owned(),
        );
    }
    if require_fencing && fencing == Fencing::Off {
        return installed(
            "the cluster has no fencing (stonith-enabled=false): a node that is only cut off would go on running the domain, and two \
             of it would destroy its disks. Configure fencing, or set require_fencing=false if the disks cannot be reached from two \
             nodes at once"
                .to_owned(),
        );
    }
    if let Some(why) = undecided(status) {
        return Start::Is(Verdict::failed(why));
    }
    if matches!(status.state_name.as_str(), "RUNNING" | "PAUSED") && status.held_until_boot {
        return Start::Is(Verdict::ok());
    }
    let lives_on = !status.moved_to.is_empty() || status.vanished;
    match (lives_on, fencing) {
        (false, _) => Start::Do { anyway: false },
        // Pacemaker has stopped it at the node that it was on, or has switched that node off.
        (true, Fencing::On) => Start::Do { anyway: true },
        (true, _) => {
            let how = match status.moved_to.as_str() {
                "" => status.shutdown_reason.clone(),
                host => format!("migrated to {host}"),
            };
            let name = &status.domain_name;
            Start::Is(Verdict::failed(format!(
                "{how}: it may run elsewhere, and without fencing nobody can exclude that: make sure that it does not, then \
                 `domainmgr start --anyway --until-reboot {name}`"
            )))
        }
    }
}

/// Decision about a guest that was given away, and whose other host does not say what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Destroy the suspended domain here.
    Destroy,
    Is(Verdict),
}

/// Decides what a stop does about such a guest. `why`: the other host cannot be asked.
///
/// The domain here is suspended, so that to destroy it never makes two of it run. It may be the last one, whose guest ends as in a
/// power cut. What matters is what follows: once it is stopped, Pacemaker starts the guest anew. With fencing it does so only when the
/// other node is known to be down, or has stopped the guest as well. Without fencing the guest may run there.
pub(super) fn silence(status: &DomainStatus, fencing: Fencing, why: &str) -> Silence {
    if fencing == Fencing::On {
        return Silence::Destroy;
    }
    let host = &status.given_to;
    let undecided = undecided(status).unwrap_or_default();
    Silence::Is(Verdict::failed(format!(
        "{undecided}; {host} cannot be asked now ({why}), and without fencing the domain is not destroyed here"
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may")]

    use super::*;
    use crate::frontends::eve::Job;

    fn domain(state: &str) -> DomainStatus {
        DomainStatus {
            domain_name: "web".to_owned(),
            state_name: state.to_owned(),
            ..DomainStatus::default()
        }
    }

    fn held(state: &str, until_boot: bool) -> DomainStatus {
        DomainStatus {
            held: "started".to_owned(),
            held_until_boot: until_boot,
            ..domain(state)
        }
    }

    fn now() -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::hours(1)
    }

    fn code(status: &DomainStatus) -> Code {
        match watched(status, true, now()) {
            Watched::Is(verdict) => verdict.code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_monitor_says_what_is() {
        for state in ["RUNNING", "PAUSED", "BOOTING", "HALTING"] {
            assert_eq!(code(&held(state, true)), Code::Ok, "{state}");
        }
        for state in ["HALTED", "SAVED", "INSTALLED"] {
            assert_eq!(code(&domain(state)), Code::NotRunning, "{state}");
        }
        for state in ["BROKEN", "PRESERVED"] {
            assert_eq!(code(&held(state, true)), Code::Generic, "{state}");
        }
        let stuck = DomainStatus {
            last_err: "domain 3 could not be destroyed".to_owned(),
            ..domain("HALTING")
        };
        assert_eq!(code(&stuck), Code::Generic);
    }

    #[test]
    fn what_is_down_and_may_be_started_by_the_agent_is_no_stopped_resource() {
        for state in ["HALTED", "INSTALLED", "SAVED"] {
            let status = held(state, true);
            assert_eq!(watched(&status, false, now()), Watched::Withdraw, "{state}");
        }
        let activated = DomainStatus {
            activate: true,
            ..domain("INSTALLED")
        };
        assert_eq!(watched(&activated, false, now()), Watched::Withdraw);
        let stopped = DomainStatus {
            held: "stopped".to_owned(),
            ..activated
        };
        assert_eq!(code(&stopped), Code::NotRunning);
    }

    #[test]
    fn a_domain_on_its_way_here_is_not_stopped() {
        let mut status = domain("INSTALLED");
        assert!(is_stopped(&status) && !is_coming(&status));
        status.jobs = vec![Job {
            verb: "receive".to_owned(),
            ..Job::default()
        }];
        assert!(!is_stopped(&status) && is_coming(&status));
        status.jobs[0].ended = Some(now());
        assert!(is_stopped(&status) && !is_coming(&status));
    }

    #[test]
    fn one_that_would_come_back_with_its_host_is_put_right_by_recurring_monitors_only() {
        let status = held("RUNNING", false);
        assert_eq!(watched(&status, true, now()), Watched::UntilBoot);
        assert_eq!(watched(&status, false, now()), Watched::Is(Verdict::ok()));
    }

    #[test]
    fn a_suspended_domain_is_judged_by_why_it_is() {
        let mut status = held("SUSPENDED", true);
        status.suspended_since = Some(now() - Duration::seconds(5));
        assert_eq!(code(&status), Code::Ok);
        status.suspended_since = Some(now() - Duration::seconds(60));
        assert_eq!(code(&status), Code::Generic);
        status.given_to = "beta".to_owned();
        status.jobs = vec![Job::default()];
        assert_eq!(code(&status), Code::Ok, "the migration is under way");
        status.jobs[0].ended = Some(now());
        let Watched::Is(verdict) = watched(&status, true, now()) else {
            panic!()
        };
        let reason = verdict.reason.unwrap();
        assert_eq!(verdict.code, Code::Generic);
        assert!(
            reason.contains("domainmgr migrate --resolve web"),
            "{reason}"
        );
        assert!(reason.contains("given away to beta"), "{reason}");
    }

    #[test]
    fn no_answer_is_no_stopped_domain() {
        let absent = || Verdict::not_running();
        let code = |found: Found| found.or(absent()).unwrap_err().code;
        assert_eq!(code(Found::Nobody), Code::NotRunning);
        assert_eq!(code(Found::NeverRan), Code::NotRunning);
        assert_eq!(code(Found::Silent(String::new())), Code::Generic);
        assert_eq!(code(Found::NotAllowed(String::new())), Code::Permission);
    }

    fn start_code(status: &DomainStatus, fencing: Fencing, require: bool) -> Option<Code> {
        match start(status, fencing, require) {
            Start::Is(verdict) => Some(verdict.code),
            Start::Do { .. } => None,
        }
    }

    #[test]
    fn a_start_is_refused_where_two_could_run() {
        let plain = domain("HALTED");
        let begins = Start::Do { anyway: false };
        for fencing in [Fencing::On, Fencing::Unknown] {
            assert_eq!(start(&plain, fencing, true), begins);
        }
        assert_eq!(
            start_code(&plain, Fencing::Off, true),
            Some(Code::Installed)
        );
        assert_eq!(start(&plain, Fencing::Off, false), begins);
        let activated = DomainStatus {
            activate: true,
            ..plain.clone()
        };
        assert_eq!(
            start_code(&activated, Fencing::On, true),
            Some(Code::Installed)
        );
        let moved = DomainStatus {
            moved_to: "beta".to_owned(),
            ..plain.clone()
        };
        let vanished = DomainStatus {
            vanished: true,
            ..plain
        };
        for status in [moved, vanished] {
            assert_eq!(
                start(&status, Fencing::On, true),
                Start::Do { anyway: true }
            );
            assert_eq!(
                start_code(&status, Fencing::Off, false),
                Some(Code::Generic)
            );
            assert_eq!(
                start_code(&status, Fencing::Unknown, true),
                Some(Code::Generic)
            );
        }
    }

    #[test]
    fn a_start_of_what_runs_is_done() {
        let running = held("RUNNING", true);
        assert_eq!(start_code(&running, Fencing::On, true), Some(Code::Ok));
        // The hold is made to end with the host.
        let by_hand = held("RUNNING", false);
        assert_eq!(start_code(&by_hand, Fencing::On, true), None);
    }

    #[test]
    fn a_suspended_copy_is_destroyed_only_where_its_other_half_is_known_to_be_down() {
        let status = DomainStatus {
            given_to: "beta".to_owned(),
            ..domain("SUSPENDED")
        };
        assert_eq!(silence(&status, Fencing::On, "no route"), Silence::Destroy);
        for fencing in [Fencing::Off, Fencing::Unknown] {
            let Silence::Is(verdict) = silence(&status, fencing, "no route") else {
                panic!()
            };
            let reason = verdict.reason.unwrap();
            assert!(verdict.code == Code::Generic && reason.contains("no route"));
            assert!(reason.contains("migrate --resolve web"), "{reason}");
        }
        assert_eq!(start_code(&status, Fencing::On, true), Some(Code::Generic));
    }
}
