//! Orders by hand on their way to a worker, and its answers on their way back.

use std::collections::HashMap;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::handle::{Handle, Shared};
use crate::core::{Answer, Given, Op, Order, abort};
use crate::mailbox::Mail;

/// An order, and where its answers go.
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
    /// Asks for something in the name of `by`, and ends what the worker is doing if that becomes pointless. Never blocks.
    ///
    /// The answers end with one that is not [`Answer::Accepted`], or without one if the worker ends.
    #[must_use]
    pub fn order(&self, order: &Order, by: String) -> Receiver<Answer> {
        // At most two come.
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
    /// Takes what was asked for since the last time.
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
