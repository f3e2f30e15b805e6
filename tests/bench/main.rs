//! The benchmarks: `cargo xtask bench` runs them in the dom0 of the lab.
//!
//!     bench DIRECTORY DOMAINS [library|agent|clients|devices]
//!
//! Each figure has a figure to compare with from the same run, because emulated machines differ too much for absolute
//! limits. The exit status is zero if every figure with a bound keeps it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A failure must end the program.
#![allow(clippy::cast_precision_loss)] // The figures are not that long.

#[allow(dead_code)] // Shared with the live tests, which use more of it.
#[path = "../live/agent/host.rs"]
mod host;
#[allow(dead_code)]
#[path = "../live/support.rs"]
mod support;

mod agent;
mod changes;
mod clients;
mod devices;
mod library;
mod managers;
mod peer;
mod specification;
mod table;

use std::{env, path::Path, process::ExitCode};

use table::Table;

/// A part of the benchmarks, which measures with up to this many domains.
type Part = fn(&mut Table, usize);

fn main() -> ExitCode {
    // libxl tries several formats of a kernel, and complains about each that does not fit.
    let quiet = env_logger::builder()
        .filter_level(log::LevelFilter::Off)
        .try_init();
    quiet.expect("the first logger");
    let args: Vec<String> = env::args().skip(1).collect();
    let (dir, domains, which) = match args.as_slice() {
        // A peer process of the benchmark.
        [role, config, domid] if role == library::PEER => {
            peer::run(config, domid);
            return ExitCode::SUCCESS;
        }
        [role, reply, socket] if role == clients::ECHO => {
            clients::echo(reply, socket);
            return ExitCode::SUCCESS;
        }
        [role, file] if role == clients::READER => {
            clients::reader(file);
            return ExitCode::SUCCESS;
        }
        [dir, domains] => (dir, domains, ""),
        [dir, domains, which] => (dir, domains, which.as_str()),
        _ => {
            eprintln!("usage: bench DIRECTORY DOMAINS [library|agent|clients|devices]");
            return ExitCode::from(2);
        }
    };
    let domains: usize = domains.parse().expect("a number of domains");
    let parts: [(&str, Part); 4] = [
        ("library", library::run),
        ("agent", agent::run),
        ("clients", clients::run),
        ("devices", devices::run),
    ];
    let mut good = true;
    let mut tables = Vec::new();
    for (name, run) in parts {
        if which.is_empty() || which == name {
            let mut table = Table::default();
            run(&mut table, domains);
            good &= table.save(Path::new(dir), name);
            tables.push(table);
        }
    }
    if !good {
        println!("a bound was not kept");
    }
    let missing = specification::unmeasured(
        |what, beside, n| tables.iter().any(|table| table.has(what, beside, n)),
        domains,
    );
    if which.is_empty() && !missing.is_empty() {
        println!("not measured: {}", missing.join("; "));
        good = false;
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
