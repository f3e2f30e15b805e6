//! Asks domains to shut down, all at the same time, from a mio loop, and prints each result.
//!
//! ```text
//! loop_mio SECONDS NAME...
//! ```
//!
//! mio reports edges, which is enough: any work that a dispatch leaves undone is reported anew.

use std::{env, os::fd::AsRawFd, process::ExitCode, time::Duration};

use libxl::{Context, Running};
use mio::{Events, Interest, Poll, Token, unix::SourceFd};

/// A program with sockets has a token for each of them beside this one.
const XEN: Token = Token(0);

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let parsed = match args.as_slice() {
        [seconds, names @ ..] if !names.is_empty() => seconds.parse().ok().map(|s| (s, names)),
        _ => None,
    };
    let Some((seconds, names)) = parsed else {
        eprintln!("usage: loop_mio SECONDS NAME...");
        return ExitCode::from(2);
    };
    match run(names, Duration::from_secs(seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(names: &[String], time: Duration) -> Result {
    let ctx = Context::open()?;
    let mut asked: Vec<(&String, Running<()>)> = Vec::new();
    for name in names {
        let domain = ctx.domain_by_domid(ctx.name_to_domid(name)?)?;
        asked.push((name, domain.shutdown().deadline(time).start()?));
    }

    let xen = ctx.event_loop()?;
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut SourceFd(&xen.as_raw_fd()), XEN, Interest::READABLE)?;
    let mut events = Events::with_capacity(16);
    loop {
        asked.retain_mut(|(name, running)| match running.try_wait() {
            None => true,
            Some(Ok(())) => {
                println!("{name} has acknowledged");
                false
            }
            Some(Err(error)) => {
                println!("{name}: {error}");
                false
            }
        });
        if asked.is_empty() {
            return Ok(());
        }
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == XEN {
                xen.dispatch()?;
            }
        }
    }
}
