//! Opens the agent's records: the journal, the state that an agent without a journal left, or only the reason why the
//! journal cannot be used.

use std::collections::HashMap;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;
use uuid::Uuid;

use super::error::StartError;
use crate::agent::records::{self, Left, Records};
use crate::agent::worker::read_status;
use crate::base::crash_points;
use crate::base::dirs::Dirs;
use crate::base::services::Services;
use crate::base::store::{self, Named};
use crate::core::Record;
use crate::frontends::eve;
use crate::frontends::inputs::Inputs;
use crate::host::disks::name;
use crate::journal::{self, Change, Entry, Journal, OpenError, Store};
use crate::toolstack::Toolstack;

/// Opens the journal of `dirs`. With `forget`, a damaged journal is put aside.
///
/// # Errors
/// The agent cannot start: the journal is that of a newer agent, or cannot be used now.
pub(super) fn open(
    dirs: &Dirs,
    toolstack: &dyn Toolstack,
    forget: bool,
    services: &Services,
) -> Result<Records, StartError> {
    let boot = toolstack.boot_id().map_err(|e| StartError::System {
        what: "the run of the host",
        source: std::io::Error::other(e),
    })?;
    match read(dirs) {
        Ok((store, left)) => {
            let begun = has_begun(&store, &left).map_err(StartError::Journal)?;
            let import = (!begun).then(|| import(dirs, boot));
            begin(store, boot, left, import, services)
        }
        Err(e @ OpenError::Damaged { .. }) if forget => {
            log::warn!("{e}; put aside, and everything in it forgotten");
            let now = OffsetDateTime::now_utc().unix_timestamp();
            journal::set_aside(&dirs.state, &format!("damaged-{now}")).map_err(|source| {
                StartError::Dir {
                    path: dirs.state.clone(),
                    source,
                }
            })?;
            let (store, left) = read(dirs).map_err(StartError::Journal)?;
            begin(store, boot, left, Some(HashMap::new()), services)
        }
        Err(e @ OpenError::Damaged { .. }) => {
            let why = format!(
                "{e}: domains that run are looked after, but nothing is built, changed or removed before the agent is \
                 started with `domainmgr run --forget`"
            );
            log::error!("{why}");
            Ok(Records::damaged(why, boot))
        }
        Err(e) => Err(StartError::Journal(e)),
    }
}

fn read(dirs: &Dirs) -> Result<(Store, Left), OpenError> {
    let store = Store::open(&dirs.state)?;
    let left = records::read(&store)?;
    Ok((store, left))
}

/// Returns whether anything was ever committed to the journal.
///
/// The existence of the file is not enough: an agent may have ended between making the file and importing the earlier
/// state.
fn has_begun(store: &Store, left: &Left) -> Result<bool, OpenError> {
    // Earlier agents did not write `BEGUN`.
    Ok(!left.records.is_empty()
        || store.value(records::BEGUN)?.is_some()
        || store.value(records::CONFIG_DIR)?.is_some())
}

/// Starts the journal. A new journal first gets the imported records.
fn begin(
    mut store: Store,
    boot: Uuid,
    mut left: Left,
    imported: Option<HashMap<Uuid, Record>>,
    services: &Services,
) -> Result<Records, StartError> {
    let mut changes = Vec::new();
    let count = imported.as_ref().map_or(0, HashMap::len);
    if imported.is_some() {
        changes.push(Change::Set(records::BEGUN, boot.to_string()));
    }
    for (key, record) in imported.into_iter().flatten() {
        let bytes = record.to_bytes().map_err(|e| StartError::System {
            what: "what an earlier agent has left",
            source: std::io::Error::other(e),
        })?;
        changes.push(Change::Put(Entry {
            key,
            state: record.word(),
            record: bytes.clone(),
            events: Vec::new(),
        }));
        left.records.insert(key, bytes);
    }
    if !changes.is_empty() {
        crash_points::point("before the import");
        store
            .commit(changes.iter())
            .map_err(|e| StartError::System {
                what: "the journal",
                source: std::io::Error::other(e),
            })?;
        crash_points::point("after the import");
    }
    if count > 0 {
        log::info!(
            "{count} domain(s) taken over from the DomainStatus of an agent without a journal"
        );
    }
    let config_dir = store
        .value(records::CONFIG_DIR)
        .map_err(StartError::Journal)?;
    let xl_dir = store.value(records::XL_DIR).map_err(StartError::Journal)?;
    let arrived = store.value(records::ARRIVED).map_err(StartError::Journal)?;
    let settings = store
        .value(records::SETTINGS)
        .map_err(StartError::Journal)?;
    let journal = Journal::start(store, services).map_err(|source| StartError::System {
        what: "a thread for the journal",
        source,
    })?;
    let mut records = Records::new(journal, boot, left);
    records.config_dir = config_dir;
    records.xl_dir = xl_dir;
    records.arrived = arrived;
    records.settings = Mutex::new(settings);
    Ok(records)
}

/// Makes records from the DomainStatus files that an agent without a journal has left.
fn import(dirs: &Dirs, boot: Uuid) -> HashMap<Uuid, Record> {
    let mut records = HashMap::new();
    let copies = store::list(&dirs.copies).unwrap_or_default();
    for file in store::list(&dirs.status).unwrap_or_default() {
        let Named::Key(key) = store::key_of(&file) else {
            continue;
        };
        let path = dirs.status.join(&file);
        let written = fs::metadata(&path).and_then(|m| m.modified()).ok();
        // A status that is older than the present run of the host describes domains of an earlier run.
        let since = if written.is_some_and(|at| at < host_start()) {
            Uuid::nil()
        } else {
            boot
        };
        let ours: Vec<String> = copies
            .iter()
            .filter(|file| name::owner(file) == Some(key) && !name::is_temporary(file))
            .cloned()
            .collect();
        let wish = Inputs::wanted(&dirs.config, key);
        let status = read_status(&path).unwrap_or_else(|e| {
            log::warn!("{}: {e}; ignored", path.display());
            None
        });
        let record = match status {
            Some(status) => eve::import(key, &status, since, wish, &ours),
            None => {
                let why = format!(
                    "{}: cannot be read, so nobody knows what became of the domain: it is not built before its \
                     DomainConfig changes",
                    path.display()
                );
                log::error!(key:% = key; "{why}");
                Record::unknown(boot, wish, ours, why, OffsetDateTime::now_utc())
            }
        };
        records.insert(key, record);
    }
    records
}

/// Returns the time at which the host was started.
fn host_start() -> SystemTime {
    let up = clock_gettime(ClockId::Boottime);
    let up = Duration::from_secs(u64::try_from(up.tv_sec).unwrap_or(0));
    SystemTime::now()
        .checked_sub(up)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
