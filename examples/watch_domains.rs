//! Prints what happens to every domain of the host, as it happens.
//!
//! New domains are found by listing, once a second: libxl has no event for them. What happens to those that are known is an event, and
//! printed at once.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use libxl::{Context, DomId, DomainEvent, DomainId, Watch, Watcher};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ctx = Context::open()?;
    let watcher = Watcher::start(Context::builder())?;
    let mut watches: HashMap<DomainId, Watch> = HashMap::new();
    let mut died: HashSet<DomainId> = HashSet::new();
    let (events, happened) = mpsc::channel();
    let events = Arc::new(events);

    loop {
        let domains = ctx.list_domains()?;
        // A dying domain is in the list for a while, and one that is not may yet be reported.
        let listed = |id: &DomainId| domains.iter().any(|info| info.id() == *id);
        watches.retain(|id, _| listed(id) || !died.remove(id));
        for info in domains.iter().filter(|info| info.domid != DomId::DOM0) {
            let id = info.id();
            if watches.contains_key(&id) {
                continue;
            }
            let name = ctx.domid_to_name(id.domid).unwrap_or_default();
            println!("{id} {name}: {}", info.state());
            let events = Arc::clone(&events);
            let watch = watcher.watch(id, move |event| {
                // The receiver lives as long as the program.
                let _ = events.send((id, name.clone(), event));
            })?;
            watches.insert(id, watch);
        }
        let next_list = Instant::now() + Duration::from_secs(1);
        let left = || next_list.saturating_duration_since(Instant::now());
        while let Ok((id, name, event)) = happened.recv_timeout(left()) {
            println!("{id} {name}: {event}");
            if event == DomainEvent::Death {
                died.insert(id);
            }
        }
    }
}
