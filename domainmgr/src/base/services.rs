//! Threads that serve all domains: files, copies, adapters, figures, the journal.
//!
//! Each is needed for as long as the agent runs. One that ends takes the agent with it, with the reason in the log: a
//! supervisor starts the agent again, and the guests do not notice.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};

/// In a simulation, names the service that breaks as soon as it has begun.
pub const VARIABLE: &str = "DOMAINMGR_SIMULATE_DEATH";

static DOOMED: OnceLock<String> = OnceLock::new();

/// Has the service of this name break.
pub fn doom(name: String) {
    let _ = DOOMED.set(name);
}

fn break_if_doomed(name: &str) {
    let doomed = DOOMED.get().is_some_and(|doomed| doomed == name);
    assert!(!doomed, "simulated bug");
}

/// The end of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// The name of the thread.
    pub name: &'static str,
    /// The message of its panic, or that it has returned.
    pub why: String,
}

/// Starts services, and says which have ended.
#[derive(Clone, Debug)]
pub struct Services(Sender<Death>);

impl Services {
    /// None yet; and where it is heard that one has ended.
    #[must_use]
    pub fn new() -> (Self, Receiver<Death>) {
        let (tx, rx) = unbounded();
        (Self(tx), rx)
    }

    /// Starts a service. `stack` is in bytes. It may return only when the agent itself ends.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(
        &self,
        name: &'static str,
        stack: usize,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let deaths = self.0.clone();
        let whole = move || {
            break_if_doomed(name);
            work();
        };
        thread::Builder::new()
            .name(name.into())
            .stack_size(stack)
            .spawn(move || {
                let why = match catch_unwind(AssertUnwindSafe(whole)) {
                    Ok(()) => "it has returned".to_owned(),
                    Err(payload) => format!("internal error: {}", panic_text(payload.as_ref())),
                };
                // Nobody listening: the agent is ending anyway.
                let _ = deaths.send(Death { name, why });
            })
            .map(drop)
    }
}

/// The message of a panic.
#[must_use]
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_heard_of() {
        let (services, deaths) = Services::new();
        services.start("one", 64 << 10, || {}).unwrap();
        let death = deaths.recv().unwrap();
        assert_eq!((death.name, death.why.as_str()), ("one", "it has returned"));
        services
            .start("two", 64 << 10, || panic!("no {}", "way"))
            .unwrap();
        let death = deaths.recv().unwrap();
        let said = (death.name, death.why.as_str());
        assert_eq!(said, ("two", "internal error: no way"));
    }
}
