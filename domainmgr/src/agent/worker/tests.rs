//! Mail that comes just before an operation begins, when the operation cannot be aborted yet.

use std::path::Path;
use std::sync::{Arc, RwLock};

use uuid::Uuid;

use super::run::Run;
use crate::agent::env::Env;
use crate::agent::records::Records;
use crate::agent::turns::Turns;
use crate::base::clock::Clock;
use crate::base::dirs::Dirs;
use crate::base::mailbox::Mail;
use crate::base::mailbox::mailbox;
use crate::base::services::Services;
use crate::core::{Built, Op, Outcome};
use crate::frontends::eve;
use crate::frontends::inputs::Inputs;
use crate::frontends::metrics;
use crate::host::adapters::{Adapters, Files};
use crate::host::disks::register::Register;
use crate::journal::{Journal, Store};
use crate::toolstack::sim::Simulation;
use crate::toolstack::{Error, ErrorKind, Toolstack};

const KEY: Uuid = Uuid::from_u128(0xa);

fn env(dir: &Path) -> Arc<Env> {
    let at = |name: &str| dir.join(name);
    let toolstack: Arc<dyn Toolstack> = Arc::new(Simulation::start(20, 4096, None).unwrap());
    let clock = Clock::new(20);
    let (services, _) = Services::new();
    let files = Files {
        model: at("model"),
        network: at("network"),
    };
    let adapters = Adapters::start(
        files,
        at("adapters.json"),
        Arc::clone(&toolstack),
        clock,
        true,
        Box::new(|| {}),
        &services,
    );
    for name in ["config", "run/xen"] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    std::fs::write(at("kernel"), "not really").unwrap();
    let dirs = Dirs::below(dir);
    let env = Env {
        toolstack,
        clock,
        cfgs: crate::host::cfgs::Cfgs::new(&dirs),
        dirs,
        settings: RwLock::default(),
        copy_rate: None,
        copying: Arc::new(crate::host::disks::copies_at_once()),
        register: Register::default(),
        owners: crate::host::owners::Owners::default(),
        board: Arc::default(),
        metrics: metrics::Table::default(),
        figures: Arc::default(),
        turns: Turns::default(),
        adapters: adapters.unwrap(),
        inputs: Inputs::new(
            &at("config"),
            None,
            crate::frontends::xl::Hosts::new(|| Err("none".to_owned())),
        ),
        records: {
            std::fs::create_dir_all(at("state")).unwrap();
            let journal = Journal::start(Store::open(&at("state")).unwrap(), &services).unwrap();
            Records::new(journal, Uuid::nil(), crate::agent::records::Left::default())
        },
        arrivals: crate::agent::arrivals::Arrivals::default(),
        reports: crossbeam_channel::unbounded().0,
    };
    env.turns.open();
    Arc::new(env)
}

#[test]
fn an_operation_hears_what_came_before_it_could_be_aborted() {
    let dir = tempfile::tempdir().unwrap();
    let env = env(dir.path());
    let config = eve::DomainConfig {
        uuid_and_version: eve::UuidAndVersion {
            uuid: KEY.to_string(),
            version: String::new(),
        },
        display_name: "a".into(),
        kernel: dir.path().join("kernel").to_string_lossy().into(),
        memory: eve::Kilobytes(65536),
        extra_args: "sim.deaf".into(),
        ..eve::DomainConfig::default()
    };
    let spec = Arc::new(eve::spec(KEY, &config).unwrap());
    let (mailbox, inbox) = mailbox();
    let shared = Arc::default();
    let mut memory = None;
    let mut run = Run::new(&env, KEY, &inbox, &mailbox, &shared, &mut memory, None);
    let create = Op::Create(spec);
    let outcome = run.execute(&create, None);
    let Outcome::Created(Ok(Built { id, .. })) = outcome else {
        panic!("{outcome:?}")
    };
    let aborted = |e: &Error| e.kind == ErrorKind::Aborted;

    mailbox.post(Mail::HINT);
    run.execute(&Op::Unpause(id), None);
    let outcome = run.execute(&Op::Shutdown(id), None);
    assert!(
        matches!(&outcome, Outcome::Ended(Err(e)) if aborted(e)),
        "{outcome:?}"
    );

    inbox.take();
    mailbox.post(Mail::STOP);
    let outcome = run.execute(&Op::Shutdown(id), None);
    assert!(
        matches!(&outcome, Outcome::Ended(Err(e)) if aborted(e)),
        "{outcome:?}"
    );
    assert!(inbox.peek().has(Mail::STOP), "it is for the worker to end");
}
