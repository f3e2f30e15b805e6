//! The verbs that change a domain while it runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::complete;
use super::verbs::How;
use crate::frontends::control::wire::{self, Kind};

#[derive(Debug, Args)]
pub(super) struct Attach {
    /// A domain's name, its DisplayName, its uuid or its number.
    #[arg(add = complete::domains())]
    name: String,
    /// The kind of device.
    #[arg(value_enum)]
    kind: Kind,
    /// The device, as it would stand in the lists `disk`, `vif` or `pci` of a file of xl's, such as
    /// `format=qcow2,vdev=xvdb,target=/images/data.qcow2`, `bridge=xenbr1` or `0000:07:00.0`.
    spec: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct Detach {
    /// A domain's name, its DisplayName, its uuid or its number.
    #[arg(add = complete::domains())]
    name: String,
    /// The kind of device.
    #[arg(value_enum)]
    kind: Kind,
    /// A disk by its name in the guest; an interface by its address, or by its name in the host; a PCI device by its address in
    /// the host.
    which: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct Insert {
    /// A domain's name, its DisplayName, its uuid or its number.
    #[arg(add = complete::domains())]
    name: String,
    /// The drive, by its name in the guest.
    vdev: String,
    /// The disc: a file or a block device.
    file: PathBuf,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct Eject {
    /// A domain's name, its DisplayName, its uuid or its number.
    #[arg(add = complete::domains())]
    name: String,
    /// The drive, by its name in the guest.
    vdev: String,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// A domain's name, its DisplayName, its uuid or its number.
    #[arg(add = complete::domains())]
    name: String,
    /// memory=MIB, vcpus=N, cpus=SET (as in xl.cfg: `0-3,^1`), weight=N (256 is usual), cap=PERCENT (of one processor; 0: no
    /// limit).
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = figure)]
    figures: Vec<Figure>,
    #[command(flatten)]
    how: How,
}

/// One of the figures that can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Figure {
    Memory(u64),
    Vcpus(u32),
    Cpus(String),
    Weight(u32),
    Cap(u32),
}

fn figure(text: &str) -> Result<Figure, String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    let number = || {
        let number = value.parse::<u32>();
        number.map_err(|_| format!("{key}: expected a number, found {value:?}"))
    };
    match key {
        "memory" => {
            let mib = value.parse();
            let wrong = |_| format!("memory: expected a number of MiB, found {value:?}");
            mib.map(Figure::Memory).map_err(wrong)
        }
        "vcpus" => number().map(Figure::Vcpus),
        "cpus" => Ok(Figure::Cpus(value.to_owned())),
        "weight" => number().map(Figure::Weight),
        "cap" => number().map(Figure::Cap),
        _ => Err(format!(
            "{key}: expected memory, vcpus, cpus, weight or cap; anything else is for the domain's file"
        )),
    }
}

impl Attach {
    pub(super) fn run(self) -> ExitCode {
        let Self { kind, spec, .. } = &self;
        self.how
            .order(std::slice::from_ref(&self.name), "Attach", |name| {
                wire::Attach {
                    name: name.to_owned(),
                    kind: *kind,
                    spec: spec.clone(),
                }
            })
    }
}

impl Detach {
    pub(super) fn run(self) -> ExitCode {
        let Self { kind, which, .. } = &self;
        self.how
            .order(std::slice::from_ref(&self.name), "Detach", |name| {
                wire::Detach {
                    name: name.to_owned(),
                    kind: *kind,
                    which: which.clone(),
                }
            })
    }
}

impl Insert {
    pub(super) fn run(self) -> ExitCode {
        // The agent has another working directory. It refuses a path that cannot be made absolute here.
        let file = std::path::absolute(&self.file).unwrap_or_else(|_| self.file.clone());
        self.how
            .order(std::slice::from_ref(&self.name), "Insert", |name| {
                wire::Insert {
                    name: name.to_owned(),
                    vdev: self.vdev.clone(),
                    file: file.to_string_lossy().into_owned(),
                }
            })
    }
}

impl Eject {
    pub(super) fn run(self) -> ExitCode {
        let names = [self.name.clone()];
        self.how.order(&names, "Eject", |name| wire::Eject {
            name: name.to_owned(),
            vdev: self.vdev.clone(),
        })
    }
}

impl Set {
    pub(super) fn run(self) -> ExitCode {
        let mut set = wire::Set::default();
        for figure in &self.figures {
            match figure {
                Figure::Memory(mib) => set.memory = Some(*mib),
                Figure::Vcpus(count) => set.vcpus = Some(*count),
                Figure::Cpus(cpus) => set.cpus = Some(cpus.clone()),
                Figure::Weight(weight) => set.weight = Some(*weight),
                Figure::Cap(cap) => set.cap = Some(*cap),
            }
        }
        self.how
            .order(std::slice::from_ref(&self.name), "Set", |name| wire::Set {
                name: name.to_owned(),
                ..set.clone()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_a_key_and_a_value() {
        assert_eq!(figure("memory=512"), Ok(Figure::Memory(512)));
        assert_eq!(figure("cpus=0-3,^1"), Ok(Figure::Cpus("0-3,^1".to_owned())));
        assert_eq!(figure("cap=0"), Ok(Figure::Cap(0)));
        for (text, words) in [
            ("memory", "expected KEY=VALUE"),
            (
                "memory=1G",
                "memory: expected a number of MiB, found \"1G\"",
            ),
            ("vcpus=-1", "vcpus: expected a number, found \"-1\""),
            (
                "maxmem=9",
                "maxmem: expected memory, vcpus, cpus, weight or cap; anything else is for the domain's file",
            ),
        ] {
            assert_eq!(figure(text), Err(words.to_owned()));
        }
    }
}
