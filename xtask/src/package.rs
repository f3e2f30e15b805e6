//! A Debian package of `domainmgr`, for the libxl of this machine.
//!
//! debhelper builds it from `packaging/debian`. All compiled and generated files are put beside that directory first.

pub(crate) mod story;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::cargo::{AGENT, Cargo};
use crate::test::Counts;
use crate::{paths, setup, tool};

/// Packages for making the package, in addition to those for building the program.
const TOOLS: &[&str] = &["debhelper", "dpkg-dev", "lowdown", "man-db"];

/// The package with the program that judges packages.
const LINTIAN: &str = "lintian";

/// The program that connects disks and interfaces. It has a package of its own, as it must stay when the agent goes.
const HOTPLUG: &str = "xen-hotplug";

/// Manual pages made from the manual: name, section, one-line description, and the headings of the manual that the page contains.
const PAGES: [(&str, &str, &str, &[&str]); 3] = [
    ("domainmgr", "8", "manages the domains of a Xen host", &[]),
    (
        "DomainConfig",
        "5",
        "files that ask for domains, and say what became of them",
        &["DomainConfig", "Files of xl's", "DomainStatus", "Disks"],
    ),
    (
        "domainmgr.conf",
        "5",
        "settings of domainmgr",
        &["Settings"],
    ),
];

/// What to make.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Of the program as the tests build it: ready sooner, larger and slower
    #[arg(long)]
    debug: bool,
}

/// Makes the packages and prints their paths.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    for path in build(options.debug)?.paths() {
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The packages that were made.
pub(crate) struct Built {
    /// The file of the agent's.
    pub(crate) agent: PathBuf,
    /// The file of the one with the hotplug programs.
    pub(crate) hotplug: PathBuf,
    /// Lintian has judged them.
    linted: bool,
}

impl Built {
    fn paths(&self) -> [&Path; 2] {
        [&self.agent, &self.hotplug]
    }
}

/// Makes the packages, and fails if lintian objects. Where lintian cannot be had without a change to packages that are
/// installed, the packages are made without its judgement.
pub(crate) fn build(debug: bool) -> Result<Built> {
    setup::ensure()?;
    setup::packages(TOOLS)?;
    let linted = setup::packages_if_harmless(&[LINTIAN])?;
    let programs = Programs::build(debug)?;
    let version = env!("CARGO_PKG_VERSION");
    let out = paths::root().join("target/package");
    let tree = out.join(format!("domainmgr-{version}"));
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    fs::create_dir_all(&tree)?;
    tool::output(
        Command::new("cp")
            .arg("--recursive")
            .arg(paths::root().join("packaging/debian"))
            .arg(&tree),
    )?;
    fill(&tree, version)?;
    built(&tree.join("built"), &programs)?;
    eprintln!("package: running debhelper");
    tool::logged(
        Command::new("dpkg-buildpackage")
            .args(["--build=binary", "--no-sign", "--no-check-builddeps"])
            .current_dir(&tree),
        &out.join("build.log"),
    )?;
    let built = Built {
        agent: only(&out, "domainmgr_", ".deb")?,
        hotplug: only(&out, "xen-hotplug_", ".deb")?,
        linted,
    };
    if linted {
        for path in built.paths() {
            lint(path)?;
        }
    }
    Ok(built)
}

/// Highest exposure that systemd may report for the agent's unit, in tenths: 0 is none, 100 is everything. The unit explains the value.
const EXPOSURE: u32 = 50;

/// Makes the package, and has systemd check its units.
pub(crate) fn test() -> Result<Counts> {
    let package = build(true)?;
    let mut counts = Counts {
        passed: 2,
        skipped: 2 * u64::from(!package.linted),
        ..Counts::default()
    };
    for path in package.paths() {
        println!("{}", path.display());
    }
    let units = paths::root().join("packaging/debian");
    for unit in ["domainmgr.service", "domainmgr-guests.service"] {
        let judged = Command::new("systemd-analyze")
            .args(["security", "--offline=yes", "--no-pager"])
            .arg(format!("--threshold={EXPOSURE}"))
            .arg(units.join(unit))
            .output();
        match judged {
            Ok(judged) if judged.status.success() => counts.passed += 1,
            Ok(judged) => bail!("{unit}:\n{}", String::from_utf8_lossy(&judged.stdout)),
            Err(e) => {
                println!("left out: systemd-analyze cannot judge {unit}: {e}");
                counts.skipped += 1;
            }
        }
    }
    Ok(counts)
}

