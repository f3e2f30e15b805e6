//! Guests for the live tests. None is left behind, even by a failing test.

use std::{
    env,
    fs::{self, File},
    io::Write as _,
    panic::Location,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use libxl::{
    AbortHandle, Context, Domain, DomainConfig, DomainEvent, DomainId, DomainState, Events,
    ShutdownReason, Watch, Watcher,
    config::{HvmInfo, VgaInterfaceInfo, VgaInterfaceType},
};

/// A generous limit for an emulated machine with other tests beside this one. Only a hang takes this long.
pub(crate) const LONG: Duration = Duration::from_secs(240);

/// The type of domain that a test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Pv,
    Pvh,
    Hvm,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Pv, Kind::Pvh, Kind::Hvm];

/// Opens a context that logs to the test's output.
pub(crate) fn context() -> Context {
    let _ = env_logger::builder().is_test(true).try_init();
    Context::open().expect("a context: this test runs in dom0")
}

/// Starts a watcher that must hear of everything itself: its first resync comes long after every test has given up.
pub(crate) fn watcher() -> Watcher {
    Watcher::start_with(Context::builder(), 10 * LONG).expect("a watcher")
}

/// Returns a name that no other test uses.
pub(crate) fn unique(hint: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{hint}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Variable that has the agents of these tests use Xen's scripts.
const WITH_SCRIPTS: &str = "LAB_SCRIPTS";

/// Returns the directory of the hotplug programs for the agents of the tests. It outlives each of them, as their domains name it.
pub(crate) fn hotplug_dir() -> &'static Path {
    match env::var_os(WITH_SCRIPTS) {
        Some(_) => Path::new("/nowhere"),
        None => hotplug_programs(),
    }
}

/// Returns the directory with the hotplug programs, as the package installs them.
pub(crate) fn hotplug_programs() -> &'static Path {
    static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
        let dir = PathBuf::from(format!("/run/lab-hotplug-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        // xtask puts the program beside this test.
        let built = env::current_exe().unwrap().with_file_name("xen-hotplug");
        let program = dir.join("xen-hotplug");
        fs::copy(built, &program).unwrap();
        for name in ["block", "vif-bridge", "vif-route", "vif-openvswitch"] {
            std::os::unix::fs::symlink(&program, dir.join(name)).unwrap();
        }
        dir
    });
    &DIR
}

/// Words that the guest's Linux boots faster with: tests of its ciphers and the list of places for probes take a second each under emulation,
/// looking for a graphics aperture takes an HVM guest ten, and an emulated processor does not guess.
pub(crate) const QUICK: &str = "quiet mitigations=off cryptomgr.notests initcall_blacklist=init_kprobe_trace,crypto_kdf108_init pci=noearly";

/// Returns the configuration of the lab's guest, which does `action` (see lab/README.md).
pub(crate) fn config(kind: Kind, hint: &str, action: &str) -> DomainConfig {
    let name = unique(hint);
    let cmdline = format!("console=hvc0 {QUICK} {action}");
    let config = match kind {
        Kind::Pv => DomainConfig::pv(name).kernel("/lab/guest/vmlinux"),
        Kind::Pvh => DomainConfig::pvh(name).kernel("/lab/guest/vmlinux"),
        Kind::Hvm => DomainConfig::new(name, without_vga()).kernel("/lab/guest/vmlinuz"),
    };
    config
        .ramdisk("/lab/guest/initrd")
        .cmdline(cmdline)
        .memory_mib(128)
        .vcpus(1)
}

/// Returns HVM settings without a VGA card, on which the BIOS draws slowly under emulation.
fn without_vga() -> HvmInfo {
    HvmInfo {
        // The primary console of an HVM domain is its first serial port.
        serial: Some("pty".into()),
        vga: VgaInterfaceInfo {
            kind: Some(VgaInterfaceType::None),
        },
        ..HvmInfo::default()
    }
}

/// Returns the configuration of the lab's small guest. `params` set its behaviour (see lab/README.md).
pub(crate) fn tiny_config(kind: Kind, hint: &str, params: &str) -> DomainConfig {
    let name = unique(hint);
    let config = match kind {
        Kind::Pv => DomainConfig::pv(name).kernel("/share/guest/tiny"),
        Kind::Pvh => DomainConfig::pvh(name).kernel("/share/guest/tiny"),
        Kind::Hvm => DomainConfig::new(name, without_vga()).kernel("/share/guest/tiny-hvm"),
    };
    config
        .cmdline(params)
        .memory_mib(if kind == Kind::Hvm { 32 } else { 4 })
        .vcpus(1)
}

