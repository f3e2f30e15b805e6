//! Everything there is: two agents, and what is on its way between them.

use std::sync::Arc;

use uuid::Uuid;

use super::agent::{Agent, Dom, other};
use crate::core::tests::harness::{Harness, KEY};
use crate::core::{Elsewhere, Landed, Op, Order, Outcome, Until};
use crate::host::remote::{Destination, Receiver};
use crate::spec::{Mode, Spec};
use crate::toolstack::{DomainId, HandedOver, INCOMING, Life, ShutdownReason};

const TOKEN: Uuid = Uuid::from_u128(0x70);
const SUSPENDED: Life = Life::Shutdown(ShutdownReason::SUSPEND);

/// A mistake that the model has to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// The source does not record that the guest is given away before it says GO.
    SourceForgets,
    /// The target does not record that the guest was granted before it runs.
    TargetForgets,
    /// A source that hears nothing has the guest go on.
    SilenceIsNo,
    /// A target that hears nothing lets its copy run.
    SilenceIsGo,
    /// A target that is asked answers that its copy never runs, and does not end the migration.
    AnswersTooEarly,
    /// A target does not remember a guest that has come.
    NobodyCame,
}

impl Mistake {
    pub(super) const ALL: [Self; 6] = [
        Self::SourceForgets,
        Self::TargetForgets,
        Self::SilenceIsNo,
        Self::SilenceIsGo,
        Self::AnswersTooEarly,
        Self::NobodyCame,
    ];
}

/// A message, or a question's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Message<T> {
    #[default]
    Unsent,
    OnItsWay(T),
    Arrived(T),
}

impl<T: Copy> Message<T> {
    fn is_on_its_way(self) -> bool {
        matches!(self, Self::OnItsWay(_))
    }

    fn arrive(&mut self) -> bool {
        match *self {
            Self::OnItsWay(what) => {
                *self = Self::Arrived(what);
                true
            }
            _ => false,
        }
    }
}

/// The connection. What has arrived at one end can be read there even if the connection is cut.
#[derive(Clone, Debug, Default)]
pub(super) struct Link {
    pub(super) open: bool,
    ready: Message<()>,
    go: Message<()>,
    /// True: the guest runs there.
    word: Message<bool>,
    /// The answer to the question what became of the guest.
    answer: Message<Option<Elsewhere>>,
    asked: bool,
    /// The transfer is to end, because somebody asks what became of it.
    ended: bool,
}

/// Something that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The guest has been sent completely, and is suspended.
    Suspends,
    /// The operation of an agent succeeds, goes on, or fails because of what has arrived.
    Source,
    Target,
    /// The operation of the target fails by itself.
    TargetFails,
    Ready,
    Go,
    Word,
    Question,
    Answer,
    /// The source's wait for the word is over.
    Silence,
    Cut,
    AnswerLost,
    SourceEnds,
    TargetEnds,
    /// The agent ends when its operation is done, before it knows that.
    SourceEndsLate,
    TargetEndsLate,
    SourceStarts,
    TargetStarts,
    /// Nothing else happens for a while.
    Time,
}

impl Event {
    pub(super) fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Cut
                | Self::AnswerLost
                | Self::SourceEnds
                | Self::TargetEnds
                | Self::SourceEndsLate
                | Self::TargetEndsLate
                | Self::TargetFails
                | Self::Silence
        )
    }
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) source: Agent,
    pub(super) target: Agent,
    pub(super) link: Link,
    pub(super) seconds: u64,
    /// The target's end of the connection is closed: it hears nothing more, but what it has said may arrive.
    target_has_gone: bool,
    mistake: Option<Mistake>,
    /// Something that an agent was about to do, and nobody wants.
    pub(super) wrong: Option<&'static str>,
}

