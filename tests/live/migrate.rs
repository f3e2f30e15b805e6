//! Migration to the same host, with both ends in this process, and all failures of a migration.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use libxl::{
    Context, Domain, DomainConfig, DomainEvent, DomainState, ErrorKind, Limits, ShutdownReason,
    Source, SuspendError,
    migrate::{Outcome, Received, Sent},
};
use uuid::Uuid;

use crate::support::{
    Guest, Kind, config, context, outsider_is_there, tiny_config, wait_for, watcher,
};

const SUSPENDED: Option<DomainState> = Some(DomainState::Shutdown(ShutdownReason::SUSPEND));

fn limits() -> Limits {
    Limits::none().deadline(Duration::from_secs(240))
}

/// Returns the two directions of one connection.
fn both(socket: UnixStream) -> (UnixStream, UnixStream) {
    (socket.try_clone().unwrap(), socket)
}

/// Sends the guest, up to GO, to `receiver`, which runs on a thread with a context of its own.
fn send_to<T: Send + 'static>(
    domain: &Domain,
    receiver: impl FnOnce(Context, UnixStream) -> T + Send + 'static,
) -> (Result<Sent, SuspendError>, thread::JoinHandle<T>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let receiving = thread::spawn(move || receiver(context(), theirs));
    let (reader, writer) = both(ours);
    let sent = domain
        .migrate(reader, writer, &limits())
        .and_then(|sender| sender.send(|_| {}));
    (sent, receiving)
}

pub(crate) fn receive(ctx: &Context, socket: UnixStream) -> Received {
    let (reader, writer) = both(socket);
    ctx.receive_migration(reader, writer, &limits())
        .unwrap()
        .receive(|_| {})
        .unwrap()
}

/// Sends the guest to the other end, which takes it.
pub(crate) fn hand_over(domain: &Domain, socket: UnixStream) {
    let (reader, writer) = both(socket);
    let outcome = domain
        .migrate(reader, writer, &limits())
        .and_then(|sender| sender.send(|_| {}))
        .and_then(Sent::commit)
        .unwrap()
        .outcome(&limits());
    assert!(
        matches!(&outcome, Outcome::Moved { destroyed: Ok(()) }),
        "{outcome:?}"
    );
}

/// Returns the number of domains with this uuid that could be running now.
fn running(ctx: &Context, uuid: Uuid) -> usize {
    let all = ctx.list_domains().unwrap();
    all.iter()
        .filter(|domain| domain.uuid == uuid && domain.state() == DomainState::Running)
        .count()
}

/// Runs `deed`, and checks meanwhile that there are never two running domains with this uuid.
pub(crate) fn exactly_one_copy<T>(uuid: Uuid, deed: impl FnOnce() -> T) -> T {
    /// Stops the counting thread, also when the deed fails.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let counting = scope.spawn(|| {
            let ctx = context();
            let mut most = 0;
            while !over.load(Ordering::SeqCst) {
                most = most.max(running(&ctx, uuid));
                thread::sleep(Duration::from_millis(5));
            }
            most
        });
        let counted = Over(&over);
        let done = deed();
        drop(counted);
        assert_eq!(counting.join().unwrap(), 1, "copies that ran at once");
        done
    })
}

fn copies(ctx: &Context, uuid: Uuid) -> usize {
    let all = ctx.list_domains().unwrap();
    all.iter().filter(|domain| domain.uuid == uuid).count()
}

/// Checks that no copy but the source is left.
fn only_the_source_is_left(ctx: &Context, guest: &Guest) {
    wait_for("the copy to go", || copies(ctx, guest.id().uuid) == 1);
    assert_eq!(guest.domain.name().as_deref(), Some(guest.name.as_str()));
}

