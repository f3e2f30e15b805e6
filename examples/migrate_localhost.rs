//! Moves a running domain to the host it runs on: both ends of a migration in one program.
//!
//! ```text
//! migrate_localhost NAME
//! migrate_localhost --receive
//! ```
//!
//! With `--receive` it is only the receiving end, on its standard input and output: for
//! `xl migrate -s '' NAME 'migrate_localhost --receive'`, or at the end of an ssh connection.
//!
//! Between two hosts it is the same, with a socket or an ssh child instead of the socket pair. The
//! domain must have no disks on which its two copies would conflict.

use std::{
    env, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::ExitCode,
    thread,
    time::Duration,
};

use libxl::{Context, Limits, migrate::Outcome};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let result = match args.as_slice() {
        [flag] if flag == "--receive" => receive_on_stdio(),
        [name] => migrate(name),
        _ => {
            eprintln!("usage: migrate_localhost NAME | --receive");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn limits() -> Limits {
    Limits::none().deadline(Duration::from_secs(600))
}

fn migrate(name: &str) -> Result {
    let (ours, theirs) = UnixStream::pair()?;
    let receiving = thread::spawn(move || receive(theirs.try_clone()?, theirs));
    let sent = send(name, ours);
    let received = receiving.join().map_err(|_| "the receiver has panicked")?;
    sent.and(received)
}

/// The source.
fn send(name: &str, socket: UnixStream) -> Result {
    let ctx = Context::open()?;
    let domain = ctx.domain_by_domid(ctx.name_to_domid(name)?)?;
    // After an error up to here the domain keeps running, and stays watched.
    let committed = domain
        .migrate(socket.try_clone()?, socket, &limits())?
        .send(|progress| println!("source: {progress}"))?
        .commit()?;
    println!("source: given away");
    match committed.outcome(&limits()) {
        Outcome::Moved { destroyed } => {
            destroyed?;
            println!("source: domain {} is gone from here", domain.id());
            Ok(())
        }
        Outcome::Rejected(why) => Err(why.into()),
        // Only a person or a cluster manager can find out where it runs. The domain stays suspended
        // until then.
        Outcome::Undecided(undecided) => Err(undecided.to_string().into()),
    }
}

/// The target.
fn receive(reader: impl Into<OwnedFd>, writer: impl Into<OwnedFd>) -> Result {
    let ctx = Context::open()?;
    let receiver = ctx.receive_migration(reader, writer, &limits())?;
    eprintln!("target: receiving {}", receiver.config().c_info.name);
    let arrived = receiver
        .receive(|progress| eprintln!("target: {progress}"))?
        .start(&limits())?;
    eprintln!("target: it runs, as domain {}", arrived.domain.id());
    Ok(arrived.reported?)
}

fn receive_on_stdio() -> Result {
    receive(
        io::stdin().as_fd().try_clone_to_owned()?,
        io::stdout().as_fd().try_clone_to_owned()?,
    )
}
