//! Creates a domain, waits until it shuts down, and destroys it.
//!
//! ```text
//! create_and_wait pv|pvh|hvm NAME KERNEL RAMDISK [KERNEL ARGUMENT]...
//! ```

use std::{env, process::ExitCode};

use libxl::{Context, Domain, DomainConfig, DomainEvent, ShutdownReason, Watcher};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [kind, name, kernel, ramdisk, cmdline @ ..] = args.as_slice() else {
        eprintln!("usage: create_and_wait pv|pvh|hvm NAME KERNEL RAMDISK [KERNEL ARGUMENT]...");
        return ExitCode::from(2);
    };
    let config = match kind.as_str() {
        "pv" => DomainConfig::pv(name),
        "pvh" => DomainConfig::pvh(name),
        "hvm" => DomainConfig::hvm(name),
        other => {
            eprintln!("{other}: not a type of domain: pv, pvh or hvm");
            return ExitCode::from(2);
        }
    };
    let config = config
        .kernel(kernel)
        .ramdisk(ramdisk)
        .cmdline(cmdline.join(" "))
        .memory_mib(128);
    match run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The long form has libxl's log lines, which give the cause.
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &DomainConfig) -> libxl::Result<()> {
    let ctx = Context::open()?;
    let watcher = Watcher::start(Context::builder())?;
    let domain = ctx.domain(ctx.domain_create_new(config)?.wait()?);
    println!("created domain {}", domain.id());
    let result = run_on(&domain, &watcher);
    if result.is_err() {
        // Dropping the handle does not touch the domain: destroy it here.
        destroy(&domain)?;
    }
    result
}

fn run_on(domain: &Domain, watcher: &Watcher) -> libxl::Result<()> {
    // The watch comes before anything can happen to the domain.
    let (_watch, events) = watcher.watch_channel(domain.id())?;
    domain.unpause().wait()?;
    for event in events {
        println!("domain {} {event}", domain.id());
        match event {
            // Suspended, for a save or a migration: it may be resumed.
            DomainEvent::Shutdown(ShutdownReason::SUSPEND) => {}
            DomainEvent::Shutdown(_) => destroy(domain)?,
            DomainEvent::Death => break,
            _ => {}
        }
    }
    Ok(())
}

fn destroy(domain: &Domain) -> libxl::Result<()> {
    match domain.destroy().wait() {
        // Another program was faster.
        Err(error) if error.is_domain_gone() => Ok(()),
        result => result,
    }
}
