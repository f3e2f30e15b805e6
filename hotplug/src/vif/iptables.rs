//! Rules of the host's firewall that let the guest's packets pass.

use std::process::{Command, Stdio};

use super::Interface;
use crate::failure::Failure;
use crate::lock::Lock;
use crate::log;
use crate::store::Store;

const PROGRAM: &str = "iptables";

/// Lets packets from and to the interface pass a bridge, or no longer. With addresses of the guest, only those from them, and its
/// questions to a DHCP server.
pub(super) fn admit<S: Store>(interface: &Interface<'_, S>) -> Result<(), Failure> {
    // Without it, and without its part in the kernel, nothing is filtered.
    if !runs(&["-L", "-n"]) {
        return Ok(());
    }
    let addresses = interface.wish("ip")?.unwrap_or_default();
    let _lock = Lock::claim(PROGRAM)?;
    let comes = interface.call.command.comes();
    for rule in rules(&interface.name, &addresses, comes) {
        let words: Vec<&str> = rule.iter().map(String::as_str).collect();
        if !runs(&words) && comes {
            log::error(
                interface.call.script.name(),
                "iptables setup failed. This may affect guest networking.",
            );
        }
    }
    Ok(())
}

fn runs(words: &[&str]) -> bool {
    let status = Command::new(PROGRAM)
        .arg("-w")
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Returns the rules, each as the words of a command.
fn rules(name: &str, addresses: &str, comes: bool) -> Vec<Vec<String>> {
    let mut sources: Vec<Vec<&str>> = addresses
        .split_whitespace()
        .map(|address| vec!["-s", address])
        .collect();
    sources.push(if sources.is_empty() {
        Vec::new()
    } else {
        vec!["-p", "udp", "--sport", "68", "--dport", "67"]
    });
    let verb = if comes { "-I" } else { "-D" };
    let of = |direction, source: &[&str]| {
        let start = [
            verb,
            "FORWARD",
            "-m",
            "physdev",
            "--physdev-is-bridged",
            direction,
            name,
        ];
        let words = start.iter().chain(source).chain(&["-j", "ACCEPT"]);
        words.map(|&word| word.to_owned()).collect()
    };
    sources
        .iter()
        .flat_map(|source| [of("--physdev-in", source), of("--physdev-out", &[])])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(addresses: &str, comes: bool) -> Vec<String> {
        let rules = rules("vif5.0", addresses, comes);
        rules.into_iter().map(|words| words.join(" ")).collect()
    }

    #[test]
    fn everything_passes_without_addresses() {
        assert_eq!(
            lines("", true),
            [
                "-I FORWARD -m physdev --physdev-is-bridged --physdev-in vif5.0 -j ACCEPT",
                "-I FORWARD -m physdev --physdev-is-bridged --physdev-out vif5.0 -j ACCEPT",
            ]
        );
    }

    #[test]
    fn with_addresses_only_what_comes_from_them_passes() {
        let of_guest: Vec<String> = lines("10.0.0.1 10.0.1.0/24", false)
            .into_iter()
            .filter(|line| line.contains("--physdev-in"))
            .collect();
        assert_eq!(
            of_guest,
            [
                "-D FORWARD -m physdev --physdev-is-bridged --physdev-in vif5.0 -s 10.0.0.1 -j ACCEPT",
                "-D FORWARD -m physdev --physdev-is-bridged --physdev-in vif5.0 -s 10.0.1.0/24 -j ACCEPT",
                "-D FORWARD -m physdev --physdev-is-bridged --physdev-in vif5.0 -p udp --sport 68 --dport 67 -j ACCEPT",
            ]
        );
    }
}
