//! The life of a worker, over all its runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{at, select};
use uuid::Uuid;

use super::aside::aside;
use super::run::{End, Run};
use super::shared::{Shared, thread_name};
use super::status::publish_fault;
use crate::agent::env::Env;
use crate::base::mailbox::{Inbox, Mail, Mailbox};
use crate::base::services::panic_text;

/// Runs a worker until it ends, and restarts it after every panic.
pub(super) fn live(
    env: &Arc<Env>,
    key: Uuid,
    inbox: &Inbox,
    mailbox: &Mailbox,
    shared: &Arc<Shared>,
) {
    let mut fault = None;
    let mut panics = 0;
    let mut memory = env.records.take(key);
    loop {
        let known = fault.take();
        let run = AssertUnwindSafe(|| {
            let name = thread_name(key);
            // Boxed: on this stack, which stays, there would be several copies of it.
            let mut run = aside(&name, || {
                Box::new(Run::new(
                    env,
                    key,
                    inbox,
                    mailbox,
                    shared,
                    &mut memory,
                    known,
                ))
            });
            loop {
                if let Some(end) = aside(&name, || run.turn()) {
                    return end;
                }
                run.sleep();
            }
        });
        let payload = match catch_unwind(run) {
            Ok(End::Finished | End::Stopped) => return,
            Err(payload) => payload,
        };
        *shared.running() = None;
        let text = format!("internal error: {}", panic_text(payload.as_ref()));
        log::error!(key:% = key; "{text}; starting over");
        publish_fault(env, key, memory.as_ref(), &text);
        fault = Some(text);
        // Restarts are not immediate, so that a worker does not spend all its time on panics.
        let pause = Duration::from_secs(5 << panics.min(4));
        panics += 1;
        let over = at(env.clock.instant(env.clock.now().mono + pause));
        loop {
            select! {
                recv(inbox.ready()) -> _ => {
                    if inbox.peek().has(Mail::STOP) {
                        return;
                    }
                    if inbox.peek().has(Mail::CONFIG) {
                        break;
                    }
                }
                recv(over) -> _ => break,
            }
        }
        mailbox.post(Mail::CONFIG);
    }
}
