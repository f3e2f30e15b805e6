//! Parameters of the resource, which Pacemaker sets in the environment.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::host::remote::Destination;

/// Names of all parameters, in the order of the description.
#[cfg(test)]
pub(super) const NAMES: [&str; 8] = [
    "name",
    "run_dir",
    "shutdown_timeout",
    "require_fencing",
    "user",
    "host_map",
    "migrate_network_suffix",
    "via",
];

/// Time for an action whose timeout is not known, because Pacemaker has not called it.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Part of an action's timeout that is kept for its end, as a divisor, and its limits.
const RESERVE: u32 = 10;
const LEAST_RESERVE: Duration = Duration::from_millis(500);
const MOST_RESERVE: Duration = Duration::from_secs(5);

/// Parameters of a resource and of the action.
#[derive(Clone, Debug)]
pub(super) struct Parameters {
    /// NAME of the domain.
    pub(super) name: String,
    pub(super) run_dir: PathBuf,
    /// Time that the guest has to shut down; `None` for most of the action's time.
    pub(super) shutdown_timeout: Option<Duration>,
    pub(super) require_fencing: bool,
    user: String,
    /// Hosts of nodes, as ssh knows them.
    host_map: Vec<(String, String)>,
    suffix: String,
    pub(super) via: Option<String>,
    /// The node to migrate to.
    target: Option<String>,
    /// The action is one of the repeated monitors.
    pub(super) is_recurring: bool,
    /// Beginning of the action, and the time by which it has to be over.
    begin: Instant,
    timeout: Duration,
}

impl Parameters {
    /// Reads them from `variable`.
    ///
    /// # Errors
    /// A value is missing, or cannot be used. The text names it.
    pub(super) fn read(
        action: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let of = |key: &str| {
            let text = variable(&format!("OCF_RESKEY_{key}")).unwrap_or_default();
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let name = of("name").ok_or("name: a domain needs one")?;
        let timeout = milliseconds("CRM_meta_timeout", of("CRM_meta_timeout"))?;
        let interval = milliseconds("CRM_meta_interval", of("CRM_meta_interval"))?;
        let run_dir = of("run_dir").unwrap_or_else(|| "/var/run/domainmgr".to_owned());
        if !run_dir.starts_with('/') {
            return Err(format!(
                "run_dir: expected an absolute path, found {run_dir:?}"
            ));
        }
        let found = Self {
            name,
            run_dir: run_dir.into(),
            shutdown_timeout: seconds("shutdown_timeout", of("shutdown_timeout"))?,
            require_fencing: boolean("require_fencing", of("require_fencing"), true)?,
            user: of("user").unwrap_or_else(|| "root".to_owned()),
            host_map: host_map(of("host_map"))?,
            suffix: of("migrate_network_suffix").unwrap_or_default(),
            via: of("via"),
            target: of("CRM_meta_migrate_target"),
            is_recurring: action == "monitor" && interval.is_some_and(|i| !i.is_zero()),
            begin: Instant::now(),
            timeout: timeout.filter(|t| !t.is_zero()).unwrap_or(TIMEOUT),
        };
        let hosts = found.host_map.iter().map(|(node, _)| node.as_str());
        for node in hosts.chain(["node"]) {
            let host = found.host_of(node);
            if !Destination::is_host(&host) {
                return Err(format!(
                    "user, host_map, migrate_network_suffix: {host:?} is no host that ssh knows"
                ));
            }
        }
        Ok(found)
    }

    /// Returns the host to migrate to, as ssh knows it.
    pub(super) fn target(&self) -> Option<String> {
        self.target.as_deref().map(|node| self.host_of(node))
    }

    fn host_of(&self, node: &str) -> String {
        let known = self.host_map.iter().find(|(name, _)| name == node);
        let host = match known {
            Some((_, host)) => host.clone(),
            None => format!("{node}{}", self.suffix),
        };
        if host.contains('@') {
            host
        } else {
            format!("{}@{host}", self.user)
        }
    }

    /// Time at which the action has to be over, so that it can say why.
    pub(super) fn end(&self) -> Instant {
        self.begin + (self.timeout - self.reserve())
    }

    /// Time before [`Parameters::end`] that is enough to undo what was begun.
    pub(super) fn before_end(&self) -> Instant {
        // The agent gives the other end of a connection ten seconds for its last words.
        let share = self.timeout / 3;
        self.end() - share.min(Duration::from_secs(20))
    }

    /// Time at which a guest that was asked to shut down is destroyed.
    pub(super) fn destroy_at(&self) -> Instant {
        let latest = self.end() - (self.timeout / 3).min(Duration::from_secs(30));
        match self.shutdown_timeout {
            Some(patience) => latest.min(self.begin + patience),
            None => latest,
        }
    }

    /// Time until which a monitor waits for an agent that does not answer: it may just be restarted.
    pub(super) fn patience(&self) -> Instant {
        self.begin + (self.timeout / 2).min(Duration::from_secs(10))
    }

    fn reserve(&self) -> Duration {
        (self.timeout / RESERVE).clamp(LEAST_RESERVE.min(self.timeout), MOST_RESERVE)
    }
}

fn milliseconds(key: &str, text: Option<String>) -> Result<Option<Duration>, String> {
    number(key, text).map(|n| n.map(Duration::from_millis))
}

fn seconds(key: &str, text: Option<String>) -> Result<Option<Duration>, String> {
    let text = text.map(|text| text.trim_end_matches('s').to_owned());
    let found = number(key, text)?.filter(|n| *n != 0);
    Ok(found.map(Duration::from_secs))
}

fn number(key: &str, text: Option<String>) -> Result<Option<u64>, String> {
    let Some(text) = text else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) if number <= u64::from(u32::MAX) => Ok(Some(number)),
        _ => Err(format!("{key}: expected a number, found {text:?}")),
    }
}