fn moves(config: &DomainConfig) {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, config);
    guest.wait_until_up();
    wait_for("the guest to count", || guest.uptimes().len() > 1);
    let uuid = guest.id().uuid;

    let (outcome, arrived) = exactly_one_copy(uuid, || {
        let (sent, receiving) = send_to(&guest.domain, |ctx, socket| {
            receive(&ctx, socket).start(&limits()).unwrap()
        });
        let sent = sent.unwrap();
        assert_eq!(guest.state(), SUSPENDED);
        let outcome = sent.commit().unwrap().outcome(&limits());
        (outcome, receiving.join().unwrap())
    });
    let Outcome::Moved { destroyed } = outcome else {
        panic!("{outcome:?}");
    };
    destroyed.unwrap();
    arrived.reported.unwrap();
    guest.events_until(DomainEvent::Death);

    let moved = Guest::of(arrived.domain, &watcher);
    assert_eq!(moved.name, guest.name);
    assert_eq!(moved.id().uuid, uuid);
    let before = moved.uptimes().len();
    wait_for("the guest to go on counting", || {
        moved.uptimes().len() > before
    });
    assert!(moved.uptimes().is_sorted(), "{:?}", moved.uptimes());
    moved.still_lives_and_dies();
}

#[test]
fn case_14_a_pv_guest_moves() {
    moves(&config(Kind::Pv, "moves", "lab.tick=1"));
}

#[test]
fn case_14_a_small_guest_moves() {
    for kind in [Kind::Pv, Kind::Pvh] {
        moves(&tiny_config(kind, "moves", "lab.tick=1"));
    }
}

type Receiver = fn(&Context, UnixStream);

/// Receives everything, and disappears before GO.
fn dies_before_go(_: &Context, mut socket: UnixStream) {
    socket
        .write_all(b"xl migration receiver ready, send binary domain data.\n")
        .unwrap();
    // Reads until the sender has nothing more to send.
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut all = Vec::new();
    let _ = socket.read_to_end(&mut all);
}

/// Runs a migration that fails after everything has been sent.
pub(crate) fn fails_before_go(domain: &Domain) -> SuspendError {
    let (sent, receiving) = send_to(domain, |ctx, socket| dies_before_go(&ctx, socket));
    let failed = sent.unwrap_err();
    receiving.join().unwrap();
    failed
}

/// Returns the failures of the other end before GO.
fn bad_receivers() -> Vec<(&'static str, Receiver)> {
    fn refuses(ctx: &Context, socket: UnixStream) {
        let (reader, writer) = both(socket);
        drop(ctx.receive_migration(reader, writer, &limits()).unwrap());
    }
    fn dies_before_the_stream(_: &Context, socket: UnixStream) {
        drop(socket);
    }
    fn speaks_another_language(_: &Context, mut socket: UnixStream) {
        let _ = socket.write_all(&[b'?'; 4096]);
    }
    /// Reads this many bytes of the stream, and disappears.
    fn takes(mut socket: UnixStream, much: usize) {
        socket
            .write_all(b"xl migration receiver ready, send binary domain data.\n")
            .unwrap();
        let mut taken = vec![0; much];
        let _ = socket.read_exact(&mut taken);
    }
    fn closes_in_mid_stream(_: &Context, socket: UnixStream) {
        takes(socket, 1 << 20);
    }
    vec![
        ("refuses", refuses),
        ("dies before the stream", dies_before_the_stream),
        ("speaks another language", speaks_another_language),
        ("closes in mid-stream", closes_in_mid_stream),
        ("dies before GO", dies_before_go),
    ]
}

#[test]
fn case_03_a_migration_that_fails_leaves_the_guest_at_the_source() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(
        &ctx,
        &watcher,
        &tiny_config(Kind::Pv, "stays", "lab.tick=1"),
    );
    guest.wait_until_up();
    for (name, receiver) in bad_receivers() {
        let (sent, receiving) = send_to(&guest.domain, move |ctx, socket| receiver(&ctx, socket));
        let failed = sent.unwrap_err();
        println!("a receiver that {name}: {failed}");
        assert!(
            matches!(failed.source, Source::Runs | Source::Untouched),
            "{name}: {failed}"
        );
        receiving.join().unwrap();
        only_the_source_is_left(&ctx, &guest);
        let before = guest.uptimes().len();
        wait_for("the guest to go on counting", || {
            guest.uptimes().len() > before
        });
    }
    guest.still_lives_and_dies();
}

