//! Runs 200 operations at once, with one thread for all of them.
//!
//! ```text
//! loop_many NAME
//! ```
//!
//! The domain is paused and unpaused by turns. Each operation on its own could be given a deadline,
//! be aborted, or be awaited; here one loop waits for the descriptor of the context until all are
//! over.

use std::{env, process::ExitCode};

use libxl::{Context, Running};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

const OPERATIONS: usize = 200;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [name] = args.as_slice() else {
        eprintln!("usage: loop_many NAME");
        return ExitCode::from(2);
    };
    match run(name) {
        Ok(rounds) => {
            println!("{OPERATIONS} operations in {rounds} rounds");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the number of times that there was something to do.
fn run(name: &str) -> Result<usize, Box<dyn std::error::Error>> {
    let ctx = Context::open()?;
    let events = ctx.event_loop()?;
    let domain = ctx.domain_by_domid(ctx.name_to_domid(name)?)?;
    let mut running: Vec<Running<()>> = Vec::new();
    for n in 0..OPERATIONS {
        let operation = match n % 2 {
            0 => domain.pause(),
            _ => domain.unpause(),
        };
        running.push(operation.start()?);
    }
    let mut rounds = 0;
    while !running.iter().all(Running::is_over) {
        match poll(&mut [PollFd::new(&events, PollFlags::IN)], None) {
            Ok(_) => events.dispatch()?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        rounds += 1;
    }
    // All operations are over, so none of these calls waits.
    for running in running {
        running.wait()?;
    }
    Ok(rounds)
}
