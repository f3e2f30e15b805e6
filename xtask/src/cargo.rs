//! Building the workspace for a given Xen version.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::sysroot::{self, Sysroot};
use crate::test::libtest;
use crate::xen::Xen;
use crate::{paths, tool};

/// Cargo, set up for the libxl to build against.
#[derive(Debug)]
pub(crate) struct Cargo {
    /// The headers and libraries of another libxl. `None` for the system's own.
    other: Option<Sysroot>,
    /// Root of an older C library to link with. Needed where the C library here is newer than the one that the programs will meet.
    older_libc: Option<PathBuf>,
}

/// A program that cargo has built.
#[derive(Debug)]
pub(crate) struct Program {
    /// Name of the target.
    pub(crate) name: String,
    /// The executable.
    pub(crate) path: PathBuf,
    /// The directory of its package.
    pub(crate) package: PathBuf,
    /// True for a test program, whose `main` runs tests.
    pub(crate) is_test: bool,
}

/// Arguments that build the agent, and the hotplug program that it has libxl run.
pub(crate) const AGENT: [&str; 2] = ["--bin=domainmgr", "--bin=xen-hotplug"];

/// Variable with flags for the compiler. A flag may contain spaces; [`SEPARATOR`] is between two flags.
pub(crate) const RUSTFLAGS: &str = "CARGO_ENCODED_RUSTFLAGS";
pub(crate) const SEPARATOR: &str = "\x1f";

/// Turns optimisation and debug information off, for programs that are only checked or run for seconds: there the compile time matters.
pub(crate) fn ready_soon(command: &mut Command) -> &mut Command {
    command
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
}

impl Program {
    /// Returns the executable and the name of the target.
    pub(crate) fn named(&self) -> (&Path, &str) {
        (&self.path, &self.name)
    }
}

impl Cargo {
    /// Builds against the system's libxl.
    pub(crate) fn native() -> Self {
        Self {
            other: None,
            older_libc: None,
        }
    }

    /// Builds for the dom0 of `xen`.
    pub(crate) fn for_lab(xen: Xen) -> Result<Self> {
        let installed = tool::output(Command::new("pkg-config").args(["--modversion", "xenlight"]))
            .unwrap_or_default();
        if installed.trim().starts_with(xen.as_str()) {
            return Ok(Self::native());
        }
        let mut cargo = Self::against(xen.as_str(), xen.suite())?;
        if sysroot::libc_here()? > xen.libc() {
            cargo.older_libc = Some(sysroot::libc(xen.as_str(), xen.suite())?);
        }
        Ok(cargo)
    }

    /// Builds against the libxl of another Debian release.
    pub(crate) fn against(version: &str, suite: &str) -> Result<Self> {
        Ok(Self {
            other: Some(sysroot::ensure(version, suite)?),
            older_libc: None,
        })
    }

    /// Returns the libxl to build against, or `None` for the system's own.
    pub(crate) fn sysroot(&self) -> Option<&Sysroot> {
        self.other.as_ref()
    }

    /// Returns `cargo` with `arguments`, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .args(arguments)
            .current_dir(paths::root())
            // Set even without flags: flags of the user's own may be for a processor that the lab does not have.
            .env(RUSTFLAGS, self.rustflags().join(SEPARATOR));
        if let Some(sysroot) = &self.other {
            command
                .env("LIBXL_INCLUDE_DIR", &sysroot.include)
                .env("LIBXL_LIB_DIR", &sysroot.lib)
                .env(
                    "CARGO_TARGET_DIR",
                    // One directory for every other libxl. Only the crates of this workspace depend on the libxl, and they are recompiled
                    // anyway.
                    paths::root().join("target/other-xen"),
                );
        }
        let options: Vec<String> = self
            .older_libc_options()
            .iter()
            .map(|option| tool::quote(option))
            .collect();
        if !options.is_empty() {
            let options = options.join(" ");
            command
                .env("CFLAGS", &options)
                .env("CC_SHELL_ESCAPED_FLAGS", "1")
                .env("BINDGEN_EXTRA_CLANG_ARGS", options);
        }
        command
    }

    /// Flags for the compiler.
    pub(crate) fn rustflags(&self) -> Vec<String> {
        let mut flags = Vec::new();
        if self.other.is_some() {
            // The libraries of that release want a newer glibc than the one here. They find it in the dom0 where they run.
            flags.push("-Clink-arg=-Wl,--allow-shlib-undefined".to_owned());
        }
        let options = self.older_libc_options();
        flags.extend(options.iter().map(|option| format!("-Clink-arg={option}")));
        flags
    }

    /// Options that make C compilers and the linker use the older C library. Empty where none is needed.
    pub(crate) fn older_libc_options(&self) -> Vec<String> {
        let Some(libc) = &self.older_libc else {
            return Vec::new();
        };
        let libc = libc.display();
        vec![
            format!("--sysroot={libc}"),
            // GCC searches its own directory first, where it finds the newer C library.
            format!("-B{libc}/usr/lib/x86_64-linux-gnu/"),
        ]
    }

    /// Returns `cargo test` with `arguments`, not yet started, for tests that do without Xen. The test programs print JSON.
    pub(crate) fn test(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&["test"]);
        let mut runner = vec!["env".to_owned(), libtest::SWITCH.to_owned()];
        if let Some(sysroot) = &self.other {
            match sysroot.loader() {
                // The libraries need the glibc of that release. A program built for an older glibc runs with it.
                Some(loader) => runner.extend([
                    loader.to_string_lossy().into_owned(),
                    "--library-path".into(),
                    sysroot.lib.to_string_lossy().into_owned(),
                ]),
                // The libraries work with the glibc here.
                None => runner.push(format!("LD_LIBRARY_PATH={}", sysroot.lib.display())),
            }
        }
        command
            .arg("--config")
            .arg(format!("target.'cfg(all())'.runner={runner:?}"))
            .args(arguments)
            .arg("--")
            .args(libtest::ARGUMENTS);
        command
    }

    /// Runs cargo and returns the programs that it built, or had built before.
    pub(crate) fn programs(&self, arguments: &[&str]) -> Result<Vec<Program>> {
        self.programs_with(arguments, |_| ())
    }

    /// Same as [`Cargo::programs`], with a change to the command, for instance to the environment.
    pub(crate) fn programs_with(
        &self,
        arguments: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Result<Vec<Program>> {
        let mut command = self.command(arguments);
        change(&mut command);
        command
            .arg("--message-format=json-render-diagnostics")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot run cargo")?;
        let mut programs = Vec::new();
        let stdout = child.stdout.take().context("cargo has no output")?;
        for line in BufReader::new(stdout).lines() {
            let Ok(message) = serde_json::from_str::<Value>(&line?) else {
                continue;
            };
            if let (Some(path), Some(name)) = (
                message["executable"].as_str(),
                message["target"]["name"].as_str(),
            ) {
                let manifest = Path::new(message["manifest_path"].as_str().unwrap_or_default());
                programs.push(Program {
                    name: name.to_owned(),
                    path: path.into(),
                    package: manifest.parent().unwrap_or(paths::root()).to_owned(),
                    is_test: message["profile"]["test"] == true,
                });
            }
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("cargo {}: {status}", arguments.join(" "));
        }
        Ok(programs)
    }
}