#[test]
fn case_03_what_is_sent_and_dropped_goes_on_at_the_source() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "dropped", ""));
    guest.wait_until_up();
    for how in ["dropped", "cancelled", "panicked"] {
        let (sent, receiving) = send_to(&guest.domain, |ctx, socket| {
            receive(&ctx, socket).start(&limits()).unwrap_err()
        });
        let sent = sent.unwrap();
        assert_eq!(guest.state(), SUSPENDED);
        match how {
            "dropped" => drop(sent),
            "cancelled" => sent.cancel().unwrap(),
            _ => {
                let fails = std::panic::AssertUnwindSafe(|| {
                    let _sent = sent;
                    panic!("in between");
                });
                std::panic::catch_unwind(fails).unwrap_err();
            }
        }
        let refused = receiving.join().unwrap();
        println!("{how}: {refused}");
        only_the_source_is_left(&ctx, &guest);
    }
    guest.still_lives_and_dies();
}

/// Confirms the reception before receiving anything, and makes no copy.
///
/// Returns whether it has read GO by the time the sender hangs up.
fn believes(_: Context, mut socket: UnixStream) -> bool {
    socket
        .write_all(b"xl migration receiver ready, send binary domain data.\n")
        .unwrap();
    socket
        .write_all(b"domain received, ready to unpause\0")
        .unwrap();
    let mut all = Vec::new();
    let _ = socket.read_to_end(&mut all);
    all.ends_with(b"domain is yours, you are cleared to unpause\0")
}

/// Makes a guest whose migration somebody has called off by resuming it. The owner of the [`Sent`] does not know.
fn resumed_behind_its_back(guest: &Guest) -> (Sent, thread::JoinHandle<bool>) {
    let (sent, receiving) = send_to(&guest.domain, believes);
    let sent = sent.unwrap();
    guest.domain.resume(true).unwrap();
    (sent, receiving)
}

/// Checks that dropping, cancelling or committing the [`Sent`] comes too late.
fn is_too_late(sent: Sent, how: &str) {
    match how {
        "dropped" => drop(sent),
        "cancelled" => {
            let refused = sent.cancel().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
        }
        _ => {
            let failed = sent.commit().unwrap_err();
            assert_eq!(failed.error.kind(), ErrorKind::Invalid, "{failed}");
            assert!(matches!(failed.source, Source::TakenOver), "{failed}");
        }
    }
}

const TOO_LATE: [&str; 3] = ["dropped", "cancelled", "committed"];

/// The guest is resumed between its transfer and GO, and then suspended by a second migration.
///
/// The first migration must neither hand the guest over nor resume it while the second has it suspended.
#[test]
fn what_was_sent_and_has_run_since_is_neither_given_away_nor_resumed() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "sent-twice", ""));
    guest.wait_until_up();
    for how in TOO_LATE {
        let (first, first_receiving) = resumed_behind_its_back(&guest);
        let (second, second_receiving) = send_to(&guest.domain, believes);
        let second = second.unwrap();
        assert_eq!(guest.state(), SUSPENDED, "{how}");
        is_too_late(first, how);
        assert!(!first_receiving.join().unwrap(), "{how}: given away");
        thread::sleep(Duration::from_secs(3));
        assert_eq!(guest.state(), SUSPENDED, "{how}");
        assert_eq!(guest.domain.name().as_deref(), Some(guest.name.as_str()));
        second.cancel().unwrap();
        assert!(!second_receiving.join().unwrap(), "{how}: given away");
    }
    guest.still_lives_and_dies();
}

