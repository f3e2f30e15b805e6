//! Completion by the shell: words of the command line, and domains and jobs of the running agent.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::engine::ValueCompleter;
use clap_complete::env::{EnvCompleter, Shells};
use clap_complete::{
    ArgValueCandidates, ArgValueCompleter, CompleteEnv, CompletionCandidate, PathCompleter,
};

use super::paths;
use crate::frontends::control::client::Client;
use crate::frontends::control::wire::{Domain, Job};

/// Variable by which the script asks this program for completions.
const VARIABLE: &str = "COMPLETE";

/// Answers a completion script and ends the program, if one has started it.
pub(super) fn answer(command: fn() -> Command) {
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// Returns the script for this shell. It asks the program that is in the `PATH`.
pub(super) fn script(shell: clap_complete::Shell) -> Result<String, String> {
    let shells = Shells::builtins();
    let name = shell.to_string();
    let completer: &dyn EnvCompleter = shells
        .completer(&name)
        .ok_or_else(|| format!("there are no completions for {name}"))?;
    let mut text = Vec::new();
    let program = "domainmgr";
    completer
        .write_registration(VARIABLE, program, program, program, &mut text)
        .map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The names of the agent's domains, with their states.
pub(super) fn domains() -> ArgValueCandidates {
    ArgValueCandidates::new(names)
}

/// As [`domains`], and files once a / is typed.
pub(super) fn domains_and_files() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        if typed.to_string_lossy().contains('/') {
            return PathCompleter::any().complete(typed);
        }
        let typed = typed.to_string_lossy().into_owned();
        let mut found = names();
        found.retain(|name| name.get_value().to_string_lossy().starts_with(&typed));
        found
    })
}

fn names() -> Vec<CompletionCandidate> {
    let domains = agent().and_then(|agent| agent.list().ok());
    let candidate =
        |domain: Domain| CompletionCandidate::new(domain.name).help(Some(domain.state.into()));
    domains.into_iter().flatten().map(candidate).collect()
}

/// The numbers of the jobs that are being worked off, with their verbs and domains.
pub(super) fn jobs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let jobs = agent().and_then(|agent| agent.jobs(None).ok());
        let jobs = jobs.unwrap_or_default().into_iter();
        let under_way = jobs.filter(|job| job.ended.is_none());
        let candidate = |job: Job| {
            let what = format!("{} {}", job.verb, job.name);
            CompletionCandidate::new(job.job.to_string()).help(Some(what.into()))
        };
        under_way.map(candidate).collect()
    })
}

/// Connects to the agent that the words typed so far name.
fn agent() -> Option<Client> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let (control, simulate) = named(&words);
    let path = paths::control(control.as_deref(), simulate).ok()?;
    Client::connect(&path).ok()
}

/// Returns the `--control` among these words, and whether `--simulate` is.
fn named(words: &[OsString]) -> (Option<PathBuf>, bool) {
    let mut control = None;
    let mut words_left = words.iter();
    while let Some(word) = words_left.next() {
        let Some(text) = word.to_str() else { continue };
        if text == "--control" {
            control = words_left.next().map(PathBuf::from);
        } else if let Some(path) = text.strip_prefix("--control=") {
            control = Some(Path::new(path).to_owned());
        }
    }
    (control, words.iter().any(|word| word == "--simulate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_the_one_that_was_typed() {
        let named = |words: &str| named(&words.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(named("stop "), (None, false));
        assert_eq!(named("stop --simulate "), (None, true));
        let there = (Some(PathBuf::from("/s")), false);
        assert_eq!(named("stop --control /s "), there);
        assert_eq!(named("stop --control=/s "), there);
    }
}
