//! Information about the host, and contexts that are used and dropped in every order.

use std::{mem::MaybeUninit, thread, time::Duration};

use libxl::{
    AbortHandle, Context, DomId, DomainEvent, ErrorKind, Limits, ShutdownReason, SigchldMode,
    config::DomainType,
};
use libxl_sys as sys;

use crate::support::{Guest, Kind, alone, config, context, tiny_config, told, watcher};

#[test]
fn the_host_is_described() {
    let ctx = context();
    let version = ctx.version_info().unwrap();
    assert_eq!(version.pagesize, 4096);
    // The lab runs the libxl that this test was built for.
    assert!(
        libxl::BUILT_FOR.starts_with(&format!("{}.{}", version.major, version.minor)),
        "{} and {}",
        libxl::BUILT_FOR,
        version.version()
    );
    let host = ctx.physinfo().unwrap();
    assert!(host.cap_pv && host.cap_hvm && host.cap_hap, "{host:?}");
    assert!(
        host.nr_cpus >= 1 && host.free_pages < host.total_pages,
        "{host:?}"
    );
    let free = ctx.free_memory().unwrap();
    // The current free memory depends on other tests.
    assert!(
        free > 0 && free / 4 < host.total_pages,
        "{free} KiB, {host:?}"
    );
}

/// libxl stores the version in the context when it is first asked for.
#[test]
fn the_version_is_read_by_many_threads() {
    let ctx = context();
    let versions: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| ctx.version_info().unwrap()))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(versions.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn dom0_is_in_the_list() {
    let ctx = context();
    let list = ctx.list_domains().unwrap();
    assert_eq!(list[0].domid, DomId::DOM0);
    assert!(list.windows(2).all(|pair| pair[0].domid < pair[1].domid));
    assert_eq!(ctx.domid_to_name(DomId::DOM0).as_deref(), Some("Domain-0"));
    assert_eq!(ctx.name_to_domid("Domain-0").unwrap(), DomId::DOM0);
}

#[test]
fn what_is_not_there_is_not_found() {
    let ctx = context();
    let error = ctx.domain_info(DomId(32_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DomainNotFound, "{error}");
    assert!(
        error.log().is_empty(),
        "an answer is no error: {:?}",
        error.log()
    );
    let error = ctx.name_to_domid("nobody").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DomainNotFound, "{error}");
    assert_eq!(ctx.domid_to_name(DomId(32_000)), None);
}

#[test]
fn many_contexts_in_many_threads() {
    let threads: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn(|| {
                for _ in 0..5 {
                    let ctx = Context::open().unwrap();
                    let clone = ctx.clone();
                    drop(ctx);
                    assert!(!clone.list_domains().unwrap().is_empty());
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_watcher_may_be_dropped_before_its_watches() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &config(Kind::Pv, "order", ""));
    drop(watcher);
    assert!(guest.events.try_recv().is_err());
}

/// A paused guest acknowledges nothing, so libxl would wait for a minute.
#[test]
fn a_deadline_ends_an_operation() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &config(Kind::Pv, "deadline", ""));
    let error = guest
        .domain
        .shutdown()
        .deadline(Duration::from_secs(1))
        .wait()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:#}");
    assert!(error.to_string().contains("took longer than 1s"), "{error}");
}

#[test]
fn an_operation_is_aborted_from_another_thread() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &config(Kind::Pv, "abort", ""));
    let abort = AbortHandle::new();
    let waiting = guest.domain.shutdown().abort_with(&abort).start().unwrap();
    let puller = thread::spawn({
        let abort = abort.clone();
        move || {
            thread::sleep(Duration::from_millis(200));
            abort.abort();
        }
    });
    let error = waiting.wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Aborted, "{error:#}");
    puller.join().unwrap();
    let error = guest
        .domain
        .unpause()
        .abort_with(&abort)
        .wait()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Aborted, "a handle stays pulled");
}

#[test]
fn operations_of_several_threads_share_a_context() {
    let ctx = context();
    let watcher = watcher();
    let guests: Vec<Guest> = (0..3)
        .map(|_| Guest::create(&ctx, &watcher, &config(Kind::Pv, "shared", "")))
        .collect();
    thread::scope(|scope| {
        for (n, guest) in (1..).zip(&guests) {
            let domain = guest.domain.clone();
            scope.spawn(move || {
                let deadline = Duration::from_millis(500 * n);
                let error = domain.shutdown().deadline(deadline).wait().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:#}");
                domain.destroy().wait().unwrap();
            });
        }
    });
}

#[test]
fn an_operation_may_be_dropped_while_it_runs() {
    let watcher = watcher();
    let ctx = context();
    let guest = Guest::create(&ctx, &watcher, &config(Kind::Pv, "dropped", ""));
    let own = context();
    let running = own.domain(guest.id()).shutdown().start().unwrap();
    drop(running);
    // The context ends the operation before it ends itself. Otherwise libxl would end the process.
    drop(own);
    assert!(guest.domain.info().unwrap().paused);
}

/// Once a context is given up, nobody can tell it that a child has ended.
#[test]
fn an_operation_may_be_dropped_by_who_deals_with_children() {
    let Some(domid) = told() else {
        let watcher = watcher();
        let guest = Guest::create(&context(), &watcher, &tiny_config(Kind::Pv, "children", ""));
        return alone(
            "context::an_operation_may_be_dropped_by_who_deals_with_children",
            &guest.id().domid.to_string(),
        );
    };
    let builder = Context::builder().sigchld(SigchldMode::Mainloop);
    let ctx = builder.open().unwrap();
    let domain = ctx.domain_by_domid(DomId(domid.parse().unwrap())).unwrap();
    drop(domain.destroy().start().unwrap());
    ctx.sigchld_occurred();
    drop(domain);
    drop(ctx);
    // As long as a context of the first kind exists, even a leaked one, contexts of the second kind are refused.
    let other = Context::open().unwrap();
    // libxl would end the process if it were told in this mode.
    other.sigchld_occurred();
    assert!(!other.list_domains().unwrap().is_empty());
}