/// The same, when the second migration has sent GO and the guest runs at the target.
#[test]
fn what_was_sent_and_has_moved_since_runs_once() {
    let ctx = context();
    let watcher = watcher();
    for how in TOO_LATE {
        let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "moved-since", ""));
        guest.wait_until_up();
        let arrived = exactly_one_copy(guest.id().uuid, || {
            let (first, first_receiving) = resumed_behind_its_back(&guest);
            let (second, second_receiving) = send_to(&guest.domain, |ctx, socket| {
                receive(&ctx, socket).start(&limits()).unwrap()
            });
            let committed = second.unwrap().commit().unwrap();
            let arrived = second_receiving.join().unwrap();
            is_too_late(first, how);
            assert!(!first_receiving.join().unwrap(), "{how}: given away");
            thread::sleep(Duration::from_secs(3));
            assert_eq!(guest.state(), SUSPENDED, "{how}");
            let outcome = committed.outcome(&limits());
            assert!(
                matches!(&outcome, Outcome::Moved { destroyed: Ok(()) }),
                "{how}: {outcome:?}"
            );
            arrived
        });
        guest.events_until(DomainEvent::Death);
        Guest::of(arrived.domain, &watcher).still_lives_and_dies();
    }
}

/// The first migration ends while the second one sends. Nothing may remain of the first that resumes the guest once
/// the second has suspended and handed it over.
#[test]
fn what_is_left_of_a_migration_does_not_undo_the_next_one() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "sent-meanwhile", "lab.suspend-after=3");
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.wait_until_up();
    let (first, receiving) = resumed_behind_its_back(&guest);
    let said = guest.console().matches("obeys suspend").count();
    let question = thread::scope(|scope| {
        let second = scope.spawn(|| undecided(&guest.domain));
        wait_for("the second migration to ask the guest", || {
            guest.console().matches("obeys suspend").count() > said
        });
        drop(first);
        assert!(!receiving.join().unwrap(), "given away");
        second.join().unwrap()
    });
    // Longer than anybody watches a guest that is reported as running.
    thread::sleep(Duration::from_secs(12));
    assert_eq!(guest.state(), SUSPENDED);
    question.resume_here().unwrap();
    only_the_source_is_left(&ctx, &guest);
    guest.still_lives_and_dies();
}

/// After GO only the target decides. The rest of this process must not resume the guest either.
#[test]
fn what_is_given_away_is_not_resumed_before_the_target_has_spoken() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "given-away", ""));
    guest.wait_until_up();
    let (sent, receiving) = send_to(&guest.domain, |ctx, socket| {
        let silent = socket.try_clone().unwrap();
        drop(receive(&ctx, socket));
        silent
    });
    let committed = sent.unwrap().commit().unwrap();
    let refused = guest.domain.resume(true).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    assert!(refused.to_string().contains("given"), "{refused}");
    assert_eq!(guest.state(), SUSPENDED);
    let silence = Limits::none().deadline(Duration::from_secs(2));
    let Outcome::Undecided(undecided) = committed.outcome(&silence) else {
        panic!("the target has said something");
    };
    drop(receiving.join().unwrap());
    // An operator has looked and decides. Nobody else can decide after that.
    guest.domain.rename(&guest.name).unwrap();
    guest.domain.resume(true).unwrap();
    let suspended = guest.domain.suspend_only(&Limits::none()).unwrap();
    let refused = undecided.resume_here().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    assert_eq!(guest.state(), SUSPENDED);
    suspended.resume().unwrap();
    guest.still_lives_and_dies();
}

#[test]
fn a_guest_that_cannot_be_started_there_is_given_back() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "rejected", ""));
    guest.wait_until_up();
    let (sent, receiving) = send_to(&guest.domain, |ctx, socket| {
        let received = receive(&ctx, socket);
        // The copy can then be neither renamed nor unpaused.
        received.domain().destroy().wait().unwrap();
        received.start(&limits()).unwrap_err()
    });
    let outcome = sent.unwrap().commit().unwrap().outcome(&limits());
    receiving.join().unwrap().given_back.unwrap();
    let Outcome::Rejected(failed) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(matches!(failed.source, Source::Runs), "{failed}");
    only_the_source_is_left(&ctx, &guest);
    guest.still_lives_and_dies();
}

