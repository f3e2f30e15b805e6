//! The live tests under valgrind, which watches every access to memory of theirs and of libxl's.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::counts::{self, Counts};
use crate::cargo::Cargo;
use crate::lab::Lab;
use crate::lab::cache::{self, Key};
use crate::lab::lock::Lock;
use crate::xen::Xen;
use crate::{paths, setup, tool};

/// What is run when nothing else is asked for: creation, the lifecycle, suspends, events, contexts and operations in every order.
/// Everything is about thirty times slower, so it is not all of them.
const TESTS: &[&str] = &["context::", "lifecycle::", "orders::", "suspend::"];

/// What valgrind is made of, and the symbols of the C library, without which it does not start.
const FILES: &[&str] = &[
    "usr/bin/valgrind.bin",
    "usr/libexec/valgrind/default.supp",
    "usr/libexec/valgrind/memcheck-amd64-linux",
    "usr/libexec/valgrind/vgpreload_core-amd64-linux.so",
    "usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so",
    "usr/lib/debug/.build-id",
];

/// The unit tests of the crates that have unsafe code, here. What libxl and libxlutil do without Xen is most of what can go wrong.
pub(crate) fn units() -> Result<Counts> {
    setup::packages(&["valgrind", "libc6-dbg"])?;
    let supp = paths::root().join("lab/valgrind.supp");
    let runner = format!(
        "valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
         --show-leak-kinds=definite --num-callers=25 --child-silent-after-fork=yes --suppressions={}",
        supp.display()
    );
    counts::of(
        Cargo::native()
            .command(&[
                "test",
                "--package=libxl-sys",
                "--package=libxl",
                "--lib",
                "--tests",
            ])
            .arg("--no-fail-fast")
            .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner)
            // Fewer random cases: each takes thirty times as long.
            .env("PROPTEST_CASES", "8"),
    )
}

/// valgrind for the dom0 of one Xen version.
#[derive(Debug)]
pub(crate) struct Valgrind {
    /// A file system with [`FILES`] in it.
    tree: PathBuf,
    share: PathBuf,
}

impl Valgrind {
    /// Unpacks Debian's packages, if they are not there yet.
    pub(crate) fn ensure(xen: Xen) -> Result<Self> {
        let parent = paths::xen_dir(xen);
        let _lock = Lock::take("valgrind")?;
        let dir = cache::get(
            &parent,
            "valgrind",
            Key::default().add(xen.suite()),
            |part| {
                eprintln!(
                    "lab: fetching valgrind for Debian {} (seconds)",
                    xen.suite()
                );
                let mut command = Command::new("mmdebstrap");
                command
                    .args(["--variant=extract", "--include=valgrind,libc6-dbg"])
                    .arg(xen.suite())
                    .arg(part.join("tree"));
                if let Some(mirror) = paths::mirror() {
                    command.arg(mirror);
                }
                tool::logged(&mut command, &parent.join("valgrind.log"))
            },
        )?;
        Ok(Self {
            tree: dir.join("tree"),
            share: parent.join("share"),
        })
    }

    /// Brings it into dom0.
    pub(crate) fn install(&self, lab: &Lab) -> Result<()> {
        let packed = self.share.join("valgrind.tar");
        tool::output(
            Command::new("tar")
                .arg("-C")
                .arg(&self.tree)
                .arg("-cf")
                .arg(&packed)
                .args(FILES),
        )?;
        fs::copy(
            paths::root().join("lab/valgrind.supp"),
            self.share.join("valgrind.supp"),
        )?;
        let log = self.share.join("valgrind.log");
        if log.exists() {
            fs::remove_file(log)?;
        }
        lab.output("tar -C / -xf /share/valgrind.tar")?;
        fs::remove_file(packed)?;
        Ok(())
    }

    /// The words that go before a program.
    pub(crate) const WORDS: &[&str] = &[
        "valgrind.bin",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite",
        "--show-leak-kinds=definite",
        "--num-callers=25",
        "--fair-sched=yes",
        // libxl's forked children end without tidying up, on purpose, and their exit status has a meaning.
        "--child-silent-after-fork=yes",
        "--suppressions=/share/valgrind.supp",
        "--log-file=/share/valgrind.log",
    ];

    /// Words for the tests' runner: those that were asked for, or a choice.
    pub(crate) fn tests(asked: &[String]) -> Vec<String> {
        if asked.is_empty() {
            TESTS.iter().map(|&test| test.to_owned()).collect()
        } else {
            asked.to_vec()
        }
    }

    /// Prints what was found; anything that `lab/valgrind.supp` does not excuse is an error.
    pub(crate) fn verdict(&self) -> Result<()> {
        let path = self.share.join("valgrind.log");
        let log =
            fs::read(&path).with_context(|| format!("valgrind has left no {}", path.display()))?;
        let log = String::from_utf8_lossy(&log);
        let errors = errors(&log).context("valgrind has not come to its end")?;
        if errors > 0 {
            println!("{log}");
            bail!("valgrind has found {errors} errors: {}", path.display());
        }
        for line in summary(&log) {
            println!("valgrind: {line}");
        }
        Ok(())
    }
}

/// `==123== ERROR SUMMARY: 2 errors from 1 contexts (suppressed: 0 from 0)`
fn errors(log: &str) -> Option<u64> {
    let (_, rest) = log.rsplit_once("ERROR SUMMARY: ")?;
    rest.split(' ').next()?.parse().ok()
}

/// The last words on leaks and errors, without the number of the process.
fn summary(log: &str) -> impl Iterator<Item = &str> {
    const ABOUT: [&str; 4] = [
        "in use at exit:",
        "definitely lost:",
        "possibly lost:",
        "ERROR SUMMARY:",
    ];
    log.lines()
        .filter(|line| ABOUT.iter().any(|about| line.contains(about)))
        .filter_map(|line| line.rsplit_once("== "))
        .map(|(_, text)| text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "==7== HEAP SUMMARY:\n==7==     in use at exit: 12 bytes in 1 blocks\n\
                       ==7== ERROR SUMMARY: 3 errors from 2 contexts (suppressed: 0 from 0)\n";

    #[test]
    fn the_verdict_is_in_the_last_line() {
        assert_eq!(errors(LOG), Some(3));
        assert_eq!(errors(&LOG.replace("3 errors", "0 errors")), Some(0));
        assert_eq!(errors("==7== Invalid read"), None);
    }

    #[test]
    fn the_summary_is_short() {
        let lines: Vec<_> = summary(LOG).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "in use at exit: 12 bytes in 1 blocks");
    }

    #[test]
    fn what_is_asked_for_replaces_the_choice() {
        assert_eq!(Valgrind::tests(&["save::".to_owned()]), ["save::"]);
        assert_eq!(Valgrind::tests(&[]).len(), TESTS.len());
    }
}
