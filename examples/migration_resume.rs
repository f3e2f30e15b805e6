//! A migration that fails without losing the domain.
//!
//! ```text
//! migration_resume NAME PHASE
//! ```
//!
//! Begins to migrate the domain, makes that fail at the phase named, and shows that the guest runs
//! on; then asks it to shut down, and sees the shutdown and the death. The phases:
//!
//! ```text
//! no-receiver    nobody is there
//! refused        the receiver reads the configuration and declines
//! mid-stream     the connection breaks while the memory is sent
//! before-go      the receiver has everything, and dies
//! called-off     the source changes its mind
//! after-go       the receiver dies after GO: the source has to be told what to do
//! ```

use std::{env, io::Read, os::unix::net::UnixStream, process::ExitCode, thread, time::Duration};

use libxl::{
    Context, Domain, DomainEvent, Events, Limits, ShutdownReason, SuspendError, Watcher,
    migrate::{Outcome, Sender},
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [name, phase] = args.as_slice() else {
        eprintln!("usage: migration_resume NAME PHASE");
        return ExitCode::from(2);
    };
    match run(name, phase) {
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

fn run(name: &str, phase: &str) -> Result {
    let ctx = Context::open()?;
    let watcher = Watcher::start(Context::builder())?;
    let domain = ctx.domain_by_domid(ctx.name_to_domid(name)?)?;
    let (_watch, events) = watcher.watch_channel(domain.id())?;

    let (ours, theirs) = UnixStream::pair()?;
    let receiver: fn(UnixStream) -> Result = match phase {
        "no-receiver" => |_| Ok(()),
        "refused" => |socket| {
            // Dropping the receiver is a refusal.
            let ctx = Context::open()?;
            drop(ctx.receive_migration(socket.try_clone()?, socket, &limits())?);
            Ok(())
        },
        "mid-stream" => |mut socket| {
            let ctx = Context::open()?;
            let also = socket.try_clone()?;
            let receiver = ctx.receive_migration(socket.try_clone()?, also, &limits())?;
            // The receiver has the configuration, and stops reading in the middle of the stream.
            socket.read_exact(&mut vec![0; 1 << 20])?;
            drop(receiver);
            Ok(())
        },
        "before-go" | "called-off" | "after-go" => |socket| {
            let ctx = Context::open()?;
            let received = ctx
                .receive_migration(socket.try_clone()?, socket, &limits())?
                .receive(|_| {})?;
            // Long enough for the source to carry out this phase; then the copy goes.
            thread::sleep(Duration::from_secs(2));
            drop(received);
            Ok(())
        },
        other => return Err(format!("{other}: not a phase").into()),
    };
    let receiving = thread::spawn(move || receiver(theirs));
    fail_at(phase, domain.migrate(ours.try_clone()?, ours, &limits()))?;
    let received = receiving.join().map_err(|_| "the receiver has panicked")?;
    if let Err(error) = received {
        println!("the receiver: {error}");
    }

    println!("{name} is {}", domain.info()?.state());
    lives_and_dies(&domain, &events)
}

/// The source of the migration. The guest runs afterwards, whatever the phase.
fn fail_at(phase: &str, begun: std::result::Result<Sender, SuspendError>) -> Result {
    let failed = match begun.and_then(|sender| sender.send(|progress| println!("{progress}"))) {
        Err(failed) => failed,
        Ok(sent) if phase == "called-off" => {
            println!("called off");
            return Ok(sent.cancel()?);
        }
        Ok(sent) => {
            if phase == "before-go" {
                // Wait until the receiver is gone.
                thread::sleep(Duration::from_secs(10));
            }
            match sent.commit() {
                Err(failed) => failed,
                Ok(committed) => match committed.outcome(&limits()) {
                    Outcome::Undecided(undecided) => {
                        println!("{undecided}");
                        // An operator has looked, and found that the copy does not run.
                        return Ok(undecided.resume_here()?);
                    }
                    Outcome::Rejected(failed) => failed,
                    Outcome::Moved { .. } => return Err("it has moved".into()),
                },
            }
        }
    };
    println!("{failed}");
    Ok(())
}

fn lives_and_dies(domain: &Domain, events: &Events<DomainEvent>) -> Result {
    domain.request_shutdown(&limits())?;
    for event in events {
        println!("domain {} {event}", domain.id());
        match event {
            DomainEvent::Shutdown(ShutdownReason::SUSPEND) => {}
            DomainEvent::Shutdown(_) => domain.destroy().wait()?,
            DomainEvent::Death => break,
            _ => {}
        }
    }
    Ok(())
}