/// A domain that is destroyed at the end of the test.
pub(crate) struct Guest {
    pub(crate) domain: Domain,
    pub(crate) name: String,
    pub(crate) events: Events<DomainEvent>,
    _watch: Watch,
}

impl Guest {
    /// Creates a domain, paused, and watches it.
    pub(crate) fn create(ctx: &Context, watcher: &Watcher, config: &DomainConfig) -> Self {
        let name = config.c_info.name.clone();
        let id = ctx
            .domain_create_new(config)
            .and_then(libxl::Operation::wait)
            .unwrap_or_else(|e| panic!("{name}: {e:#}"));
        Self::adopt(watcher, ctx.domain(id), name)
    }

    /// Watches an existing domain.
    pub(crate) fn adopt(watcher: &Watcher, domain: Domain, name: String) -> Self {
        let (watch, events) = watcher.watch_channel(domain.id()).expect("a watch");
        Self {
            domain,
            name,
            events,
            _watch: watch,
        }
    }

    /// Creates a domain and starts it.
    pub(crate) fn start(ctx: &Context, watcher: &Watcher, config: &DomainConfig) -> Self {
        let guest = Self::create(ctx, watcher, config);
        guest.domain.unpause().wait().expect("unpause");
        guest
    }

    pub(crate) fn id(&self) -> DomainId {
        self.domain.id()
    }

    /// Waits for the guest's first line on its console.
    pub(crate) fn wait_until_up(&self) {
        wait_until_up(&self.name, || self.has_not_reset());
    }

    /// Fails if a guest that should run has reset: waiting on would only take long.
    pub(crate) fn has_not_reset(&self) {
        let reset = DomainState::Shutdown(ShutdownReason::REBOOT);
        assert!(self.state() != Some(reset), "{}: {EARLY_RESET}", self.name);
    }

    /// Returns the whole output on the guest's console, which xenconsoled logs.
    pub(crate) fn console(&self) -> String {
        console(&self.name)
    }

    /// Waits for a text on the guest's console.
    #[track_caller]
    pub(crate) fn wait_until_it_says(&self, text: &str) {
        wait_for(&format!("{} to say {text:?}", self.name), || {
            self.console().contains(text)
        });
    }

    /// Watches an existing domain, under its current name.
    pub(crate) fn of(domain: Domain, watcher: &Watcher) -> Self {
        let name = domain.name().expect("a name");
        Self::adopt(watcher, domain, name)
    }

    /// Returns the events up to this one, which must come.
    #[track_caller]
    pub(crate) fn events_until(&self, last: DomainEvent) -> Vec<DomainEvent> {
        let mut events = vec![self.next()];
        while events.last() != Some(&last) {
            events.push(self.next());
        }
        events
    }

    /// Checks that the guest runs, is still watched, and obeys: its shutdown and its death are both reported.
    ///
    /// The events of an earlier suspend and resume are not checked here.
    #[track_caller]
    pub(crate) fn still_lives_and_dies(&self) {
        wait_for("the guest to run", || {
            self.state() == Some(DomainState::Running)
        });
        if let Err(error) = self.domain.shutdown().wait() {
            let state = self.state();
            panic!("{}: {error:#}; {state:?}\n{}", self.name, self.console());
        }
        let poweroff = DomainEvent::Shutdown(ShutdownReason::POWEROFF);
        let before = self.events_until(poweroff);
        let ends = before.iter().filter(|event| **event == poweroff).count();
        assert_eq!(ends, 1, "{}: {before:?}", self.name);
        assert!(
            !before.contains(&DomainEvent::Death),
            "{}: {before:?}",
            self.name
        );
        self.destroy();
    }

    /// Returns the uptimes that the guest has printed, in the guest's own unit.
    pub(crate) fn uptimes(&self) -> Vec<f64> {
        uptimes(&self.name)
    }

