//! Builds the stand-in and runs a test in a process of its own that has it preloaded.

use std::{
    env,
    ffi::{CStr, c_int, c_void},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{Duration, Instant},
};

use libxl::{Context, DomId, Domain};

/// Set in a process that has the stand-in.
const PRESENT: &str = "LIBXL_STAND_IN";
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulated/libxl.c");

/// Runs `body` with the stand-in in place of libxl. `name` is that of the test.
pub(crate) fn simulated(name: &str, body: fn()) {
    if env::var_os(PRESENT).is_some() {
        return body();
    }
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| build(SOURCE));
    let output = Command::new(env::current_exe().unwrap())
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

/// Compiles the stand-in. It has no SONAME: with that of libxl, the real one would not be loaded.
fn build(source: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libstand-in.so");
    let mut cc = Command::new(env::var_os("CC").unwrap_or("cc".into()));
    cc.args([
        "-std=gnu11",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-g",
        "-shared",
        "-fPIC",
    ])
    .arg("-o")
    .arg(&path)
    .arg(source);
    if let Some(headers) = option_env!("LIBXL_HEADERS") {
        cc.arg(format!("-I{headers}"));
    }
    let output = cc.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{cc:?}: {stderr}");
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

/// How long the operations take that begin from here on, in milliseconds: 0 is over when it begins,
/// and -1 not before it is aborted.
pub(crate) fn operations_take(ms: c_int) {
    tell(c"fake_duration", ms);
}

/// Number of operations that libxl was asked to abort while they were under way.
pub(crate) fn aborts() -> c_int {
    ask(c"fake_aborts")
}

#[allow(dead_code)]
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
