//! `domainmgr ocf`: the resource agent `ocf:libxl:Domain`, by which Pacemaker starts, stops, watches and moves a domain.
//!
//! `parameters.rs` reads what Pacemaker sets in the environment, `decide.rs` decides without effects, `agent.rs` talks to the control
//! socket, `cluster.rs` asks Pacemaker about fencing, and `actions.rs` connects them.

mod actions;
mod agent;
mod cluster;
mod decide;
mod parameters;
mod verdict;

use std::process::ExitCode;

use clap::Args;

use self::actions::Resource;
use self::parameters::Parameters;
use self::verdict::{Code, Verdict, brief};
use super::output::{printable, say};

/// Description of the resource agent, as Pacemaker and its tools read it.
const META_DATA: &str = include_str!("meta_data.xml");

/// Actions, for people who call the resource agent by hand.
const USAGE: &str = "usage: domainmgr ocf \
    start|stop|monitor|migrate_to|migrate_from|reload|reload-agent|validate-all|meta-data\n";

#[derive(Debug, Args)]
pub(super) struct Ocf {
    /// start, stop, monitor, migrate_to, migrate_from, reload, reload-agent, validate-all or meta-data
    action: Option<String>,
}

impl Ocf {
    pub(super) fn run(&self) -> ExitCode {
        let verdict = self.verdict(|key| std::env::var(key).ok());
        if let Some(reason) = &verdict.reason {
            // Pacemaker shows the rest of a line that begins like this.
            eprintln!("ocf-exit-reason:{}", printable(&brief(reason)));
        }
        ExitCode::from(verdict.code as u8)
    }

    fn verdict(&self, variable: impl Fn(&str) -> Option<String>) -> Verdict {
        let action = self.action.as_deref().unwrap_or_default();
        match action {
            "meta-data" => return printed(META_DATA),
            "usage" | "help" => return printed(USAGE),
            _ => {}
        }
        let resource = match Parameters::read(action, variable) {
            Ok(parameters) => Resource::new(parameters),
            Err(why) => return Verdict::new(Code::Configured, why),
        };
        match action {
            "start" => resource.start(),
            "stop" => resource.stop(),
            "monitor" | "status" => resource.monitor(),
            "migrate_to" => resource.migrate_to(),
            "migrate_from" => resource.migrate_from(),
            // Each action reads all parameters anew.
            "reload" | "reload-agent" => resource.monitor(),
            "validate-all" => resource.validate(),
            _ => Verdict::new(
                Code::Unimplemented,
                format!("{action:?}: there is no such action; {}", USAGE.trim_end()),
            ),
        }
    }
}

fn printed(text: &str) -> Verdict {
    match say(text) {
        Ok(()) => Verdict::ok(),
        Err(e) => Verdict::new(Code::Generic, e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_that_is_read_is_described_and_the_other_way_round() {
        let described: Vec<&str> = META_DATA
            .lines()
            .filter_map(|line| line.trim().strip_prefix("<parameter name=\""))
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(described, parameters::NAMES);
        // Each is described in a sentence.
        assert_eq!(META_DATA.matches("<longdesc").count(), described.len() + 1);
    }

    #[test]
    fn each_action_that_is_described_is_one() {
        let ocf = |action: &str| Ocf {
            action: Some(action.to_owned()),
        };
        let mut actions = 0;
        for line in META_DATA.lines() {
            let Some(rest) = line.trim().strip_prefix("<action name=\"") else {
                continue;
            };
            let action = rest.split('"').next().unwrap_or_default();
            // Without a name no action begins.
            let code = ocf(action).verdict(|_| None).code;
            let known = if action == "meta-data" {
                Code::Ok
            } else {
                Code::Configured
            };
            assert_eq!(code, known, "{action}");
            assert!(USAGE.contains(action), "{action}");
            actions += 1;
        }
        assert_eq!(actions, 8);
        let name = |key: &str| (key == "OCF_RESKEY_name").then(|| "web".to_owned());
        assert_eq!(ocf("promote").verdict(name).code, Code::Unimplemented);
        assert_eq!(ocf("").verdict(name).code, Code::Unimplemented);
    }
}
