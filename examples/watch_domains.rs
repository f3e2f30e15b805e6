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
    let mut names = Names::default();
    let mut watches: HashMap<DomainId, Watch> = HashMap::new();
    let mut died: HashSet<DomainId> = HashSet::new();
    let (events, happened) = mpsc::channel();
    let events = Arc::new(events);

    loop {
        let domains = ctx.list_domains()?;
        // A dying domain is in the list for a while, and one that is not may yet be reported.
        let listed = |id: &DomainId| domains.iter().any(|info| info.id() == *id);
        watches.retain(|id, _| listed(id) || !died.remove(id));
        names.0.retain(|id, _| watches.contains_key(id));
        for info in domains.iter().filter(|info| info.domid != DomId::DOM0) {
            let id = info.id();
            if watches.contains_key(&id) {
                continue;
            }
            let events = Arc::clone(&events);
            let watch = watcher.watch(id, move |event| {
                // The receiver lives as long as the program.
                let _ = events.send((id, event));
            });
            match watch {
                Ok(watch) => watches.insert(id, watch),
                // It went between the list and this.
                Err(error) if error.is_domain_gone() => continue,
                Err(error) => return Err(error.into()),
            };
            println!("{id} {}: {}", names.of(&ctx, id), info.state());
        }
        let next_list = Instant::now() + Duration::from_secs(1);
        let left = || next_list.saturating_duration_since(Instant::now());
        while let Ok((id, event)) = happened.recv_timeout(left()) {
            println!("{id} {}: {event}", names.of(&ctx, id));
            if event == DomainEvent::Death {
                died.insert(id);
            }
        }
    }
}

/// What the domains were called when last seen: one that is being built has no name yet, and one that
/// has died has none any more.
#[derive(Default)]
struct Names(HashMap<DomainId, String>);

impl Names {
    fn of(&mut self, ctx: &Context, id: DomainId) -> &str {
        let known = self.0.entry(id).or_default();
        if let Some(name) = ctx.domain(id).name() {
            *known = name;
        }
        known
    }
}
