//! Asks a domain to shut down, waits for a number of seconds, and destroys it if it has not shut
//! down by then.
//!
//! ```text
//! shutdown_with_deadline NAME SECONDS
//! ```

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use libxl::{Context, Domain, DomainEvent, Limits, ShutdownReason, Watcher};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let parsed = match args.as_slice() {
        [name, seconds] => seconds.parse().ok().map(|seconds| (name, seconds)),
        _ => None,
    };
    let Some((name, seconds)) = parsed else {
        eprintln!("usage: shutdown_with_deadline NAME SECONDS");
        return ExitCode::from(2);
    };
    match run(name, Duration::from_secs(seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, time: Duration) -> libxl::Result<()> {
    let ctx = Context::open()?;
    let watcher = Watcher::start(Context::builder())?;
    let domain = ctx.domain_by_domid(ctx.name_to_domid(name)?)?;
    // The watch comes before the request, so that no event can be missed.
    let (_watch, events) = watcher.watch_channel(domain.id())?;

    let deadline = Instant::now() + time;
    // A guest that does not even acknowledge takes up to a minute for that alone, so the deadline
    // limits this as well.
    match domain.request_shutdown(&Limits::none().deadline(time)) {
        Ok(via) => println!("asked {name} to shut down: {via:?}"),
        Err(error) => println!("{name} cannot be asked: {error}"),
    }
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match events.recv_timeout(left) {
            // The domain may be resumed, and then shut down.
            Ok(DomainEvent::Shutdown(ShutdownReason::SUSPEND)) => println!("{name} is suspended"),
            Ok(DomainEvent::Shutdown(reason)) => {
                println!("{name} shut down: {reason}");
                return destroy(&domain);
            }
            Ok(DomainEvent::Death) => {
                println!("{name} is gone");
                return Ok(());
            }
            Ok(other) => println!("{name} {other}"),
            Err(_) => {
                println!("{name} did not shut down within {time:?}: destroying it");
                return destroy(&domain);
            }
        }
    }
}

fn destroy(domain: &Domain) -> libxl::Result<()> {
    match domain.destroy().wait() {
        // Another program was faster.
        Err(error) if error.is_domain_gone() => Ok(()),
        result => result,
    }
}
