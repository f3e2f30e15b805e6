//! Startup of the agent, from the locks to the main loop.

mod error;
mod memory;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use crossbeam_channel::{Receiver, Sender, unbounded};
use libxl::xlcfg::XlConf;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

pub use self::error::StartError;
use crate::agent::arrivals::Arrivals;
use crate::agent::env::{Env, Report};
use crate::agent::meter;
use crate::agent::options::Options;
use crate::agent::reception::Receptionist;
use crate::agent::records::Records;
use crate::agent::supervisor::{Ears, Lister, Supervisor, load_settings};
use crate::agent::turns::Turns;
use crate::agent::unused_copies;
use crate::agent::watching::{FileEvent, Reason, Watching};
use crate::base::clock::Clock;
use crate::base::dirs::Dirs;
use crate::base::logging;
use crate::base::queue::Queues;
use crate::base::services::{Death, Services};
use crate::base::store::{self, Claim, Lock};
use crate::frontends::control::{self, SavedFiles, Socket, Sources};
use crate::frontends::inputs::{Home, Inputs};
use crate::frontends::metrics;
use crate::frontends::wish::WishFile;
use crate::frontends::xl::{self, Hosts};
use crate::host::adapters::Adapters;
use crate::host::cfgs::Cfgs;
use crate::host::disks;
use crate::host::disks::register::Register;
use crate::host::owners::Owners;
use crate::journal;
use crate::spec::settings::Settings;
use crate::toolstack::Toolstack;

/// Takes the locks and runs until told to end. Guests stay as they are.
///
/// # Errors
/// The agent could not start, or a thread that it needs has ended.
pub fn run(
    options: &Options,
    toolstack: Arc<dyn Toolstack>,
    clock: Clock,
) -> Result<(), StartError> {
    let dirs = &options.dirs;
    make_dirs(&[&dirs.run, &dirs.state])?;
    let (services, deaths) = Services::new();
    let _lock = Lock::take(&dirs.run)?;
    let _state_lock = Lock::take(&dirs.state)?;
    let records = memory::open(dirs, toolstack.as_ref(), options.forget, &services)?;
    config_is_there(dirs, &records)?;
    prepare(dirs)?;
    let _claims = [&dirs.config, &dirs.copies]
        .map(|dir| Claim::take(dir))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let signals = signals(&services).map_err(system("signals"))?;
    let (watching, files) = watch_files(options, &services);
    check_overrides(options)?;
    let (reports_tx, reports) = unbounded();
    let env = env(options, toolstack, clock, records, reports_tx, &services)?;
    unused_copies::start(Arc::clone(&env), &services).map_err(system("a thread for images"))?;
    meter::start(Arc::clone(&env), &services).map_err(system("a thread for metrics"))?;
    log::info!(
        "domainmgr {} started: DomainConfig in {}, DomainStatus in {}",
        env!("CARGO_PKG_VERSION"),
        dirs.config.display(),
        dirs.status.display()
    );
    let lister = Lister::start(Arc::clone(&env.toolstack), &services)
        .map_err(system("a thread for lists"))?;
    let ears = Ears {
        signals,
        files,
        reports,
        deaths,
    };
    let shown = Sources {
        board: Arc::clone(&env.board),
        journal: env.records.journal(),
        figures: Arc::clone(&env.figures),
        queues: Arc::new(queues(&env)),
        hosts: env.inputs.hosts(),
        saved_files: {
            let toolstack = Arc::clone(&env.toolstack);
            SavedFiles::new(move |path| toolstack.saved_uuid(path).map_err(|e| e.to_string()))
        },
        reception: Arc::new(Receptionist::new(Arc::clone(&env))),
        since: env.clock.now().wall,
    };
    serve_figures(options, shown.clone(), &services)?;
    let mut supervisor = Supervisor::new(options, watching, lister, env);
    supervisor.begin();
    // Not earlier, so that every client hears of all domains.
    let _socket = listen(options, shown, &services)?;
    let death = supervisor.run(ears);
    log::info!("domainmgr ended; guests are left as they are");
    match death {
        Some(Death { name, why }) => Err(StartError::Service { name, why }),
        None => Ok(()),
    }
}

