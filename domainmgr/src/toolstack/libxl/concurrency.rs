//! Numbers of domains that are built, and that are destroyed, at the same time. `contexts.rs` bounds the contexts.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::base::queue::Queue;

/// Time after which a build or a destruction makes room for others: by then it hangs, or does not keep xenstored busy all
/// the time.
const LONG: Duration = Duration::from_secs(3);

/// The work that keeps xenstored busy. Domains that are destroyed never wait for those that are built.
pub(super) struct Concurrency {
    pub(super) builds: Arc<Queue>,
    pub(super) destructions: Arc<Queue>,
}

impl Default for Concurrency {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let queue = |most: usize| Arc::new(Queue::until_long(most, LONG));
        Self {
            builds: queue(processors.max(2)),
            // Most of its time, a destruction waits for a script, or for Xen to clear the memory.
            destructions: queue(processors.max(2) * 2),
        }
    }
}