/// The files of the programs.
struct Programs {
    agent: PathBuf,
    hotplug: PathBuf,
}

impl Programs {
    fn build(debug: bool) -> Result<Self> {
        let words: &[&str] = if debug {
            // The same build as in the tests.
            &["build", "--workspace"]
        } else {
            &[
                "build",
                "--release",
                "--package=domainmgr",
                "--package=xen-hotplug",
            ]
        };
        let built = Cargo::native().programs(&[words, &AGENT].concat())?;
        let find = |name: &str| {
            let program = built.iter().find(|program| program.name == name);
            program
                .map(|program| program.path.clone())
                .with_context(|| format!("cargo has built no {name}"))
        };
        Ok(Self {
            agent: find("domainmgr")?,
            hotplug: find(HOTPLUG)?,
        })
    }
}

/// Fills in the values that only this build knows.
fn fill(tree: &Path, version: &str) -> Result<()> {
    let maintainer = maintainer();
    let debian = tree.join("debian");
    let put = |file: &str, word: &str, text: &str| -> Result<()> {
        let path = debian.join(file);
        let old = fs::read_to_string(&path)?;
        Ok(fs::write(&path, old.replace(word, text))?)
    };
    put("control", "@MAINTAINER@", &maintainer)?;
    let license = fs::read_to_string(paths::root().join("LICENSE-MIT"))?;
    let license: Vec<String> = license
        .lines()
        .map(|line| match line.trim_end() {
            "" => " .".to_owned(),
            line => format!(" {line}"),
        })
        .collect();
    put("copyright", "@MIT@", &license.join("\n"))?;
    let date = tool::output(Command::new("date").arg("--rfc-email").args(epoch()))?;
    let changelog = format!(
        "domainmgr ({version}) unstable; urgency=medium\n\n  * The changes are in CHANGELOG.md, which comes with the package.\n\n \
         -- {maintainer}  {date}"
    );
    fs::write(debian.join("changelog"), changelog)?;
    Ok(())
}

/// Returns the time of the last commit, so that the same sources make the same package.
fn epoch() -> Option<String> {
    let mut git = Command::new("git");
    let seconds = tool::output(
        git.args(["log", "-1", "--format=%ct"])
            .current_dir(paths::root()),
    );
    Some(format!("--date=@{}", seconds.ok()?.trim()))
}

