//! How the lab's processors are had: by emulation, which works everywhere, or by the host's hardware, which is some twenty times faster.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::cache::Key;
use super::emulator::Emulator;
use crate::paths;

/// What was asked for.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Accel {
    /// KVM where it can run Xen and its guests, which is tried once on each machine; else emulation
    #[default]
    Auto,
    /// KVM, or nothing
    Kvm,
    /// Emulation
    Tcg,
}

/// What is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// The host's own virtualisation, which has to be able to nest: Xen virtualises in it.
    Kvm,
    /// QEMU's emulation.
    Tcg,
}

impl Backend {
    /// QEMU's `-accel` and `-cpu`.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Kvm => ("kvm", "host"),
            // Xen runs PV, PVH and HVM guests on this processor. On `max` SMAP stops the PV dom0; without npt there are no PVH and HVM guests.
            Self::Tcg => ("tcg,thread=multi,tb-size=1024", "qemu64,+svm,+npt"),
        }
    }

    /// For people, and for the names of files.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// The device through which programs use KVM.
const DEVICE: &str = "/dev/kvm";

/// Chooses. `boots` tries whether Xen and a guest of it come up on KVM: that the device is there, or that a module says it can nest, does
/// not tell.
///
/// The answer is kept for each `computer`: one may be more than KVM can do, and another not.
pub(crate) fn choose(
    asked: Accel,
    computer: &str,
    emulator: &Emulator,
    boots: impl FnOnce() -> Result<()>,
) -> Result<Backend> {
    let unusable = usable().err();
    match (asked, unusable) {
        (Accel::Tcg, _) => return Ok(Backend::Tcg),
        (Accel::Auto, Some(_)) => return Ok(Backend::Tcg),
        (Accel::Kvm, Some(error)) => return Err(error.context("--accel kvm")),
        (Accel::Kvm, None) => return Ok(Backend::Kvm),
        (Accel::Auto, None) => {}
    }
    let machine = this_machine(emulator);
    let file = paths::lab_dir().join(format!("kvm-{computer}.json"));
    let answer = match remembered(&file, &machine) {
        Some(answer) => answer,
        None => {
            eprintln!("lab: trying whether KVM can run Xen here");
            // Should the trial hang, the next run does without it.
            remember(&file, &machine, &Err("the trial did not end".to_owned()))?;
            let answer = boots().map_err(|error| format!("{error:#}"));
            remember(&file, &machine, &answer)?;
            match &answer {
                Ok(()) => eprintln!("lab: it can"),
                Err(why) => eprintln!(
                    "lab: it cannot ({}); emulating. {} remembers that",
                    why.lines().next().unwrap_or_default(),
                    file.display()
                ),
            }
            answer
        }
    };
    Ok(if answer.is_ok() {
        Backend::Kvm
    } else {
        Backend::Tcg
    })
}

/// Whether the device can be opened at all.
fn usable() -> Result<()> {
    fs::File::options()
        .read(true)
        .write(true)
        .open(DEVICE)
        .with_context(|| format!("cannot open {DEVICE}"))?;
    Ok(())
}

/// Whatever may change the answer.
fn this_machine(emulator: &Emulator) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let processor = cpuinfo.lines().find(|line| line.starts_with("model name"));
    Key::default()
        .add(processor.unwrap_or_default())
        .add(read("/proc/sys/kernel/osrelease"))
        .add(read("/sys/module/kvm_amd/parameters/nested"))
        .add(read("/sys/module/kvm_intel/parameters/nested"))
        .add(
            emulator
                .dir
                .file_name()
                .unwrap_or_default()
                .as_encoded_bytes(),
        )
        .finish()
}

/// What was found out on this machine: that it can, or why not.
fn remembered(file: &Path, machine: &str) -> Option<Result<(), String>> {
    let known: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    if known["machine"] != machine {
        return None;
    }
    match (&known["works"], &known["why_not"]) {
        (Value::Bool(true), _) => Some(Ok(())),
        (Value::Bool(false), Value::String(why)) => Some(Err(why.clone())),
        _ => None,
    }
}

fn remember(file: &PathBuf, machine: &str, answer: &Result<(), String>) -> Result<()> {
    let known = json!({
        "machine": machine,
        "works": answer.is_ok(),
        "why_not": answer.as_ref().err(),
    });
    let text = serde_json::to_string_pretty(&known)?;
    let Some(dir) = file.parent() else {
        bail!("{} is in no directory", file.display());
    };
    fs::create_dir_all(dir)?;
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_remembered_for_its_machine_only() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("kvm.json");
        assert_eq!(remembered(&file, "a"), None);
        remember(&file, "a", &Err("no guest came up".into()))?;
        assert_eq!(remembered(&file, "a"), Some(Err("no guest came up".into())));
        assert_eq!(remembered(&file, "b"), None);
        remember(&file, "b", &Ok(()))?;
        assert_eq!(remembered(&file, "b"), Some(Ok(())));
        fs::write(&file, "cut o")?;
        assert_eq!(remembered(&file, "b"), None);
        Ok(())
    }

    #[test]
    fn emulation_is_never_tried_first() -> Result<()> {
        let emulator = Emulator { dir: "x".into() };
        let never = || bail!("not to be tried");
        assert_eq!(choose(Accel::Tcg, "plain", &emulator, never)?, Backend::Tcg);
        Ok(())
    }
}