    /// Returns the next event.
    pub(crate) fn next(&self) -> DomainEvent {
        self.events
            .recv_timeout(LONG)
            .unwrap_or_else(|e| panic!("{}: no event: {e}; state {:?}", self.name, self.state()))
    }

    /// Expects this event as the next one.
    #[track_caller]
    pub(crate) fn expect(&self, event: DomainEvent) {
        assert_eq!(self.next(), event, "{}", self.name);
    }

    #[track_caller]
    pub(crate) fn expect_shutdown(&self, reason: ShutdownReason) {
        self.expect(DomainEvent::Shutdown(reason));
    }

    pub(crate) fn state(&self) -> Option<libxl::DomainState> {
        self.domain.info().ok().map(|info| info.state())
    }

    /// Destroys the domain, and expects the event.
    #[track_caller]
    pub(crate) fn destroy(&self) {
        self.domain.destroy().wait().expect("destroy");
        self.expect(DomainEvent::Death);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        match self.domain.destroy().wait() {
            Ok(()) => {}
            Err(error) if error.is_domain_gone() => {}
            Err(error) => eprintln!("{} is left behind: {error:#}", self.name),
        }
    }
}

/// Message about a guest that shuts down for a reboot while it should come up.
pub(crate) const EARLY_RESET: &str = "the guest has reset, which nothing in it asked for";

pub(crate) fn console(name: &str) -> String {
    // xenconsoled keeps writing to the log of the name that the domain had at first.
    ["", "--incoming"]
        .map(|suffix| format!("/var/log/xen/console/guest-{name}{suffix}.log"))
        .map(|log| fs::read(log).unwrap_or_default())
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat()
}

/// Returns whether a lab guest has written its first line on its console.
pub(crate) fn is_up(name: &str) -> bool {
    console(name).contains("lab guest: up")
}

/// Waits for the first line of a lab guest on its console, for as long as the guest makes progress.
#[track_caller]
pub(crate) fn wait_until_up(name: &str, check: impl Fn()) {
    let mut hope = Hope::for_guest(name);
    while !is_up(name) {
        check();
        if let Some(why) = hope.lost() {
            panic!(
                "waited for {name} to come up: {why}; its console:\n{}",
                console(name)
            );
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Decides whether to go on waiting for a guest.
///
/// On a machine that others may use as well, the clock does not tell a slow guest from a hanging one. The output and
/// the processor time of the guest do.
pub(crate) struct Hope {
    name: String,
    ctx: Context,
    asked: Instant,
    /// Length of the output, and the processor time used by then.
    wrote: (usize, Duration),
    /// The processor time used, and the time of its last change.
    used: (Duration, Instant),
}

impl Hope {
    /// A guest that neither writes nor uses the processor for this long hangs. It may wait for dom0, which may wait
    /// for its host.
    const STILL: Duration = Duration::from_secs(180);
    /// A guest that uses this much processor time without writing hangs, too. The firmware of an HVM guest takes 40 s
    /// of it.
    const BUSY: Duration = Duration::from_secs(300);

    pub(crate) fn for_guest(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ctx: context(),
            asked: Instant::now(),
            wrote: (0, Duration::ZERO),
            used: (Duration::ZERO, Instant::now()),
        }
    }

    /// Returns the reason to give up, if there is one. Must be called regularly.
    pub(crate) fn lost(&mut self) -> Option<String> {
        let now = Instant::now();
        if now - self.asked < Duration::from_secs(3) {
            return None;
        }
        self.asked = now;
        let (wrote, used) = (console(&self.name).len(), self.processor_time());
        if used != self.used.0 {
            self.used = (used, now);
        }
        // The guest may have become another domain, whose processor time starts anew.
        if wrote != self.wrote.0 || used < self.wrote.1 {
            self.wrote = (wrote, used);
            self.used.1 = now;
        }
        let still = now - self.used.1;
        let busy = used.saturating_sub(self.wrote.1);
        if still > Self::STILL {
            Some(format!("it has done nothing for {} s", still.as_secs()))
        } else if busy > Self::BUSY {
            let seconds = busy.as_secs();
            Some(format!(
                "it has used {seconds} s of processor time since it last wrote anything"
            ))
        } else {
            None
        }
    }

    fn processor_time(&self) -> Duration {
        let domid = self.ctx.domain_qualifier_to_domid(&self.name).ok();
        let info = domid.and_then(|domid| self.ctx.domain_info(domid).ok());
        Duration::from_nanos(info.map_or(0, |info| info.cpu_time_ns))
    }
}

/// Returns whether Xen has reset a domain after a triple fault, according to Xen's log.
///
/// A guest of the lab never causes a triple fault itself, so the cause is a defect of the emulator.
pub(crate) fn xen_says_it_was_reset(ctx: &Context, domid: u64) -> bool {
    let log = ctx.xen_log(false).expect("Xen's log");
    log.lines()
        .any(|line| line.contains("Triple fault") && line.contains(&format!(" d{domid}v")))
}

/// Runs `suspend` on a slow guest, and aborts it once the guest has announced that it will suspend.
///
/// A suspend that is aborted earlier is withdrawn.
pub(crate) fn given_up<T: Send>(name: &str, suspend: impl FnOnce(&AbortHandle) -> T + Send) -> T {
    let stop = AbortHandle::new();
    thread::scope(|scope| {
        let suspending = scope.spawn(|| suspend(&stop));
        wait_for("the guest to obey", || {
            console(name).contains("obeys suspend")
        });
        stop.abort();
        suspending.join().expect("no panic")
    })
}

/// Returns the uptimes that a guest with `lab.tick` has printed, in the guest's own unit.
pub(crate) fn uptimes(name: &str) -> Vec<f64> {
    console(name)
        .lines()
        .filter_map(|line| line.split_once("lab guest: uptime ")?.1.split(' ').next())
        .filter_map(|number| number.trim().parse().ok())
        .collect()
}

/// Variable that marks the process of a test that runs alone, with the message for the test.
const ALONE: &str = "LIBXL_TEST_ALONE";

/// Returns the message for the test, if this is the process of a test that runs alone.
pub(crate) fn told() -> Option<String> {
    env::var(ALONE).ok()
}

/// Runs the test of this name again, in a process of its own, because it concerns the whole process. It is told
/// `what`.
#[track_caller]
pub(crate) fn alone(name: &str, what: &str) {
    let output = Command::new(env::current_exe().expect("a program"))
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, what)
        .output()
        .expect("the program can be run again");
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}: {said}", output.status);
    assert!(
        said.contains("1 passed"),
        "no test is called {name}: {said}"
    );
}

