//! What is shown: a line for everything that happens, with the time since the beginning.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

pub(crate) struct Timeline {
    begin: Instant,
}

impl Timeline {
    pub(crate) fn start() -> Self {
        Self {
            begin: Instant::now(),
        }
    }

    /// A heading of the story.
    pub(crate) fn say(&self, text: &str) {
        println!("{:>6.1} s  == {text}", self.begin.elapsed().as_secs_f64());
    }

    /// A change in a DomainStatus.
    fn show(&self, name: &str, text: &str) {
        println!(
            "{:>6.1} s     {name:<10} {text}",
            self.begin.elapsed().as_secs_f64()
        );
    }
}

/// Prints every change in the DomainStatus directory until it is dropped.
pub(crate) struct Show {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Show {
    pub(crate) fn changes(timeline: &Arc<Timeline>, dir: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (timeline, stop) = (Arc::clone(timeline), Arc::clone(&stop));
            move || {
                let mut last = BTreeMap::new();
                while !stop.load(Ordering::SeqCst) {
                    step(&timeline, &dir, &mut last);
                    thread::sleep(Duration::from_millis(100));
                }
                step(&timeline, &dir, &mut last);
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("showing changes");
        }
    }
}

/// A status as (name, what is shown of it), by file name.
type Seen = BTreeMap<PathBuf, (String, String)>;

fn step(timeline: &Timeline, dir: &Path, last: &mut Seen) {
    let mut now = Seen::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        // Gone between the list and the look: not shown this time.
        let Ok(text) = fs::read(&path) else { continue };
        let status: Value = serde_json::from_slice(&text).expect("a DomainStatus is JSON");
        let name = status["DisplayName"].as_str().unwrap_or("?").to_owned();
        now.insert(path, (name, line(&status)));
    }
    for (path, (name, line)) in &now {
        if last.get(path).is_none_or(|(_, before)| before != line) {
            timeline.show(name, line);
        }
    }
    for (path, (name, _)) in &*last {
        if !now.contains_key(path) {
            timeline.show(name, "(its DomainStatus is gone)");
        }
    }
    *last = now;
}

fn line(status: &Value) -> String {
    let mut line = format!("{:<10}", status["StateName"].as_str().unwrap_or("?"));
    match status["DomainId"].as_u64() {
        Some(domid) if domid > 0 => line += &format!("domain {domid:<4}"),
        _ => line += "           ",
    }
    if let Some(reason) = status["ShutdownReason"].as_str().filter(|r| !r.is_empty()) {
        line += &format!(" last shutdown: {reason}");
    }
    if let Some(restarts) = status["Restarts"].as_u64().filter(|n| *n > 0) {
        line += &format!(" restarts: {restarts}");
    }
    if let Some(error) = status["LastErr"].as_str().filter(|e| !e.is_empty()) {
        line += &format!(" {error}");
    }
    line.trim_end().to_owned()
}
