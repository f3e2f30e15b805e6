//! Builds the stand-in and runs a test in a process of its own that has it preloaded.

use std::{
    env,
    ffi::{CStr, c_int, c_void},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use libxl::{Context, DomId, Domain};

use crate::program::this_program;

/// Set in a process that has the stand-in.
const PRESENT: &str = "LIBXL_STAND_IN";
const SOURCES: [&str; 3] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulated/libxl.c"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulated/faults.c"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulated/store.c"),
];

/// Runs `body` with the stand-in in place of libxl. `name` is that of the test.
pub(crate) fn simulated(name: &str, body: fn()) {
    // With the SONAME of libxl, the real one would not be loaded.
    simulated_as(name, None, body);
}

/// As [`simulated`], with a stand-in that has this SONAME.
pub(crate) fn simulated_as(name: &str, soname: Option<&str>, body: fn()) {
    if env::var_os(PRESENT).is_some() {
        return body();
    }
    let library = build(soname);
    let output = this_program()
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(PRESENT, "1")
        .env("LD_PRELOAD", library)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("1 passed"), "{name}: {stdout}");
}

/// Compiles the stand-in, once for each name.
fn build(soname: Option<&str>) -> PathBuf {
    static BUILT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let file = format!("lib{}.stand-in.so", soname.unwrap_or("xenlight"));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if built.contains(&path) {
        return path;
    }
    let mut cc = Command::new(env::var_os("CC").unwrap_or("cc".into()));
    cc.args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g"])
        .args(["-shared", "-fPIC"])
        .arg("-o")
        .arg(&path)
        .args(SOURCES);
    if let Some(soname) = soname {
        cc.arg(format!("-Wl,-soname,{soname}"));
    }
    if let Some(headers) = option_env!("LIBXL_HEADERS") {
        // As system headers, so that the compiler does not warn about their code.
        cc.arg("-isystem").arg(headers);
    }
    let output = cc.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{cc:?}: {stderr}");
    built.push(path.clone());
    path
}

fn symbol(name: &CStr) -> *mut c_void {
    // SAFETY: a NUL-terminated name.
    let at = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    assert!(!at.is_null(), "{name:?}");
    at
}

/// Tells the stand-in a number.
fn tell(name: &CStr, number: c_int) {
    // SAFETY: a function of the stand-in with this signature.
    let function: extern "C" fn(c_int) = unsafe { std::mem::transmute(symbol(name)) };
    function(number);
}

/// Asks the stand-in for a number.
fn ask(name: &CStr) -> c_int {
    // SAFETY: as above.
    let function: extern "C" fn() -> c_int = unsafe { std::mem::transmute(symbol(name)) };
    function()
}

/// Sets the duration of operations that begin from here on, in milliseconds. With 0 an operation is
/// over when it begins, and with -1 not before it is aborted.
pub(crate) fn operations_take(ms: c_int) {
    tell(c"fake_duration", ms);
}

/// Number of operations that libxl was asked to abort while they were under way.
pub(crate) fn aborts() -> c_int {
    ask(c"fake_aborts")
}

/// Number of contexts that are open.
pub(crate) fn contexts() -> c_int {
    ask(c"fake_contexts")
}

/// Number of times that two threads have read sound cards at once.
pub(crate) fn overlaps() -> c_int {
    ask(c"fake_overlaps")
}

/// Number of times that a thread connected to xenstored while another did.
pub(crate) fn crowds() -> c_int {
    ask(c"fake_crowds")
}

/// Length of the node map of the last domain that was created, in bytes.
pub(crate) fn nodemap_bytes() -> c_int {
    ask(c"fake_nodemap_bytes")
}

/// Number of locks of libxl's that this thread holds.
#[cfg(feature = "log")]
pub(crate) fn depth() -> c_int {
    ask(c"fake_depth")
}

/// Number of streams that libxl was asked to write.
pub(crate) fn suspends() -> c_int {
    ask(c"fake_suspends")
}

/// Number of calls of functions in `faults.c` that no check has held back.
pub(crate) fn reached() -> c_int {
    ask(c"fake_reached")
}

/// Takes the last `count` of the host's six CPUs offline; a socket has three.
pub(crate) fn offline(count: c_int) {
    tell(c"fake_offline", count);
}

/// Sets the number of the host's NUMA nodes.
pub(crate) fn nodes(count: c_int) {
    tell(c"fake_nodes", count);
}

/// Sets the number of sound cards of every domain.
pub(crate) fn sound_cards(count: c_int) {
    tell(c"fake_cards", count);
}

/// Has every watched guest eject its disc `times` times.
pub(crate) fn eject(times: c_int) {
    tell(c"fake_ejects", times);
}

/// Has libxl's events fail on every open context.
pub(crate) fn disaster() {
    // SAFETY: a function of the stand-in with this signature.
    let function: extern "C" fn() = unsafe { std::mem::transmute(symbol(c"fake_disaster")) };
    function();
}

/// Has guests obey requests to suspend at once, or not hear them at all.
pub(crate) fn guests_hear(hear: bool) {
    tell(c"fake_guests_hear", c_int::from(hear));
}

/// Has somebody else change a request in so many of the next transactions.
pub(crate) fn races(count: c_int) {
    tell(c"fake_races", count);
}

/// Tells the stand-in a number about a domain.
fn tell_of(name: &CStr, domid: u32, number: c_int) {
    // SAFETY: a function of the stand-in with this signature.
    let function: extern "C" fn(c_int, c_int) = unsafe { std::mem::transmute(symbol(name)) };
    function(c_int::try_from(domid).unwrap(), number);
}

/// Sets the state of a domain.
pub(crate) fn becomes(domid: u32, state: c_int) {
    tell_of(c"fake_domain", domid, state);
}

/// Names a domain `d`, its id, `-` and this number. With a negative number it has no name. Every
/// domain has the number 0 at first.
pub(crate) fn is_called(domid: u32, number: c_int) {
    tell_of(c"fake_name", domid, number);
}

/// Has xenstored announce that a domain has appeared.
pub(crate) fn introduce() {
    // SAFETY: a function of the stand-in with this signature.
    let function: extern "C" fn() = unsafe { std::mem::transmute(symbol(c"fake_introduce")) };
    function();
}

/// Number of watches that xenstored has.
pub(crate) fn store_watches() -> c_int {
    ask(c"fake_store_watches")
}

/// Starts or stops xenstored. Connections to a stopped xenstored stay silent.
pub(crate) fn store_runs(runs: bool) {
    tell(c"fake_store", c_int::from(runs));
}

/// States of a domain: it is not there, it runs, it has powered off, and it is suspended.
pub(crate) const GONE: c_int = -1;
pub(crate) const RUNNING: c_int = 0;
pub(crate) const OFF: c_int = 2;
pub(crate) const SUSPENDED: c_int = 4;

/// Waits for something that happens soon.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A domain of the stand-in: 0 to 63 run.
pub(crate) fn domain(ctx: &Context, domid: u32) -> Domain {
    ctx.domain_by_domid(DomId(domid)).unwrap()
}