/// Serves the figures over HTTP, if the options ask for that.
fn serve_figures(options: &Options, shown: Sources, services: &Services) -> Result<(), StartError> {
    let Some(address) = options.metrics_address else {
        return Ok(());
    };
    let text = move || shown.figures();
    metrics::http::start(address, services, text)
        .map_err(|source| StartError::Metrics { address, source })
}

/// Opens the control socket. An error does not keep the agent from looking after domains, unless the socket is required.
fn listen(
    options: &Options,
    shown: Sources,
    services: &Services,
) -> Result<Option<Socket>, StartError> {
    let wanted = &options.control;
    match control::start(&wanted.path, wanted.group.as_deref(), shown, services) {
        Ok(socket) => Ok(Some(socket)),
        Err(e) if wanted.required => Err(StartError::Control(e)),
        Err(e) => {
            log::error!("there is no control socket: {e}");
            Ok(None)
        }
    }
}

/// Makes the state that all threads share, and starts the thread for adapters.
fn env(
    options: &Options,
    toolstack: Arc<dyn Toolstack>,
    clock: Clock,
    records: Records,
    reports: Sender<Report>,
    services: &Services,
) -> Result<Arc<Env>, StartError> {
    let dirs = &options.dirs;
    let settings = load_settings(options, &records);
    logging::set_level(settings.log_level);
    let news = reports.clone();
    let adapters = Adapters::start(
        options.adapters.clone(),
        dirs.run.join("AssignableAdapters/global.json"),
        Arc::clone(&toolstack),
        clock,
        settings.usb_access,
        // Without a receiver, the agent is ending anyway.
        Box::new(move || {
            let _ = news.send(Report::Freed);
        }),
        services,
    )
    .map_err(system("adapters"))?;
    let inputs = Inputs::new(&dirs.config, dirs.xl.as_deref(), hosts(&toolstack));
    let env = Env {
        toolstack,
        clock,
        dirs: dirs.clone(),
        cfgs: Cfgs::new(dirs),
        settings: RwLock::new(settings),
        adapters,
        copy_rate: options.copy_rate,
        copying: Arc::new(disks::copies_at_once()),
        register: Register::default(),
        owners: Owners::default(),
        inputs,
        arrivals: Arrivals::new(records.arrived.as_deref()),
        records,
        board: Arc::default(),
        metrics: metrics::Table::default(),
        figures: Arc::default(),
        turns: Turns::default(),
        reports,
    };
    for key in env.records.keys() {
        env.register.expect(key);
        match env.records.file(key) {
            Some(WishFile::Xl(file)) => env.inputs.settle(key, Home::Xl(file.path.clone().into())),
            Some(WishFile::Arrived(arrived)) => env.inputs.arrive(key, arrived),
            Some(WishFile::Eve(_)) | None => {}
        }
        if let Some(spec) = env.records.built(key) {
            env.owners.expect(key, &spec);
        }
    }
    if env.records.damage().is_none() {
        unused_copies::tidy(dirs);
        tidy_saved(dirs, &env.records);
    }
    Ok(Arc::new(env))
}

/// Returns the queues of the toolstack, and the agent's own.
fn queues(env: &Env) -> Queues {
    let mut queues = env.toolstack.queues();
    queues.push(("copy", Arc::clone(&env.copying)));
    queues
}

/// Removes saved memory of domains that have gone on since, and files that were never whole.
fn tidy_saved(dirs: &Dirs, records: &Records) {
    for name in store::list(&dirs.saved()).unwrap_or_default() {
        let key = name.strip_suffix(".save").and_then(|key| key.parse().ok());
        if key.is_some_and(|key| records.is_saved(key)) {
            continue;
        }
        let path = dirs.saved().join(name);
        if let Err(e) = store::remove(&path) {
            log::warn!("{}: {e}", path.display());
        }
    }
}

