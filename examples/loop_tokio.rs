//! Watches every domain of the host, migrates one to the host it runs on, aborts the migration of
//! another one, and then destroys that domain: all with tokio, on one thread of its own.
//!
//! ```text
//! loop_tokio MIGRATE CALL-OFF SECONDS
//! ```
//!
//! SECONDS is the limit for the first migration. The target of the second one never answers, and
//! that migration is aborted after a second.

use std::{env, os::unix::net::UnixStream, process::ExitCode, time::Duration};

use libxl::{
    AbortHandle, Context, Domain, DomainEvent, DomainId, Events, HostEvent, Limits, Watcher,
    migrate::Outcome,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    task::spawn_blocking,
    time::sleep,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let parsed = match args.as_slice() {
        [moves, stays, seconds] => seconds.parse().ok().map(|s| (moves, stays, s)),
        _ => None,
    };
    let Some((moves, stays, seconds)) = parsed else {
        eprintln!("usage: loop_tokio MIGRATE CALL-OFF SECONDS");
        return ExitCode::from(2);
    };
    match run(moves, stays, Duration::from_secs(seconds)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(moves: &str, stays: &str, time: Duration) -> Result {
    let ctx = Context::open()?;
    drive(&ctx)?;
    let find = |name| ctx.domain_by_domid(ctx.name_to_domid(name)?);
    let (moves, stays) = (find(moves)?, find(stays)?);

    let watcher = Watcher::start(Context::builder())?;
    let watching = tokio::spawn(report(watcher.watch_all()?, stays.id()));

    let (moved, called_off) = tokio::join!(move_here(moves.id(), time), call_off(stays.id()));
    moved?;
    called_off?;

    // These operations are awaited. The loop of this program, see `drive`, moves them on.
    stays.shutdown().deadline(time).start()?.await?;
    stays.destroy().start()?.await?;
    watching.await?;
    Ok(())
}

/// Has tokio drive the context for as long as the program runs.
fn drive(ctx: &Context) -> Result {
    let events = ctx.event_loop()?;
    // SAFETY: an `EventLoop` has one descriptor for as long as it exists.
    let events = unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) }?;
    tokio::spawn(async move {
        loop {
            let Ok(mut ready) = events.readable().await else {
                return;
            };
            // Before the dispatch, so that an event that comes during it is not missed.
            ready.clear_ready();
            if let Err(error) = events.get_ref().dispatch() {
                eprintln!("{error:#}");
                return;
            }
        }
    });
    Ok(())
}

/// Prints what happens to all domains, until this one is gone.
async fn report(mut events: Events<HostEvent>, last: DomainId) {
    while let Some(event) = events.next().await {
        println!("{event}");
        let HostEvent::Changed { id, event, .. } = event else {
            continue;
        };
        if id == last && event == DomainEvent::Death {
            return;
        }
    }
}

/// A migration blocks its threads. They are tokio's blocking threads, each with its own context.
async fn move_here(id: DomainId, time: Duration) -> Result {
    let limits = Limits::none().deadline(time);
    let (ours, theirs) = UnixStream::pair()?;
    let receiving = spawn_blocking({
        let limits = limits.clone();
        move || receive(theirs, &limits)
    });
    let sending = spawn_blocking(move || send(&Context::open()?.domain(id), ours, &limits));
    let (sent, received) = tokio::join!(sending, receiving);
    sent??;
    received?
}

async fn call_off(id: DomainId) -> Result {
    let abort = AbortHandle::new();
    let limits = Limits::none().abort_with(&abort);
    // The other end is neither read nor closed.
    let (ours, _theirs) = UnixStream::pair()?;
    let sending = spawn_blocking(move || send(&Context::open()?.domain(id), ours, &limits));
    sleep(Duration::from_secs(1)).await;
    abort.abort();
    match sending.await? {
        Ok(()) => Err("a target that is silent has taken the domain".into()),
        Err(error) => {
            println!("domain {id} stays: {error}");
            Ok(())
        }
    }
}

fn send(domain: &Domain, socket: UnixStream, limits: &Limits) -> Result {
    // After an error up to GO the domain keeps running, and stays watched.
    let sender = domain.migrate(socket.try_clone()?, socket, limits)?;
    let committed = sender.send(|_| {})?.commit()?;
    match committed.outcome(limits) {
        Outcome::Moved { destroyed } => Ok(destroyed?),
        Outcome::Rejected(why) => Err(why.into()),
        Outcome::Undecided(undecided) => Err(undecided.to_string().into()),
    }
}

fn receive(socket: UnixStream, limits: &Limits) -> Result {
    let receiver = Context::open()?.receive_migration(socket.try_clone()?, socket, limits)?;
    let arrived = receiver.receive(|_| {})?.start(limits)?;
    println!("domain {} has arrived", arrived.domain.id());
    Ok(arrived.reported?)
}
