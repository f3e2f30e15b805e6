//! What the model must not be kinder in than Xen is.

use uuid::Uuid;

use super::super::{DomainId, Error, Life, ShutdownReason};
use super::model::Model;
use crate::eve::{self, DomainConfig};
use crate::spec::{Mode, Spec};

const OURS: Uuid = Uuid::from_u128(1);
const MIB: u64 = 64;

fn spec(uuid: Uuid, mode: Mode, words: &str) -> Spec {
    let config = DomainConfig {
        uuid_and_version: eve::UuidAndVersion {
            uuid: uuid.to_string(),
            version: String::new(),
        },
        display_name: "a".into(),
        app_num: 1,
        kernel: "/k".into(),
        memory: eve::Kilobytes(MIB << 10),
        virtualization_mode: eve::ModeField::Word(mode.word().into()),
        extra_args: words.into(),
        ..DomainConfig::default()
    };
    eve::spec(uuid, &config).unwrap()
}

/// A domain that has just been started.
fn started(xen: &mut Model, mode: Mode, words: &str) -> DomainId {
    let (id, takes) = xen.begin_create(&spec(OURS, mode, words)).unwrap();
    xen.advance(xen.now() + takes);
    xen.end_create(id).unwrap();
    xen.unpause(id).unwrap();
    id
}

fn text<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().message
}

#[test]
fn a_soft_reset_is_for_hvm_guests_that_have_asked_for_it() {
    let mut xen = Model::default();
    let id = started(&mut xen, Mode::Hvm, "");
    let not_asked = "the domain has not asked for a soft reset: it is";
    assert_eq!(text(xen.soft_reset(id)), format!("{not_asked} running"));
    for (reason, word) in [(0, "poweroff"), (1, "reboot"), (200, "reason 200")] {
        let mut xen = xen.clone();
        xen.shut_down(id, ShutdownReason(reason)).unwrap();
        let words = format!("{not_asked} shut down ({word})");
        assert_eq!(text(xen.soft_reset(id)), words);
        let life = xen.info(id).unwrap().life;
        assert_eq!(life, Life::Shutdown(ShutdownReason(reason)), "untouched");
    }
    xen.shut_down(id, ShutdownReason::SOFT_RESET).unwrap();
    xen.soft_reset(id).unwrap();
    assert_eq!(xen.info(id).unwrap().life, Life::Paused);
    assert_eq!(text(xen.soft_reset(id)), format!("{not_asked} paused"));

    let mut xen = Model::default();
    let id = started(&mut xen, Mode::Pvh, "");
    xen.shut_down(id, ShutdownReason::SOFT_RESET).unwrap();
    let words = "only an HVM domain can be soft-reset";
    assert_eq!(text(xen.soft_reset(id)), words);
}

#[test]
fn the_dead_have_their_memory_until_they_are_gone() {
    let mut xen = Model::new(MIB + MIB / 2);
    let id = started(&mut xen, Mode::Pv, "sim.dying=30");
    xen.begin_destroy(id).unwrap();
    xen.end_destroy(id).unwrap();
    let another = spec(OURS, Mode::Pv, "");
    let words = "not enough memory: 64 MiB needed, 32 MiB free";
    assert_eq!(text(xen.begin_create(&another)), words);
    xen.advance(xen.now() + 29_999);
    assert_eq!(xen.info(id).unwrap().life, Life::Dying);
    assert_eq!(text(xen.begin_create(&another)), words);
    xen.advance(xen.now() + 1);
    assert_eq!(xen.info(id), None);
    xen.begin_create(&another).unwrap();
}

#[test]
fn a_domain_has_its_name_before_it_is_built() {
    let mut xen = Model::default();
    let (id, takes) = xen.begin_create(&spec(OURS, Mode::Pv, "")).unwrap();
    assert_eq!(xen.info(id).unwrap().name.as_deref(), Some("a.1"));
    let theirs = spec(Uuid::from_u128(2), Mode::Pv, "");
    let words = "a domain with the name a.1 exists already";
    assert_eq!(text(xen.begin_create(&theirs)), words);
    xen.advance(takes);
    xen.end_create(id).unwrap();
    assert_eq!(text(xen.begin_create(&theirs)), words);
    xen.kill(id).unwrap();
    xen.begin_create(&theirs).unwrap();
}