/// Returns xenstore's value at a path below a domain's directory.
#[track_caller]
pub(crate) fn xenstore_read(guest: &Guest, path: &str) -> String {
    let path = format!("/local/domain/{}/{path}", guest.id().domid);
    let output = Command::new("xenstore-read")
        .arg(&path)
        .output()
        .expect("xenstore-read is in the lab's dom0");
    assert!(output.status.success(), "{path}: {output:?}");
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

/// Waits until `holds` returns true, checking ten times a second.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {LONG:?} for {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Variable with the file for tests that end early. Set where `xl` is hidden on purpose.
const WITHOUT_XL: &str = "LAB_WITHOUT_XL";

/// Returns whether `xl` exists. The tests also run without it, to show that our software does not need it.
#[track_caller]
pub(crate) fn xl_is_there() -> bool {
    let there = Command::new("xl").arg("help").output().is_ok();
    let hidden = env::var_os(WITHOUT_XL).is_some();
    assert_eq!(
        there, !hidden,
        "there is an xl if, and only if, it is not hidden"
    );
    there
}

/// Returns whether `xl` exists, for tests about another toolstack.
///
/// Such a test ends early without it. This function then adds a line to a file, so that the test counts as skipped.
#[track_caller]
pub(crate) fn outsider_is_there() -> bool {
    let there = xl_is_there();
    if let (false, Some(file)) = (there, env::var_os(WITHOUT_XL)) {
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(file)
            .expect("the lab's share can be written to");
        // One write, because other tests append as well.
        file.write_all(format!("{}\n", Location::caller()).as_bytes())
            .expect("the lab's share can be written to");
    }
    there
}

/// Runs `xl`, as an outsider.
#[track_caller]
pub(crate) fn xl(args: &[&str]) -> String {
    let output = Command::new("xl")
        .args(args)
        .output()
        .expect("xl is in the lab's dom0");
    assert!(
        output.status.success(),
        "xl {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
