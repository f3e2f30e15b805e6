//! One agent of the pair: the facts, its record, and the domain that its Xen has.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::core::{
    Built, Desired, Effect, Facts, Given, Input, Now, Op, Order, Outcome, Record, Time, Wish, step,
};
use crate::spec::settings::Settings;
use crate::toolstack::{DomainId, Error, ErrorKind, Life, Seen, ShutdownReason};

const BOOT: Uuid = Uuid::from_u128(0xb007);

/// The domain in an agent's Xen.
#[derive(Clone, Debug)]
pub(super) struct Dom {
    pub(super) id: DomainId,
    pub(super) life: Life,
    pub(super) name: String,
    pub(super) ran: bool,
}

/// One agent.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) key: Uuid,
    /// `None` while the agent does not run.
    pub(super) facts: Option<Facts>,
    /// The durable record.
    pub(super) record: Vec<u8>,
    /// Nothing is written to the journal, by mistake.
    pub(super) forgets: bool,
    pub(super) wish: Desired,
    pub(super) dom: Option<Dom>,
    /// The operation under way.
    pub(super) op: Option<Op>,
    pub(super) wake: Option<Time>,
    pub(super) finished: bool,
    orders: u64,
}

fn now(seconds: u64) -> Now {
    let since = Duration::from_secs(seconds);
    Now {
        mono: Time::new(since),
        wall: OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + since,
    }
}

pub(super) fn other(why: &str) -> Error {
    Error::new(ErrorKind::Other, why)
}

impl Agent {
    pub(super) fn new(key: Uuid, wish: Desired, dom: Option<Dom>) -> Self {
        let mut agent = Self {
            key,
            facts: None,
            record: Vec::new(),
            forgets: false,
            wish,
            dom,
            op: None,
            wake: None,
            finished: false,
            orders: 0,
        };
        agent.facts = Some(Facts::new(key, Settings::default()));
        agent
    }

    /// Starts the agent, which finds its record.
    pub(super) fn start(&mut self, seconds: u64) {
        if self.finished {
            return;
        }
        let settings = Settings::default();
        self.facts = Some(match Record::from_bytes(&self.record) {
            Ok(record) => Facts::recover(now(seconds), self.key, settings, record, BOOT),
            Err(_) => Facts::new(self.key, settings),
        });
        self.begin(seconds);
    }

    /// Reads the wish.
    pub(super) fn begin(&mut self, seconds: u64) {
        self.feed(Input::Wish(Wish::Wanted(self.wish.clone())), seconds);
    }

    pub(super) fn end(&mut self) {
        (self.facts, self.op, self.wake) = (None, None, None);
    }

    pub(super) fn order(&mut self, order: Order, seconds: u64) {
        self.orders += 1;
        let given = Given {
            id: self.orders,
            order,
            by: "root".to_owned(),
        };
        self.feed(Input::Order(given), seconds);
    }

    /// Feeds an input, and looks at Xen as often as the core wants to.
    pub(super) fn feed(&mut self, input: Input, seconds: u64) {
        let mut input = input;
        for _ in 0..50 {
            let Some(facts) = self.facts.take() else {
                return;
            };
            let (facts, effects) = step(now(seconds), facts, input);
            let run = effects.iter().find_map(|effect| match effect {
                Effect::Run(op, _) => Some(op.clone()),
                _ => None,
            });
            let looks = matches!(run, Some(Op::Look(_)));
            self.finished = effects.contains(&Effect::Finish);
            if self.finished {
                self.record = Vec::new();
                return;
            }
            if !looks && !self.forgets {
                self.record = facts.record(BOOT).to_bytes().unwrap();
            }
            self.facts = Some(facts);
            for effect in &effects {
                if let Effect::Wake(at) = effect {
                    self.wake = *at;
                }
            }
            let outcome = match run {
                Some(Op::Look(_)) => Outcome::Looked(Ok(self.seen())),
                Some(Op::Screen(_)) => Outcome::Screen(Ok(None)),
                Some(Op::Devices(_)) => Outcome::Devices(Ok(Vec::new())),
                Some(Op::Release | Op::DiscardSaved | Op::Discard(_)) => Outcome::Ended(Ok(())),
                Some(Op::Turn) => Outcome::Turn(None),
                Some(op) => {
                    self.op = Some(op);
                    return;
                }
                None => return,
            };
            input = Input::Done(outcome);
        }
        panic!("a busy loop: {:#?}", self.facts);
    }

    /// The operation under way has come to its end.
    pub(super) fn done(&mut self, outcome: Outcome, seconds: u64) {
        self.op = None;
        self.feed(Input::Done(outcome), seconds);
    }

    fn seen(&self) -> Vec<Seen> {
        let seen = self.dom.iter().map(|dom| Seen {
            id: dom.id,
            name: Some(dom.name.clone()),
            life: dom.life,
            cpu_time_ns: u64::from(dom.ran),
            memory_kib: 65536,
            orphaned: false,
        });
        seen.collect()
    }

    /// Time of the next thing that is due, if nothing is under way.
    pub(super) fn due(&self) -> Option<u64> {
        let wake = self
            .wake
            .filter(|_| self.op.is_none() && self.facts.is_some())?;
        Some(wake.since_start().as_secs() + 1)
    }

    pub(super) fn runs(&self) -> bool {
        self.dom
            .as_ref()
            .is_some_and(|dom| dom.life == Life::Running)
    }

    pub(super) fn is_suspended(&self) -> bool {
        let suspended = Life::Shutdown(ShutdownReason::SUSPEND);
        self.dom.as_ref().is_some_and(|dom| dom.life == suspended)
    }

    pub(super) fn live(&mut self, life: Life) {
        if let Some(dom) = &mut self.dom {
            dom.life = life;
            dom.ran |= life == Life::Running;
        }
    }

    /// A domain that was received, and is paused.
    pub(super) fn received(&mut self, name: &str) -> Built {
        let id = DomainId {
            domid: 7,
            uuid: self.key,
        };
        self.dom = Some(Dom {
            id,
            life: Life::Paused,
            name: name.to_owned(),
            ran: false,
        });
        Built {
            id,
            memory_kib: 65536,
            doubts: Vec::new(),
        }
    }
}