impl World {
    /// A guest runs at the source, and is to go to the target.
    pub(super) fn new(mistake: Option<Mistake>) -> Self {
        let wish = Harness::desired(true, Mode::Pv, "");
        let id = DomainId {
            domid: 3,
            uuid: KEY,
        };
        let dom = Dom {
            id,
            life: Life::Running,
            name: "app.1".to_owned(),
            ran: true,
        };
        let mut source = Agent::new(KEY, wish.clone(), Some(dom));
        source.begin(1);
        let mut unwritten = Harness::desired(false, Mode::Pv, "");
        unwritten.unwritten = true;
        let mut target = Agent::new(KEY, unwritten, None);
        target.begin(1);
        let to = Arc::new(Destination {
            host: "beta".to_owned(),
            via: None,
            receiver: Receiver::Agent,
            token: TOKEN,
            timeout: None,
            suspended_first: false,
            until_boot: false,
        });
        source.order(Order::Migrate { to }, 1);
        assert!(matches!(source.op, Some(Op::Send(..))), "{source:#?}");
        let spec: Spec = (**wish.spec.as_ref().unwrap()).clone();
        let spec = Arc::new(spec);
        target.order(
            Order::Receive {
                spec,
                token: TOKEN,
                until: Until::Started,
            },
            1,
        );
        assert!(matches!(target.op, Some(Op::Receive(..))), "{target:#?}");
        Self {
            source,
            target,
            link: Link {
                open: true,
                ..Link::default()
            },
            seconds: 1,
            target_has_gone: false,
            mistake,
            wrong: None,
        }
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// Lets something happen. Returns false if it cannot happen now.
    pub(super) fn happen(&mut self, event: Event) -> bool {
        let seconds = self.seconds;
        match event {
            Event::Suspends => {
                let sends = matches!(self.source.op, Some(Op::Send(..)));
                let can = sends && self.source.runs() && self.link.open;
                if can {
                    self.source.live(SUSPENDED);
                }
                can
            }
            Event::Source => self.source_goes_on(false, false),
            Event::Silence => self.source_goes_on(true, false),
            Event::SourceEndsLate => self.source_goes_on(false, true),
            Event::Target => self.target_goes_on(false, false),
            Event::TargetFails => self.target_goes_on(true, false),
            Event::TargetEndsLate => self.target_goes_on(false, true),
            Event::Ready => self.link.open && self.link.ready.arrive(),
            Event::Go => self.link.open && !self.target_has_gone && self.link.go.arrive(),
            Event::Word => self.link.open && self.link.word.arrive(),
            Event::Question => self.question(),
            Event::Answer => self.link.answer.arrive(),
            Event::AnswerLost => {
                let can = matches!(self.link.answer, Message::OnItsWay(_));
                if can {
                    self.link.answer = Message::Arrived(None);
                }
                can
            }
            Event::Cut => std::mem::take(&mut self.link.open),
            Event::SourceEnds => {
                let can = self.source.facts.is_some();
                self.source_ends();
                can
            }
            Event::TargetEnds => {
                let can = self.target.facts.is_some();
                self.target.end();
                self.link.open = false;
                can
            }
            Event::SourceStarts => {
                let can = self.source.facts.is_none();
                if can {
                    self.source.start(seconds);
                }
                can
            }
            Event::TargetStarts => {
                let can = self.target.facts.is_none() && !self.target.finished;
                if can {
                    self.target.start(seconds);
                }
                can
            }
            Event::Time => self.time(),
        }
    }

    /// Whichever agent has something due next does it.
    fn time(&mut self) -> bool {
        let due = [self.source.due(), self.target.due()];
        let Some(at) = due.into_iter().flatten().min() else {
            return false;
        };
        self.seconds = self.seconds.max(at);
        let seconds = self.seconds;
        for agent in [&mut self.source, &mut self.target] {
            if agent.due().is_some_and(|due| due <= seconds) {
                agent.wake = None;
                agent.feed(crate::core::Input::Timer, seconds);
            }
        }
        true
    }

    fn source_ends(&mut self) {
        self.source.end();
        self.link.open = false;
        (self.link.answer, self.link.asked) = (Message::Unsent, false);
    }

    /// With `silence`, its wait is over. If it is `late`, the agent ends when its operation is done.
    fn source_goes_on(&mut self, silence: bool, late: bool) -> bool {
        let seconds = self.seconds;
        let Some(op) = self.source.op.clone() else {
            return false;
        };
        let has_gone = self.target_has_gone;
        let link = &mut self.link;
        let outcome = match op {
            Op::Send(..) if silence => return false,
            Op::Send(..) => match link.ready {
                Message::Arrived(()) => {
                    self.source.forgets = self.mistake == Some(Mistake::SourceForgets);
                    Outcome::Ended(Ok(()))
                }
                _ if link.open && (!has_gone || link.ready.is_on_its_way()) => return false,
                _ => {
                    self.source.live(Life::Running);
                    Outcome::Ended(Err(other("cut")))
                }
            },
            Op::HandOver(_) => match (link.go, link.word) {
                (Message::Unsent, _) if silence => return false,
                (Message::Unsent, _) if link.open => {
                    link.go = Message::OnItsWay(());
                    return !late;
                }
                (Message::Unsent, _) => {
                    self.source.live(Life::Running);
                    Outcome::HandedOver(HandedOver::Kept(other("cut")))
                }
                (_, Message::Arrived(true)) => {
                    self.source.dom = None;
                    Outcome::HandedOver(HandedOver::Moved)
                }
                (_, Message::Arrived(false)) => {
                    self.source.live(Life::Running);
                    Outcome::HandedOver(HandedOver::GivenBack(other("not started")))
                }
                _ if link.open && !silence && (!has_gone || link.word.is_on_its_way()) => {
                    return false;
                }
                _ if self.mistake == Some(Mistake::SilenceIsNo) => {
                    self.source.live(Life::Running);
                    Outcome::HandedOver(HandedOver::Kept(other("silence")))
                }
                _ => {
                    // The connection is given up.
                    link.open = false;
                    Outcome::HandedOver(HandedOver::Undecided(other("silence")))
                }
            },
            Op::Ask(..) => match link.answer {
                Message::Arrived(answer) => {
                    (link.answer, link.asked) = (Message::Unsent, false);
                    Outcome::Asked(answer.ok_or_else(|| other("no answer")))
                }
                _ => return false,
            },
            Op::TakeBack(..) | Op::Resume(_) => {
                self.source.live(Life::Running);
                Outcome::Ended(Ok(()))
            }
            Op::Destroy(_) => {
                self.source.dom = None;
                Outcome::Ended(Ok(()))
            }
            // Those of a save that was interrupted.
            Op::Withdraw(_) => Outcome::Ended(Ok(())),
            op => return self.is_wrong(&op),
        };
        if late {
            self.source_ends();
        } else {
            self.source.done(outcome, seconds);
        }
        true
    }

    /// If it `fails`, so does its operation. If it is `late`, the agent ends when its operation is done.
    fn target_goes_on(&mut self, fails: bool, late: bool) -> bool {
        let seconds = self.seconds;
        let Some(op) = self.target.op.clone() else {
            return false;
        };
        let outcome = match op {
            Op::Receive(spec, _) => {
                let whole = self.source.is_suspended() && self.link.open && !self.link.ended;
                match () {
                    () if fails => {
                        // Half of it is left.
                        self.target.received(&format!("{}{INCOMING}", spec.name));
                        self.link.open = false;
                        Outcome::Created(Err(other("no memory")))
                    }
                    () if whole => {
                        self.link.ready = Message::OnItsWay(());
                        let name = format!("{}{INCOMING}", spec.name);
                        Outcome::Created(Ok(self.target.received(&name)))
                    }
                    () if self.link.open && !self.link.ended => return false,
                    () => {
                        self.link.open = false;
                        Outcome::Created(Err(other("cut")))
                    }
                }
            }
            Op::AwaitGo(_) if fails => return false,
            Op::AwaitGo(_) => match self.link.go {
                Message::Arrived(()) => {
                    self.target.forgets = self.makes(Mistake::TargetForgets);
                    Outcome::Ended(Ok(()))
                }
                _ if self.link.open && !self.link.ended => return false,
                _ if self.makes(Mistake::SilenceIsGo) => Outcome::Ended(Ok(())),
                _ => {
                    self.target.dom = None;
                    if self.link.open {
                        self.link.word = Message::OnItsWay(false);
                    }
                    Outcome::Ended(Err(other("no GO")))
                }
            },
            Op::Land(..) if fails => {
                self.target.dom = None;
                if self.link.open {
                    self.link.word = Message::OnItsWay(false);
                }
                Outcome::Ended(Err(other("it does not start")))
            }
            Op::Land(_, name) => {
                self.target.live(Life::Running);
                if let Some(dom) = &mut self.target.dom {
                    dom.name = name;
                }
                if self.link.open {
                    self.link.word = Message::OnItsWay(true);
                }
                Outcome::Ended(Ok(()))
            }
            _ if fails => return false,
            Op::Destroy(_) => {
                self.target.dom = None;
                Outcome::Ended(Ok(()))
            }
            op => return self.is_wrong(&op),
        };
        if late {
            // Its last message is on its way.
            self.target.end();
            self.target_has_gone = true;
        } else {
            self.target.done(outcome, seconds);
        }
        true
    }

    /// An agent does something to the guest that nobody wants.
    fn is_wrong(&mut self, op: &Op) -> bool {
        self.wrong = Some(op.word());
        false
    }

    /// The question of the source reaches the target, and is answered as `arrivals.rs` does.
    fn question(&mut self) -> bool {
        let asks = matches!(self.source.op, Some(Op::Ask(..))) && !self.link.asked;
        if !asks {
            return false;
        }
        let forgotten = self.makes(Mistake::NobodyCame);
        let known = match &self.target.facts {
            // Nobody is there to answer.
            None if !self.target.finished => {
                self.link.asked = true;
                self.link.answer = Message::OnItsWay(None);
                return true;
            }
            None => None,
            Some(facts) => facts.arrived().filter(|(token, _)| *token == TOKEN),
        };
        let answer = match known {
            Some((_, Landed::Runs)) if !forgotten => Some(Elsewhere::Runs),
            Some((_, Landed::Pending)) if self.makes(Mistake::AnswersTooEarly) => {
                Some(Elsewhere::Never)
            }
            Some((_, Landed::Pending)) => {
                self.link.ended = true;
                None
            }
            _ => Some(Elsewhere::Never),
        };
        self.link.asked = true;
        self.link.answer = Message::OnItsWay(answer);
        true
    }
}
