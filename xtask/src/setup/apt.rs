//! Parses the output of `apt-get --simulate`.

use std::fmt;

use crate::tool;

/// A change to an installed package.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The package is removed.
    Removed { package: String },
    /// The package is replaced by another version.
    Replaced {
        package: String,
        from: String,
        to: String,
    },
}

impl Change {
    /// Returns whether the change takes something away. Only an upgrade does not.
    pub(super) fn is_harm(&self) -> bool {
        match self {
            Self::Removed { .. } => true,
            Self::Replaced { from, to, .. } => {
                tool::output(std::process::Command::new("dpkg").args([
                    "--compare-versions",
                    from,
                    "lt",
                    to,
                ]))
                .is_err()
            }
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed { package } => write!(f, "{package} would be removed"),
            Self::Replaced { package, from, to } => {
                write!(f, "{package} {from} would become {to}")
            }
        }
    }
}

/// Returns all changes except additions. Lines are `Inst NAME (NEW …)`, `Inst NAME [OLD] (NEW …)` and `Remv NAME [OLD]`.
pub(super) fn changes(simulation: &str) -> Vec<Change> {
    simulation
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let verb = words.next()?;
            let package = words.next()?.to_owned();
            match (verb, words.next()?.strip_prefix('[')) {
                ("Remv", _) => Some(Change::Removed { package }),
                ("Inst", Some(old)) => Some(Change::Replaced {
                    package,
                    from: old.trim_end_matches(']').to_owned(),
                    to: words.next()?.trim_start_matches('(').to_owned(),
                }),
                _ => None,
            }
        })
        .collect()
}

/// A package from another archive. A Debian of any release would replace or remove it for its own QEMU.
const FOREIGN: &str = "Package: qemu-utils\nStatus: install ok installed\nPriority: optional\nSection: otherosfs\nMaintainer: nobody\n\
                       Architecture: amd64\nVersion: 1:99.0\nBreaks: qemu-system-x86 (<< 1:99)\nDescription: from another archive\n";

/// Returns dpkg's status of this machine as it may have been before set-up.
///
/// The status lacks those of `packages` that no other package needs, and has one package from another archive. The second value lists
/// those of `packages` that set-up would have to install.
pub(super) fn before_set_up<'a>(status: &str, packages: &[&'a str]) -> (String, Vec<&'a str>) {
    let paragraphs: Vec<&str> = status
        .split("\n\n")
        .filter(|p| !p.trim().is_empty())
        .collect();
    let field = |paragraph: &'_ str, name: &str| {
        paragraph
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let needed = |package: &str| {
        paragraphs.iter().any(|paragraph| {
            ["Depends:", "Pre-Depends:"].iter().any(|kind| {
                field(paragraph, kind)
                    .split([',', '|'])
                    .filter_map(|word| word.split_whitespace().next())
                    .any(|word| word.split(':').next() == Some(package))
            })
        })
    };
    let essential = |package: &str| {
        paragraphs
            .iter()
            .any(|p| field(p, "Package:") == package && field(p, "Essential:") == "yes")
    };
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|package| !essential(package) && !needed(package))
        .collect();
    let text = paragraphs
        .into_iter()
        .filter(|paragraph| {
            let name = field(paragraph, "Package:");
            !missing.contains(&name.as_str()) && name != "qemu-utils"
        })
        .chain([FOREIGN])
        .map(|paragraph| format!("{}\n\n", paragraph.trim_matches('\n')))
        .collect();
    (text, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_are_told_from_changes() {
        let simulation = "Remv qemu-utils [1:10.0.2+ds-2]\n\
                          Inst libfdt1 (1.6.1-4 Debian:12.15/oldstable [amd64])\n\
                          Inst libc6 [2.36-9] (2.36-10 Debian:12/stable [amd64]) []\n\
                          Conf libfdt1 (1.6.1-4 Debian:12.15/oldstable [amd64])\n";
        let found = changes(simulation);
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "qemu-utils would be removed",
                "libc6 2.36-9 would become 2.36-10"
            ]
        );
        assert!(found[0].is_harm());
        assert!(!found[1].is_harm(), "an upgrade takes nothing away");
        let down = changes("Inst a [2] (1 Debian)");
        assert!(down[0].is_harm());
    }

    #[test]
    fn the_machine_before_set_up_lacks_our_packages() {
        let status = "Package: gcc\nDepends: cpp (= 1)\n\nPackage: g++\nDepends: libc6, gcc (>= 1) | tcc\n\n\
                      Package: pkg-config\nVersion: 2\n\nPackage: util-linux\nEssential: yes\n\n";
        let ours = ["gcc", "pkg-config", "util-linux", "not-there"];
        let (before, missing) = before_set_up(status, &ours);
        assert_eq!(missing, ["pkg-config", "not-there"], "others are needed");
        assert!(!before.contains("pkg-config"), "{before}");
        assert!(before.contains("Package: gcc\n"), "{before}");
        assert!(before.contains("\n\nPackage: qemu-utils\n"), "{before}");
    }
}