/// A child that goes on without an exec resumes a domain.
///
/// It does not know its parent's watcher, whose context it has given up. The watcher notices the resume on its own.
#[test]
fn a_forked_child_leaves_its_parents_watchers_alone() {
    if told().is_none() {
        return alone(
            "context::a_forked_child_leaves_its_parents_watchers_alone",
            "",
        );
    }
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &config(Kind::Pv, "forked", ""));
    guest.wait_until_up();
    let suspended = guest.domain.suspend_only(&Limits::none()).unwrap();
    guest.expect_shutdown(ShutdownReason::SUSPEND);
    // SAFETY: the child opens a context of its own and ends without dropping anything else.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends the child if it waits for a lock of its parent.
        unsafe { libc::alarm(120) };
        // SAFETY: the only thread of a child; inherited values are neither used nor dropped.
        unsafe { ctx.clone().postfork_child_noexec() };
        let resumed = Context::open().and_then(|ctx| ctx.domain(guest.id()).resume(true));
        // SAFETY: ends the child without running any code of its parent.
        unsafe { libc::_exit(if resumed.is_ok() { 7 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: a child of this process and a place for its status.
    let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(ended, child);
    assert!(libc::WIFEXITED(status), "{status}");
    assert_eq!(libc::WEXITSTATUS(status), 7);
    guest.expect(DomainEvent::Resumed);
    drop(suspended);
    guest.still_lives_and_dies();
}

/// libxl leaves the half-built domain to the caller, who must learn its domid.
#[test]
fn an_aborted_creation_names_its_domain() {
    let ctx = context();
    // Slow enough to be aborted in the middle, because QEMU has to start.
    let config = config(Kind::Hvm, "aborted", "");
    let operation = ctx.domain_create_new(&config).unwrap();
    let error = operation
        .deadline(Duration::from_millis(1))
        .wait()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:#}");
    let domid = error.domain().expect("the domain that is half made");
    match ctx
        .domain_by_domid(domid)
        .map(|domain| domain.destroy().wait())
    {
        Ok(destroyed) => destroyed.unwrap(),
        Err(error) => assert!(error.is_domain_gone(), "{error:#}"),
    }
    let left = ctx.name_to_domid(&config.c_info.name).unwrap_err();
    assert!(left.is_domain_gone(), "{left:#}");
}

/// The crate asks the hypervisor, and not libxl, which asks for the names of security labels as well.
#[test]
fn domains_are_described_as_libxl_describes_them() {
    let (ctx, watcher) = (context(), watcher());
    let guests = [Kind::Pv, Kind::Pvh]
        .map(|kind| Guest::create(&ctx, &watcher, &tiny_config(kind, "described", "")));
    let list = ctx.list_domains().unwrap();
    assert_eq!(list[0].domid, DomId::DOM0);
    assert!(list.is_sorted_by_key(|info| info.domid));
    for guest in &guests {
        let ours = guest.domain.info().unwrap();
        assert!(list.contains(&ours), "{ours:?}: {list:?}");
        let mut raw = MaybeUninit::<sys::libxl_dominfo>::uninit();
        // SAFETY: a live context; the structure is initialised first, and disposed of last.
        let theirs = unsafe {
            sys::libxl_dominfo_init(raw.as_mut_ptr());
            let rc = sys::libxl_domain_info(ctx.as_ptr(), raw.as_mut_ptr(), guest.id().domid.0);
            assert_eq!(rc, 0);
            let raw = &*raw.as_ptr();
            let theirs = [
                raw.outstanding_memkb,
                raw.current_memkb,
                raw.shared_memkb,
                raw.paged_memkb,
                raw.max_memkb,
                raw.cpu_time,
                raw.vcpu_max_id.into(),
                raw.vcpu_online.into(),
                raw.cpupool.into(),
                raw.ssidref.into(),
            ];
            let flags = [
                raw.running,
                raw.blocked,
                raw.paused,
                raw.shutdown,
                raw.dying,
            ];
            let is_hvm = raw.domain_type == sys::libxl_domain_type::LIBXL_DOMAIN_TYPE_HVM;
            (raw.uuid.uuid, theirs, flags, is_hvm)
        };
        // SAFETY: initialised above, and disposed of once.
        unsafe { sys::libxl_dominfo_dispose(raw.as_mut_ptr()) };
        let numbers = [
            ours.outstanding_memkb,
            ours.current_memkb,
            ours.shared_memkb,
            ours.paged_memkb,
            ours.max_memkb,
            ours.cpu_time_ns,
            ours.vcpu_max_id.into(),
            ours.vcpu_online.into(),
            ours.cpupool.into(),
            ours.ssidref.into(),
        ];
        let flags = [
            ours.running,
            ours.blocked,
            ours.paused,
            ours.shutdown,
            ours.dying,
        ];
        let is_hvm = ours.domain_type == Some(DomainType::Hvm);
        assert_eq!((ours.uuid.into_bytes(), numbers, flags, is_hvm), theirs);
    }
    let nobody = ctx.domain_info(DomId(0x7000)).unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::DomainNotFound);
}
