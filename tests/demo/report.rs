//! Messages and files about a step that fails.

use std::{
    fs, mem,
    panic::{self, AssertUnwindSafe, catch_unwind},
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
};

use crate::{
    host::{App, Host},
    timeline::Timeline,
};

/// Messages of panics since the last successful step.
static LAST_WORDS: Mutex<String> = Mutex::new(String::new());

/// Takes the messages of panics.
pub(crate) fn last_words() -> String {
    mem::take(&mut *LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Records the panics of all threads for [`step`], which prints them in the right place.
pub(crate) fn remember_panics() {
    panic::set_hook(Box::new(|info| {
        let payload = info.payload();
        let text = payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()))
            .unwrap_or_else(|| "a panic without words".to_owned());
        let place = info
            .location()
            .map(|l| format!("{}:{}", l.file(), l.line()));
        let mut last = LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner);
        if !last.is_empty() {
            last.push_str("\n             and: ");
        }
        *last += &format!("{text}\n             (at {})", place.unwrap_or_default());
    }));
}

/// Runs a step of the story under its heading.
///
/// If the step fails, prints the expectation, the error, and the last events of the domains concerned, and returns
/// `None`.
pub(crate) fn step<T>(
    timeline: &Timeline,
    heading: &str,
    expected: &str,
    concerned: &[&App],
    run: impl FnOnce() -> T,
) -> Option<T> {
    timeline.say(heading);
    if let Ok(value) = catch_unwind(AssertUnwindSafe(run)) {
        return Some(value);
    }
    let is = last_words();
    println!(
        "\n       This step did not come out right, after {:.1} s.",
        timeline.now()
    );
    println!("  expected:  {expected}");
    println!("  what is:   {is}");
    for app in concerned {
        println!("  the last events of {}:", app.display_name);
        let events = timeline.events();
        let its: Vec<_> = events
            .iter()
            .filter(|event| event.name() == Some(&app.display_name))
            .collect();
        if its.is_empty() {
            println!("             none");
        }
        for event in &its[its.len().saturating_sub(5)..] {
            println!("    {}", event.line());
        }
    }
    None
}

/// Copies the agent's configs, statuses and log to `out`.
pub(crate) fn keep(host: &Host, out: &Path) {
    let to = out.join("agent");
    fs::create_dir_all(&to).unwrap();
    for name in ["config", "run", "log"] {
        // Sockets and dangling links cannot be copied, and are not needed.
        let _ = Command::new("cp")
            .arg("-r")
            .arg(host.path(name))
            .arg(&to)
            .output();
    }
}