/// The source does not learn of the receiver's panic, but sees that the receiver hangs up.
#[test]
fn a_receiver_that_panics_leaves_no_copy() {
    let ctx = context();
    let watcher = watcher();
    // Progress is reported every 4 MiB.
    let config = tiny_config(Kind::Pv, "panic-received", "").memory_mib(24);
    let guest = Guest::start(&ctx, &watcher, &config);
    guest.wait_until_up();
    let (sent, receiving) = send_to(&guest.domain, |ctx, socket| {
        let (reader, writer) = both(socket);
        let receiver = ctx.receive_migration(reader, writer, &limits()).unwrap();
        let _ = receiver.receive(|_| panic!("no good news"));
    });
    let panic = receiving.join().unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"no good news"));
    let failed = sent.unwrap_err();
    assert!(
        matches!(failed.source, Source::Runs | Source::MaySuspendYet),
        "{failed}"
    );
    only_the_source_is_left(&ctx, &guest);
    guest.still_lives_and_dies();
}

/// Sends the guest, hands it over, and gets no answer. The copy is never started.
pub(crate) fn undecided(domain: &Domain) -> libxl::migrate::Undecided {
    let (sent, receiving) = send_to(domain, |ctx, socket| {
        let silent = socket.try_clone().unwrap();
        drop(receive(&ctx, socket));
        silent
    });
    let committed = sent.unwrap().commit().unwrap();
    let silence = Limits::none().deadline(Duration::from_secs(2));
    let outcome = committed.outcome(&silence);
    receiving.join().unwrap();
    let Outcome::Undecided(undecided) = outcome else {
        panic!("{outcome:?}");
    };
    println!("{undecided}");
    undecided
}

#[test]
fn case_12_a_silent_target_leaves_the_guest_suspended_until_somebody_decides() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "silence", ""));
    guest.wait_until_up();

    let question = undecided(&guest.domain);
    // Nothing happens until somebody decides, even when the question is dropped.
    drop(question);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(guest.state(), SUSPENDED);
    let away = format!("{}--migratedaway", guest.name);
    assert_eq!(guest.domain.name(), Some(away));
    // An operator in another program has only these two calls.
    guest.domain.rename(&guest.name).unwrap();
    guest.domain.resume(true).unwrap();

    undecided(&guest.domain).resume_here().unwrap();
    only_the_source_is_left(&ctx, &guest);
    wait_for("the guest to run", || {
        guest.state() == Some(DomainState::Running)
    });

    undecided(&guest.domain).destroy_here().unwrap();
    guest.events_until(DomainEvent::Death);
}

#[test]
fn xl_receives_what_we_send() {
    if !outsider_is_there() {
        return;
    }
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "to-xl", ""));
    guest.wait_until_up();
    let mut xl = Command::new("xl")
        .args(["migrate-receive", "-e"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let outcome = guest
        .domain
        .migrate(
            xl.stdout.take().unwrap(),
            xl.stdin.take().unwrap(),
            &limits(),
        )
        .and_then(|sender| sender.send(|_| {}))
        .and_then(Sent::commit)
        .unwrap()
        .outcome(&limits());
    assert!(
        matches!(&outcome, Outcome::Moved { destroyed: Ok(()) }),
        "{outcome:?}"
    );
    assert!(xl.wait().unwrap().success());
    guest.events_until(DomainEvent::Death);
    let moved = ctx.name_to_domid(&guest.name).unwrap();
    let moved = Guest::of(ctx.domain_by_domid(moved).unwrap(), &watcher);
    assert_eq!(moved.id().uuid, guest.id().uuid);
    moved.still_lives_and_dies();
}
