//! Manual orders on their way to a worker, and the worker's answers on their way back.

use std::collections::HashMap;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::handle::{Handle, Shared};
use crate::core::{Answer, Given, Op, Order, abort};
use crate::mailbox::Mail;

/// An order, and the channel for its answers.
#[derive(Debug)]
pub(super) struct Asked {
    order: Order,
    by: String,
    answers: Sender<Answer>,
}

impl Asked {
    pub(super) fn ends(&self, op: &Op) -> bool {
        abort::on_order(op, &self.order)
    }
}

impl Handle {
    /// Gives the worker an order in the name of `by`, and aborts an operation that the order makes pointless. Never blocks.
    ///
    /// The last answer is one that is not [`Answer::Accepted`]. If the worker ends first, there is no such answer.
    #[must_use]
    pub fn order(&self, order: &Order, by: String) -> Receiver<Answer> {
        // At most two answers come.
        let (answers, theirs) = unbounded();
        let asked = Asked {
            order: order.clone(),
            by,
            answers,
        };
        self.shared.orders().push_back(asked);
        self.mailbox.post(Mail::ORDER);
        self.shared.abort_if(|op| abort::on_order(op, order));
        theirs
    }
}

/// Orders that the worker has taken, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Open {
    last: u64,
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
                self.last += 1;
                self.answers.insert(self.last, asked.answers);
                Given {
                    id: self.last,
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