fn boolean(key: &str, text: Option<String>, default: bool) -> Result<bool, String> {
    let Some(text) = text else {
        return Ok(default);
    };
    match text.to_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("{key}: expected true or false, found {text:?}")),
    }
}

/// Parses `node=host` pairs that are separated by semicolons.
fn host_map(text: Option<String>) -> Result<Vec<(String, String)>, String> {
    let text = text.unwrap_or_default();
    let pairs = text
        .split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| match pair.split_once('=') {
            Some((node, host)) if !node.is_empty() && !host.is_empty() => {
                Ok((node.trim().to_owned(), host.trim().to_owned()))
            }
            _ => Err(format!("host_map: expected node=host;…, found {pair:?}")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Parameters, String> {
        Parameters::read("monitor", |key| {
            let key = key.strip_prefix("OCF_RESKEY_")?;
            let found = pairs.iter().find(|(name, _)| *name == key);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn each_has_a_default_except_the_name() {
        let found = read(&[("name", "web")]).unwrap();
        assert_eq!(found.run_dir, PathBuf::from("/var/run/domainmgr"));
        assert!(found.require_fencing && !found.is_recurring);
        assert_eq!((found.via.clone(), found.target()), (None, None));
        assert!(read(&[]).unwrap_err().starts_with("name: "));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (key, value) in [
            ("run_dir", "run"),
            ("shutdown_timeout", "soon"),
            ("require_fencing", "perhaps"),
            ("host_map", "alpha"),
            ("user", "-oProxyCommand=x"),
            ("migrate_network_suffix", ".a b"),
            ("CRM_meta_timeout", "x"),
        ] {
            let why = read(&[("name", "web"), (key, value)]).unwrap_err();
            assert!(why.contains(key), "{why}");
        }
    }

    #[test]
    fn a_node_has_its_host() {
        let target = |more: &[(&str, &str)]| {
            let all = [
                &[("name", "web"), ("CRM_meta_migrate_target", "beta")],
                more,
            ]
            .concat();
            read(&all).unwrap().target().unwrap()
        };
        assert_eq!(target(&[]), "root@beta");
        assert_eq!(target(&[("user", "xen")]), "xen@beta");
        assert_eq!(
            target(&[("migrate_network_suffix", "-mig")]),
            "root@beta-mig"
        );
        let map = "alpha=10.0.0.1; beta=me@10.0.0.2";
        assert_eq!(target(&[("host_map", map)]), "me@10.0.0.2");
        assert_eq!(target(&[("host_map", "alpha=10.0.0.1")]), "root@beta");
    }

    #[test]
    fn times_come_in_their_order_before_the_timeout() {
        for timeout in ["1000", "20000", "180000"] {
            let found = read(&[("name", "web"), ("CRM_meta_timeout", timeout)]).unwrap();
            let late = found.begin + found.timeout;
            assert!(found.begin < found.destroy_at() && found.destroy_at() < found.end());
            assert!(found.begin < found.before_end() && found.before_end() < found.end());
            assert!(found.end() < late && found.patience() < late);
        }
        let found = read(&[
            ("name", "web"),
            ("CRM_meta_timeout", "180000"),
            ("shutdown_timeout", "60"),
        ]);
        let found = found.unwrap();
        assert_eq!(found.destroy_at(), found.begin + Duration::from_secs(60));
    }
}
