//! Manual orders on their way to a worker, and the worker's answers on their way back.

use std::collections::HashMap;

use crossbeam_channel::Sender;

use super::shared::Shared;
use crate::core::{Answer, Given};

/// Orders that the worker has taken, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Open {
    answers: HashMap<u64, Sender<Answer>>,
}

impl Open {
    /// Returns true if somebody waits for an answer.
    pub(super) fn are_open(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Takes the orders that were given since the last time.
    pub(super) fn take(&mut self, shared: &Shared) -> impl Iterator<Item = Given> {
        let asked = std::mem::take(&mut *shared.orders());
        let given: Vec<Given> = asked
            .into_iter()
            .map(|asked| {
                self.answers.insert(asked.id, asked.answers);
                Given {
                    id: asked.id,
                    order: asked.order,
                    by: asked.by,
                }
            })
            .collect();
        given.into_iter()
    }

    /// Answers the order with this number.
    pub(super) fn answer(&mut self, id: u64, answer: Answer) {
        let open = answer == Answer::Accepted;
        if let Some(answers) = self.answers.get(&id) {
            // A client that has gone hears no answer.
            let _ = answers.send(answer);
        }
        if !open {
            self.answers.remove(&id);
        }
    }
}
