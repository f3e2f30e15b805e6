//! Prints what happens to every domain of the host, as it happens.
//!
//! New domains are found by listing, once a second: libxl has no event for them.

use std::{
    collections::HashMap,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use libxl::{Context, DomId, DomainId, Watch, Watcher};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ctx = Context::open()?;
    let watcher = Watcher::start(Context::builder())?;
    let mut watches: HashMap<DomainId, Watch> = HashMap::new();
    let (events, happened) = mpsc::channel();
    let events = Arc::new(events);

    loop {
        let domains = ctx.list_domains()?;
        watches.retain(|id, _| domains.iter().any(|info| info.id() == *id));
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
        for (id, name, event) in happened.try_iter() {
            println!("{id} {name}: {event}");
        }
        thread::sleep(Duration::from_secs(1));
    }
}
