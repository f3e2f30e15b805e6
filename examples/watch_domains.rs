//! Prints the events of every domain of the host as they happen: new domains, new names, shutdowns,
//! resumes and deaths.

use std::collections::HashMap;

use libxl::{Context, DomainEvent, DomainId, HostEvent, Watcher};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let watcher = Watcher::start(Context::builder())?;
    // Names as last reported: most events do not carry one.
    let mut names: HashMap<DomainId, String> = HashMap::new();
    for event in watcher.watch_all()? {
        match event {
            HostEvent::Appeared {
                id, name, state, ..
            } => {
                // A domain that is being built has no name yet.
                let name = name.unwrap_or_default();
                println!("{id} {name}: {state}");
                names.insert(id, name);
            }
            HostEvent::Renamed { id, to, .. } => {
                println!("{id} {to}: its name from now on");
                names.insert(id, to);
            }
            HostEvent::Changed { id, event, .. } => {
                let name = names.get(&id).map_or("", String::as_str);
                println!("{id} {name}: {event}");
                if event == DomainEvent::Death {
                    names.remove(&id);
                }
            }
            HostEvent::Missed { total, .. } => {
                println!("{total} events were missed; the domains that there are:");
                names.clear();
            }
            _ => {}
        }
    }
    Ok(())
}
