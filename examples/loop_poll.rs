//! Asks a domain to shut down within a number of seconds, from a loop around poll(2).
//!
//! ```text
//! loop_poll NAME SECONDS
//! ```
//!
//! A line on standard input aborts the operation. The loop waits for that line and for Xen at the
//! same time.

use std::{
    env,
    io::{self, Read},
    process::ExitCode,
    time::Duration,
};

use libxl::{Context, EventLoop, Running};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let parsed = match args.as_slice() {
        [name, seconds] => seconds.parse().ok().map(|seconds| (name, seconds)),
        _ => None,
    };
    let Some((name, seconds)) = parsed else {
        eprintln!("usage: loop_poll NAME SECONDS");
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

fn run(name: &str, time: Duration) -> Result {
    let ctx = Context::open()?;
    let events = ctx.event_loop()?;
    let domain = ctx.domain_by_domid(ctx.name_to_domid(name)?)?;
    let asked = domain.shutdown().deadline(time).start()?;
    finish(&events, asked)?;
    println!("{name} has acknowledged");
    Ok(())
}

/// Runs the loop until the operation is over.
fn finish(events: &EventLoop, mut operation: Running<()>) -> Result {
    let stdin = io::stdin();
    let mut listening = true;
    loop {
        if let Some(result) = operation.try_wait() {
            return Ok(result?);
        }
        let mut fds = vec![PollFd::new(events, PollFlags::IN)];
        if listening {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            // A child of libxl's has ended, for example.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let typed = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        if typed {
            let length = stdin.lock().read(&mut [0; 256])?;
            // A length of 0 means that standard input is closed, which does not concern the
            // operation.
            listening = length > 0;
            if listening {
                println!("calling it off");
                operation.abort();
            }
        }
        // A dispatch costs little when there is nothing to do.
        events.dispatch()?;
    }
}
