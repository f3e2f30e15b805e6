//! `domainmgr save`, `restore` and `dump-core`: verbs that may name a file.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::complete;
use super::verbs::How;
use crate::frontends::control::wire::{DumpCore, Restore, Save};

#[derive(Debug, Args)]
pub(super) struct ToFile {
    /// Names of domains, their DisplayNames, uuids or numbers; or one of these and a FILE: what has a / in it. Only root may name
    /// a file. One that exists is replaced, unless a domain is saved in it.
    #[arg(required = true, value_name = "NAME|FILE", add = complete::domains_and_files())]
    words: Vec<String>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
pub(super) struct FromFile {
    /// Names of domains, their DisplayNames, uuids or numbers; or FILEs that domains were saved in: what has a / in it. Only root
    /// may name a file.
    #[arg(required = true, value_name = "NAME|FILE", add = complete::domains_and_files())]
    words: Vec<String>,
    /// Also from a FILE that the guest has gone on from before. Make sure that its disks are as they were then.
    #[arg(long)]
    anyway: bool,
    #[command(flatten)]
    how: How,
}

impl ToFile {
    pub(super) fn save(&self) -> ExitCode {
        self.run("Save", |name, file| Save {
            name,
            boot: None,
            file,
        })
    }

    pub(super) fn dump_core(&self) -> ExitCode {
        self.run("DumpCore", |name, file| DumpCore { name, file })
    }

    fn run<A: serde::Serialize>(
        &self,
        method: &str,
        arguments: impl Fn(String, Option<String>) -> A + Sync,
    ) -> ExitCode {
        let (files, names): (Vec<&String>, Vec<&String>) =
            self.words.iter().partition(|word| is_file(word));
        let names: Vec<String> = names.into_iter().cloned().collect();
        let file = match (names.as_slice(), files.as_slice()) {
            ([_, ..], []) => None,
            ([_], [file]) => Some(absolute(file)),
            _ => {
                eprintln!("domainmgr: expected NAME…, or NAME FILE");
                return ExitCode::from(2);
            }
        };
        // Nothing is begun for one of them if another is misspelt, or is a file.
        if let Some(code) = self.how.missing(&names) {
            return code;
        }
        self.how.order(&names, method, |name| {
            arguments(name.to_owned(), file.clone())
        })
    }
}

impl FromFile {
    pub(super) fn run(&self) -> ExitCode {
        let (files, names): (Vec<&String>, Vec<&String>) =
            self.words.iter().partition(|word| is_file(word));
        if let ([name], [file]) = (names.as_slice(), files.as_slice()) {
            let words = [(*name).clone()];
            return self.how.order(&words, "Restore", |name| Restore {
                name: Some(name.to_owned()),
                file: Some(absolute(file)),
                anyway: self.anyway.then_some(true),
            });
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.words.iter().find(|word| !seen.insert(*word)) {
            eprintln!("domainmgr: {twice}: named twice");
            return ExitCode::from(2);
        }
        self.how.order(&self.words, "Restore", |word| {
            let file = is_file(word).then(|| absolute(word));
            Restore {
                name: file.is_none().then(|| word.to_owned()),
                file,
                anyway: self.anyway.then_some(true),
            }
        })
    }
}

/// Returns whether a word is that of a file. No name of a domain has a slash in it.
fn is_file(word: &str) -> bool {
    word.contains('/')
}

/// The path as the agent has to be told it, which has another working directory.
fn absolute(path: &str) -> String {
    // Without a directory, the agent says that the path is not absolute.
    let here = std::env::current_dir().unwrap_or_default();
    let all = here.join(Path::new(path));
    let plain: PathBuf = all
        .components()
        .filter(|part| *part != Component::CurDir)
        .collect();
    plain.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_from_a_name() {
        assert!(!is_file("web.1") && is_file("./web.1") && is_file("/a"));
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute("./a"), here.join("a").to_str().unwrap());
        assert_eq!(absolute("/x/./a"), "/x/a");
    }
}
