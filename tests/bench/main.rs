//! The benchmarks: `cargo xtask bench` runs them in the dom0 of the lab.
//!
//!     bench DIRECTORY DOMAINS [library|agent]
//!
//! Each figure comes with what it has to be compared with, measured in the same run: emulated
//! machines differ too much for anything else. The exit status is zero if all that has a bound
//! keeps it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // What goes wrong shall end it.
#![allow(clippy::cast_precision_loss)] // Figures are not that long.

#[allow(dead_code)] // Shared with the live tests, which use more of it.
#[path = "../live/agent/host.rs"]
mod host;
#[allow(dead_code)]
#[path = "../live/support.rs"]
mod support;

mod agent;
mod changes;
mod library;
mod managers;
mod peer;
mod table;

use std::{env, path::Path, process::ExitCode};

use table::Table;

/// Measures with so many domains.
type Part = fn(&mut Table, usize);

fn main() -> ExitCode {
    // libxl tries several formats of a kernel, and complains of each that it is not.
    let quiet = env_logger::builder()
        .filter_level(log::LevelFilter::Off)
        .try_init();
    quiet.expect("the first logger");
    let args: Vec<String> = env::args().skip(1).collect();
    let (dir, domains, which) = match args.as_slice() {
        // A process of the benchmark's own.
        [role, config, domid] if role == library::PEER => {
            peer::run(config, domid);
            return ExitCode::SUCCESS;
        }
        [dir, domains] => (dir, domains, ""),
        [dir, domains, which] => (dir, domains, which.as_str()),
        _ => {
            eprintln!("usage: bench DIRECTORY DOMAINS [library|agent]");
            return ExitCode::from(2);
        }
    };
    let domains: usize = domains.parse().expect("a number of domains");
    let parts: [(&str, Part); 2] = [("library", library::run), ("agent", agent::run)];
    let mut good = true;
    for (name, run) in parts {
        if which.is_empty() || which == name {
            let mut table = Table::default();
            run(&mut table, domains);
            good &= table.save(Path::new(dir), name);
        }
    }
    if good {
        ExitCode::SUCCESS
    } else {
        println!("a bound was not kept");
        ExitCode::FAILURE
    }
}