/// Returns the maintainer, found in the same way as by other tools of Debian.
fn maintainer() -> String {
    let of = |variable: &str, key: &str| {
        let git = || tool::output(Command::new("git").args(["config", key])).ok();
        let text = std::env::var(variable)
            .ok()
            .or_else(git)
            .unwrap_or_default();
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let name = of("DEBFULLNAME", "user.name").unwrap_or_else(|| "Local build".to_owned());
    let email = of("DEBEMAIL", "user.email").unwrap_or_else(|| "root@localhost".to_owned());
    format!("{name} <{email}>")
}

/// Puts the files that debhelper does not make itself into `dir`.
fn built(dir: &Path, programs: &Programs) -> Result<()> {
    let program = &programs.agent;
    let man = dir.join("man");
    let completions = dir.join("completions");
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    fs::copy(program, dir.join("domainmgr"))?;
    let root = paths::root();
    fs::copy(
        root.join("domainmgr/xen.domainmgr.varlink"),
        dir.join("xen.domainmgr.varlink"),
    )?;
    fs::copy(root.join("CHANGELOG.md"), dir.join("CHANGELOG.md"))?;
    fs::create_dir_all(dir.join("ocf"))?;
    fs::copy(
        root.join("packaging/pacemaker/Domain"),
        dir.join("ocf/Domain"),
    )?;
    tool::output(Command::new(program).args(["man", "--directory"]).arg(&man))?;
    for (shell, file) in [
        ("bash", "domainmgr"),
        ("zsh", "_domainmgr"),
        ("fish", "domainmgr.fish"),
    ] {
        let text = tool::output(Command::new(program).args(["completions", shell]))?;
        fs::write(completions.join(file), text)?;
    }
    let manual = fs::read_to_string(root.join("docs/domainmgr.md"))?;
    for (name, section, about, headings) in PAGES {
        let text = format!(
            "# NAME\n\n{name} - {about}\n\n# DESCRIPTION\n\n{}",
            part(&manual, headings)?
        );
        page(&man, name, section, &text)?;
    }
    let own = dir.join(HOTPLUG);
    fs::create_dir_all(&own)?;
    fs::copy(&programs.hotplug, own.join(HOTPLUG))?;
    let manual = fs::read_to_string(root.join("docs/xen-hotplug.md"))?;
    let text = format!(
        "# NAME\n\n{HOTPLUG} - connects disks and network interfaces of Xen domains\n\n# DESCRIPTION\n\n{}",
        part(&manual, &[])?
    );
    page(&own, HOTPLUG, "8", &text)
}

/// Makes a manual page.
fn page(dir: &Path, name: &str, section: &str, text: &str) -> Result<()> {
    let source = tempfile::NamedTempFile::new()?;
    fs::write(source.path(), text)?;
    let page = tool::output(
        Command::new("lowdown")
            .args(["-s", "-tman", &format!("-Mtitle={name}")])
            .arg(format!("-Msection={section}"))
            .arg(source.path()),
    )?;
    Ok(fs::write(dir.join(format!("{name}.{section}")), page)?)
}

/// Returns the sections of the manual under these headings, or all of it for no headings.
fn part(manual: &str, headings: &[&str]) -> Result<String> {
    if headings.is_empty() {
        // Drops the title.
        let body = manual.split_once("\n\n").map(|(_, body)| body);
        return Ok(body.unwrap_or_default().to_owned());
    }
    let mut text = String::new();
    for heading in headings {
        let line = format!("## {heading}\n");
        let (_, rest) = manual
            .split_once(&line)
            .with_context(|| format!("docs/domainmgr.md has no section {heading:?}"))?;
        let body = rest.split("\n## ").next().unwrap_or_default();
        text.push_str(&format!("{line}{body}\n"));
    }
    Ok(text)
}

fn lint(package: &Path) -> Result<()> {
    eprintln!("package: running lintian");
    let said = Command::new("lintian")
        // A lab or a container has no user but root.
        .args([
            "--fail-on",
            "error,warning",
            "--allow-root",
            "--tag-display-limit",
            "0",
        ])
        .arg(package)
        .output()
        .context("cannot run lintian")?;
    if said.status.success() {
        return Ok(());
    }
    bail!(
        "lintian objects to {}:\n{}{}",
        package.display(),
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
}

/// Returns the only file in `dir` whose name has this beginning and this ending.
fn only(dir: &Path, beginning: &str, ending: &str) -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(beginning) && name.ends_with(ending)
        })
        .collect();
    match (found.pop(), found.is_empty()) {
        (Some(path), true) => Ok(path),
        (None, _) => bail!("no {beginning}*{ending} in {}", dir.display()),
        (Some(_), false) => bail!("several {beginning}*{ending} in {}", dir.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_part_of_the_manual() {
        let manual = "# m\n\nintro\n\n## A\n\na\n\n## B\n\nb\n### b1\n\n## C\n\nc\n";
        assert_eq!(part(manual, &[]).unwrap(), &manual[5..]);
        assert_eq!(
            part(manual, &["B", "C"]).unwrap(),
            "## B\n\nb\n### b1\n\n## C\n\nc\n\n"
        );
        assert!(part(manual, &["D"]).is_err());
    }

    #[test]
    fn each_page_is_in_the_manual() {
        let manual = fs::read_to_string(paths::root().join("docs/domainmgr.md")).unwrap();
        for (name, _, _, headings) in PAGES {
            assert!(part(&manual, headings).unwrap().len() > 500, "{name}");
        }
    }
}
