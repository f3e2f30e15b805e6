//! The search through everything that can happen.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use super::world::{Event, Mistake, World};

/// Everything that may happen to a world, faults included.
const EVENTS: [Event; 18] = [
    Event::Suspends,
    Event::Source,
    Event::Target,
    Event::Ready,
    Event::Go,
    Event::Word,
    Event::Question,
    Event::Answer,
    Event::SourceStarts,
    Event::TargetStarts,
    Event::TargetFails,
    Event::Silence,
    Event::Cut,
    Event::AnswerLost,
    Event::SourceEnds,
    Event::TargetEnds,
    Event::SourceEndsLate,
    Event::TargetEndsLate,
];

/// More events than this, without a fault, and nothing has come of it.
const LONG: usize = 200;

/// Result of a search.
pub(super) struct Found {
    pub(super) states: usize,
    /// The first run that broke a rule, in words.
    pub(super) violation: Option<String>,
}

struct Search {
    seen: HashSet<u64>,
    violation: Option<String>,
}

/// Searches all runs with at most so many faults.
pub(super) fn explore(faults: u32, mistake: Option<Mistake>) -> Found {
    let mut search = Search {
        seen: HashSet::new(),
        violation: None,
    };
    search.visit(&World::new(mistake), faults, &mut Vec::new());
    Found {
        states: search.seen.len(),
        violation: search.violation,
    }
}

fn digest(world: &World, faults: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    (format!("{world:?}"), faults).hash(&mut hasher);
    hasher.finish()
}

impl Search {
    fn visit(&mut self, world: &World, faults: u32, run: &mut Vec<Event>) {
        if self.violation.is_some() || !self.seen.insert(digest(world, faults)) {
            return;
        }
        if world.source.runs() && world.target.runs() {
            self.violation = Some(format!("it runs twice after {run:?}: {world:#?}"));
            return;
        }
        let mut moved = false;
        for event in EVENTS {
            if event.is_fault() && faults == 0 {
                continue;
            }
            let mut next = world.clone();
            let happened = next.happen(event);
            if let Some(op) = next.wrong {
                self.violation = Some(format!("{op} after {run:?}: {world:#?}"));
                return;
            }
            if !happened {
                continue;
            }
            moved |= !event.is_fault();
            let left = faults - u32::from(event.is_fault());
            run.push(event);
            self.visit(&next, left, run);
            run.pop();
        }
        // Time passes only when nothing else happens.
        let mut later = world.clone();
        if !moved && later.happen(Event::Time) && later.seconds < 4_000 {
            run.push(Event::Time);
            self.visit(&later, faults, run);
            run.pop();
        }
        if self.violation.is_none() {
            self.ends_well(world, run);
        }
    }

    /// Without another fault, one guest runs in the end, and the source knows where.
    fn ends_well(&mut self, world: &World, run: &[Event]) {
        let mut world = world.clone();
        let mut more = Vec::new();
        for _ in 0..LONG {
            let (here, there) = (world.source.runs(), world.target.runs());
            if here && there {
                self.violation = Some(format!("it runs twice after {run:?} {more:?}: {world:#?}"));
                return;
            }
            let settled = world.source.op.is_none() && world.target.op.is_none();
            let knows = world
                .source
                .facts
                .as_ref()
                .is_some_and(|f| f.has_moved() == there);
            if settled && here != there && knows {
                return;
            }
            let next = EVENTS.into_iter().filter(|event| !event.is_fault());
            let next = next.chain([Event::Time]).find(|event| world.happen(*event));
            let Some(next) = next else { break };
            more.push(next);
        }
        self.violation = Some(format!(
            "it runs nowhere after {run:?} {more:?}: {world:#?}"
        ));
    }
}
