//! Copies of running domains, kept up to date by Remus.

use std::{fs::File, time::Duration};

use libxl::{AbortHandle, ErrorKind, Limits, Source, config::Remus};

use crate::support::{Guest, Kind, LONG, context, tiny_config, wait_for, watcher};

/// Returns `/dev/null` in place of a second host.
fn nowhere() -> File {
    let file = File::options().read(true).write(true).open("/dev/null");
    file.unwrap()
}

fn into_nowhere() -> Remus {
    Remus {
        interval: Some(100),
        allow_unsafe: Some(true),
        blackhole: Some(true),
        netbuf: Some(false),
        diskbuf: Some(false),
        ..Remus::default()
    }
}

/// The guest is suspended and resumed many times, and is released. It still runs, is watched, and dies.
#[test]
fn a_guest_outlives_its_checkpoints() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pvh, "remus", ""));
    guest.wait_until_up();
    let (enough, id) = (AbortHandle::new(), guest.id());
    let ended = std::thread::scope(|scope| {
        let replicating = scope.spawn(|| {
            let limits = Limits::none().deadline(2 * LONG).abort_with(&enough);
            let domain = ctx.domain(id);
            let Err(ended) = domain.remus_start(nowhere(), nowhere(), &into_nowhere(), &limits);
            ended
        });
        wait_for("some checkpoints", || {
            guest.console().matches("goes on after suspend").count() >= 3
                || replicating.is_finished()
        });
        enough.abort();
        replicating.join().unwrap()
    });
    assert_eq!(ended.error.kind(), ErrorKind::Aborted, "{ended:?}");
    assert!(
        matches!(ended.source, Source::Runs | Source::MaySuspendYet),
        "{ended:?}"
    );
    let checkpoints = guest.console().matches("goes on after suspend").count();
    assert!(checkpoints >= 3, "{checkpoints}: {ended:?}");
    guest.still_lives_and_dies();
}

#[test]
fn what_may_lose_data_has_to_be_allowed() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pvh, "unsafe", ""));
    guest.wait_until_up();
    let how = Remus {
        allow_unsafe: None,
        ..into_nowhere()
    };
    let minute = Limits::none().deadline(Duration::from_secs(60));
    let Err(ended) = guest
        .domain
        .remus_start(nowhere(), nowhere(), &how, &minute);
    assert_eq!(ended.error.kind(), ErrorKind::Failed, "{ended:?}");
    assert!(
        format!("{:#}", ended.error).contains("Unsafe mode"),
        "{ended:?}"
    );
    guest.still_lives_and_dies();
    let Err(ended) = guest
        .domain
        .remus_start(nowhere(), nowhere(), &how, &minute);
    assert!(ended.error.is_domain_gone(), "{ended:?}");
    // The outcome depends on whether the first try is still being followed up.
    assert!(
        matches!(ended.source, Source::Untouched | Source::Gone),
        "{ended:?}"
    );
}
