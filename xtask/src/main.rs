//! Project automation: set-up, the emulated Xen host ("lab"), demo, tests and benchmarks.
//!
//! Builds without libxl, so that it can be the first thing that runs on a fresh machine.

mod api;
mod bench;
mod bindings;
mod cargo;
mod cluster;
mod demo;
mod fuzz;
mod lab;
mod mutants;
mod package;
mod paths;
mod setup;
mod sysroot;
mod test;
mod tool;
mod toolchain;
mod xen;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::lab::pair::Pair;
use crate::lab::{Accel, Hardware, Lab};
use crate::xen::Xen;

/// What to run, as `cargo xtask …`.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask", about, disable_help_subcommand = true)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

/// The tasks.
#[derive(Subcommand, Debug)]
enum Task {
    /// Install the Debian packages that building, testing and the lab need
    Setup,
    /// Real domains on a real Xen under the agent's care, as it happens
    Demo(demo::Options),
    /// Every check and test; closes with the test runners' own counts
    Test(test::Options),
    /// A Debian package of domainmgr, for the libxl of this machine; prints its path
    Package(package::Options),
    /// How fast it is, beside C and xl: a table, and target/bench/*.json
    Bench(bench::Options),
    /// List the public API of the published crates anew
    Api,
    /// Print the public items of a crate that rustdoc has described
    #[cfg(feature = "api")]
    #[command(hide = true)]
    ApiItems {
        /// What rustdoc has written
        json: std::path::PathBuf,
    },
    /// Make the bindings anew that libxl-sys brings along, from the headers of each Xen
    Bindings(bindings::Options),
    /// Feed nonsense to all that reads files, streams and texts of others
    Fuzz(fuzz::Options),
    /// Change libxl in one place after another, and count the changes that no test notices
    Mutants(mutants::Options),
    /// The agent under Pacemaker, on three simulated nodes or two hosts of the lab: moves, power cuts and cut cables; closes with a table
    Cluster(cluster::Options),
    /// A shell, or a command, in the dom0 of a running Xen
    ///
    /// One argument is given to dom0's shell as it is; several are one command and its arguments. The exit status is the command's.
    /// What the host puts into target/lab/VERSION/share is /share there.
    Lab {
        /// Xen version of the lab
        #[arg(long, default_value = "4.17")]
        xen: Xen,
        /// Hardware virtualisation or emulation for the lab
        #[arg(long, value_enum, default_value = "auto")]
        accel: Accel,
        /// With an IOMMU, and devices to give to guests; starts more slowly
        #[arg(long)]
        devices: bool,
        /// With Debian's systemd as the first process; starts more slowly
        #[arg(long, conflicts_with = "devices")]
        systemd: bool,
        /// With 12 GiB of memory, for a thousand small guests
        #[arg(long, conflicts_with_all = ["devices", "systemd"])]
        large: bool,
        /// Number of hosts: with 2, alpha and beta, joined by a cable that can be cut, with a disk that both can use. The shell, or
        /// the command, is in alpha
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2),
            conflicts_with_all = ["devices", "systemd", "large", "soak", "power_cuts"])]
        hosts: u8,
        /// Instead of a shell: try the cable and the disk of two hosts
        #[arg(long, conflicts_with_all = ["devices", "systemd", "large", "soak", "power_cuts", "command"])]
        check: bool,
        /// Instead of a shell: start a PVH Linux guest this many times, and count how often it comes up
        #[arg(long, value_name = "BOOTS", conflicts_with = "command")]
        soak: Option<usize>,
        /// Instead of a shell: cut the power this many times while domains are started and deleted, and check after each boot that
        /// nothing is lost
        #[arg(long, value_name = "CUTS", conflicts_with_all = ["command", "soak", "devices"])]
        power_cuts: Option<u32>,
        /// Command to run instead of an interactive shell
        #[arg(last = true)]
        command: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Args::parse().task) {
        Ok(code) => code,
        Err(error) => {
            // Prints the whole chain of causes, without the backtrace that `{:?}` adds.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Setup => {
            setup::ensure()?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Demo(options) => {
            setup::ensure()?;
            demo::run(&options)
        }
        Task::Test(options) => {
            setup::ensure()?;
            test::run(&options)
        }
        Task::Package(options) => package::run(&options),
        Task::Bench(options) => {
            setup::ensure()?;
            bench::run(&options)
        }
        Task::Api => api::run(),
        #[cfg(feature = "api")]
        Task::ApiItems { json } => api::print_items(&json),
        Task::Bindings(options) => {
            setup::ensure()?;
            bindings::run(&options)
        }
        Task::Fuzz(options) => {
            setup::ensure()?;
            fuzz::run(&options)
        }
        Task::Mutants(options) => {
            setup::ensure()?;
            mutants::run(&options)
        }
        Task::Cluster(options) => cluster::run(&options),
        Task::Lab {
            xen,
            accel,
            devices,
            systemd,
            large,
            hosts,
            check,
            soak,
            power_cuts,
            command,
        } => {
            setup::ensure()?;
            if let Some(cuts) = power_cuts {
                return lab::power_cuts::run(xen, accel, cuts);
            }
            if check && hosts != 2 {
                anyhow::bail!("--check needs --hosts 2");
            }
            if hosts == 2 {
                let pair = Pair::start(xen, accel)?;
                if check {
                    return lab::pair::check::run(&pair);
                }
                return shell_or_command(pair.alpha(), &command);
            }
            let hardware = if devices {
                Hardware::Devices
            } else if systemd {
                Hardware::Systemd
            } else if large {
                Hardware::Large
            } else {
                Hardware::Plain
            };
            let lab = Lab::start(xen, hardware, accel)?;
            if let Some(boots) = soak {
                return lab::soak::run(&lab, boots);
            }
            shell_or_command(&lab, &command)
        }
    }
}

fn shell_or_command(lab: &Lab, command: &[String]) -> anyhow::Result<ExitCode> {
    let status = if command.is_empty() {
        lab.shell()?
    } else {
        lab.run(&tool::remote_line(command))?
    };
    Ok(tool::exit_code(status))
}