/// Returns the facts about the host on which the meaning of xl's files depends.
fn hosts(toolstack: &Arc<dyn Toolstack>) -> Hosts {
    let toolstack = Arc::clone(toolstack);
    Hosts::new(move || {
        Ok(xl::Host {
            facts: toolstack.host().map_err(|e| e.to_string())?,
            conf: XlConf::read().map_err(|e| e.to_string())?,
        })
    })
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}

/// Makes the directories that the agent writes to, and removes half-written files that a killed agent left in them.
fn prepare(dirs: &Dirs) -> Result<(), StartError> {
    let own = [
        &dirs.cfgs(),
        &dirs.run.join("AssignableAdapters"),
        &dirs.run.join("HostMemory"),
        &dirs.metrics(),
        &dirs.status,
        &dirs.image_statuses(),
        &dirs.seeds(),
    ];
    make_dirs(&own)?;
    make_dirs(&[&dirs.config, &dirs.dump, &dirs.copies])?;
    for dir in own {
        if let Err(e) = store::tidy(dir) {
            log::warn!("{}: {e}", dir.display());
        }
    }
    Ok(())
}

fn check_overrides(options: &Options) -> Result<(), StartError> {
    for (key, value) in &options.overrides {
        // A value that is merely adjusted is reported when the settings are loaded.
        if let Err(e) = Settings::default().set(key, value) {
            let e = e.to_string();
            if !e.contains("; using ") && !e.contains("no such setting") {
                return Err(StartError::Setting(e));
            }
        }
    }
    Ok(())
}

/// Checks that the config directory exists, unless no domain is known: only then may it be made.
///
/// A missing directory does not mean that no domain should run: its path may be mistyped.
fn config_is_there(dirs: &Dirs, records: &Records) -> Result<(), StartError> {
    // A directory that was recorded in another run of the host may not be there yet.
    let before = |text: &String| text.starts_with(&records.boot().to_string());
    let known = records.config_dir.as_ref().is_none_or(before);
    if fs::symlink_metadata(&dirs.config).is_ok() || !known {
        return Ok(());
    }
    let mut known = records.keys();
    known.retain(|key| !matches!(records.file(*key), Some(WishFile::Xl(_))));
    match known.len() {
        0 => Ok(()),
        count => Err(StartError::NoConfig {
            config: dirs.config.clone(),
            journal: dirs.state.join(journal::FILE),
            count,
        }),
    }
}

fn make_dirs(dirs: &[&PathBuf]) -> Result<(), StartError> {
    let make = |dir: &Path| {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // A path that exists already must be a directory.
        fs::read_dir(dir).map(drop)
    };
    for dir in dirs {
        make(dir).map_err(|source| StartError::Dir {
            path: dir.to_path_buf(),
            source,
        })?;
    }
    Ok(())
}

fn signals(services: &Services) -> io::Result<Receiver<i32>> {
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])?;
    let (tx, rx) = unbounded();
    services.start("signals", 128 << 10, move || {
        for signal in signals.forever() {
            if tx.send(signal).is_err() {
                return;
            }
        }
    })?;
    Ok(rx)
}

/// Watches the config directory, and the other directories that exist.
fn watch_files(options: &Options, services: &Services) -> (Watching, Receiver<FileEvent>) {
    let configs = &options.dirs.config;
    let name = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let mut wanted = vec![(configs.clone(), Reason::Configs)];
    if let Some(parent) = configs.parent() {
        wanted.push((parent.to_owned(), Reason::Parent(name(configs))));
    }
    if let Some(dir) = &options.dirs.xl {
        wanted.push((dir.clone(), Reason::Xl(dir.clone())));
        if let Some(parent) = dir.parent() {
            wanted.push((parent.to_owned(), Reason::Parent(name(dir))));
        }
    }
    if let Some(dir) = options.global_config.parent() {
        wanted.push((
            dir.to_owned(),
            Reason::Settings(name(&options.global_config)),
        ));
    }
    let model = &options.adapters.model;
    let model = if model.is_dir() {
        Some(model.as_path())
    } else {
        model.parent()
    };
    for dir in [model, options.adapters.network.parent()]
        .into_iter()
        .flatten()
    {
        wanted.push((dir.to_owned(), Reason::Adapters));
    }
    Watching::start(configs, wanted, services)
}
