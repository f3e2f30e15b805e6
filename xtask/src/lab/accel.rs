//! Chooses how the lab's processors are provided: by emulation, which works everywhere, or by the host's hardware, which is about twenty
//! times faster.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::cache::Key;
use super::emulator::Emulator;
use super::model::Model;
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

/// The kind of virtualisation in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// The host's own virtualisation. It must support nesting, because Xen virtualises inside it.
    Kvm,
    /// QEMU's emulation.
    Tcg,
}

/// Value of `-accel` for emulation.
const TCG: &str = "tcg,thread=multi,tb-size=1024";

impl Backend {
    /// Returns the values of QEMU's `-accel` and `-cpu`.
    pub(super) fn words(self, model: Model) -> (&'static str, &'static str) {
        match self {
            Self::Kvm => ("kvm", "host"),
            Self::Tcg if model == Model::Sanitizer => {
                (TCG, "qemu64,+svm,+npt,+ssse3,+sse4.1,+sse4.2,+popcnt")
            }
            // On this processor Xen runs PV, PVH and HVM guests. `max` has SMAP, which stops the PV dom0. Without npt there are no PVH
            // and HVM guests.
            Self::Tcg => (TCG, "qemu64,+svm,+npt"),
        }
    }

    /// Name for messages and file names.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// The device through which programs use KVM.
const DEVICE: &str = "/dev/kvm";

/// Chooses the backend. `boots` tries whether Xen and a guest come up on KVM: neither the presence of the device nor a module's claim
/// that it can nest is proof.
///
/// The answer is remembered for each `computer`, because KVM may cope with one kind and not with another.
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
            // If the trial hangs, the next run skips it.
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

/// Fails if the KVM device cannot be opened for reading and writing.
fn usable() -> Result<()> {
    fs::File::options()
        .read(true)
        .write(true)
        .open(DEVICE)
        .with_context(|| format!("cannot open {DEVICE}"))?;
    Ok(())
}

/// Digest of everything that may change the answer.
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

/// Returns the remembered answer for this machine: `Ok` if KVM works, or the reason why it does not.
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
