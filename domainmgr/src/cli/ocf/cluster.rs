//! Questions to Pacemaker.

use std::process::{Command, Stdio};

/// Fencing, as the cluster is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fencing {
    /// Pacemaker starts nothing elsewhere before it knows that a node which it cannot ask is down.
    On,
    /// Pacemaker takes a node that it cannot ask to be down.
    Off,
    /// There is no Pacemaker to ask, such as when the resource agent is called by hand.
    Unknown,
}

/// Asks Pacemaker.
pub(super) fn fencing() -> Fencing {
    let asked = Command::new("crm_attribute")
        .args(["--type", "crm_config", "--name", "stonith-enabled"])
        .args(["--query", "--quiet", "--default", "true"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    match asked {
        Ok(said) if said.status.success() => parse(&String::from_utf8_lossy(&said.stdout)),
        _ => Fencing::Unknown,
    }
}

fn parse(text: &str) -> Fencing {
    match text.trim().to_lowercase().as_str() {
        "false" | "no" | "off" | "n" | "0" => Fencing::Off,
        "" => Fencing::Unknown,
        _ => Fencing::On,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pacemaker_says_is_understood() {
        assert_eq!(parse("true\n"), Fencing::On);
        assert_eq!(parse("1"), Fencing::On);
        assert_eq!(parse("False\n"), Fencing::Off);
        assert_eq!(parse("0"), Fencing::Off);
        assert_eq!(parse(""), Fencing::Unknown);
    }
}
