//! The methods that show what changes: states as they are now, and the events of the history.

use crossbeam_channel::RecvTimeoutError;
use uuid::Uuid;
use varlink::{Call, CallTrait};

use super::broadcast::{Behind, wired};
use super::service::{Bad, PATIENCE, Service, complain, reply};
use super::wire::{Changed, Complaint, Domain, Since};
use crate::frontends::board::Change;
use crate::journal::PAGE;

impl Service {
    pub(super) fn watch(&self, call: &mut Call, name: Option<&str>) -> varlink::Result<()> {
        let only = match name.map(|name| self.find(name)).transpose() {
            Err(bad) => return complain(call, bad),
            Ok(found) => found.map(|(key, _)| key),
        };
        let (known, watcher) = self.sources.board.watch(only);
        let more = call.wants_more();
        for status in known {
            reply(call, more, &changed(&Change::Status(status)))?;
            if !more {
                return Ok(());
            }
        }
        if !more {
            return reply(call, false, &Changed::default());
        }
        while !self.connection.has_left() {
            if let Some(change) = watcher.next(PATIENCE) {
                reply(call, true, &changed(&change))?;
            }
        }
        Ok(())
    }

    pub(super) fn events(&self, call: &mut Call, since: &Since) -> varlink::Result<()> {
        let known = since.name.as_deref().map(|name| {
            // A removed domain has only its events left, and is found by its uuid.
            let found = self.find(name).map(|(key, _)| key);
            found.or_else(|bad| name.parse::<Uuid>().map_err(|_| bad))
        });
        let key = match known.transpose() {
            Err(bad) => return complain(call, bad),
            Ok(key) => key,
        };
        let failed = |reason: String| Bad {
            error: "Failed",
            what: Complaint {
                name: Some(since.name.clone().unwrap_or_default()),
                reason: Some(reason),
                ..Complaint::default()
            },
        };
        let Some(journal) = &self.sources.journal else {
            return complain(call, failed("the journal is damaged".to_owned()));
        };
        // The subscription comes before the first look, so that no event is missed.
        let news = key.map(|_| journal.follow());
        let more = call.wants_more();
        let follow = more && since.follow == Some(true);
        let mut after = since.after.unwrap_or_default();
        while !self.connection.has_left() {
            let page = match journal.events(after, key) {
                Ok(page) => page,
                Err(why) => return complain(call, failed(why)),
            };
            let full = page.events.len() == PAGE;
            let silent = page.events.is_empty();
            after = page.events.last().map_or(after, |(seq, ..)| *seq);
            let last = !more || !(full || follow);
            if last || !silent {
                reply(call, !last, &wired(page))?;
            }
            if last {
                return Ok(());
            }
            match &news {
                _ if full => {}
                // The journal is read again after a wake-up and after a timeout.
                Some(news) => news.wait(PATIENCE),
                None => match self.listen(after) {
                    Some(behind) => {
                        call.writer
                            .write_all(&behind.rest)
                            .and_then(|()| call.writer.flush())
                            .map_err(varlink::map_context!())?;
                        after = behind.after;
                    }
                    None => return Ok(()),
                },
            }
        }
        Ok(())
    }

    /// Has the client sent the events after this one. Returns once it is behind, or `None` if it has left.
    fn listen(&self, after: i64) -> Option<Behind> {
        let socket = self.connection.socket().ok()?;
        let listening = self.broadcast.listen(socket, after);
        loop {
            match listening.behind.recv_timeout(PATIENCE) {
                Ok(behind) => return Some(behind),
                Err(RecvTimeoutError::Timeout) if !self.connection.has_left() => {}
                Err(_) => return None,
            }
        }
    }
}

fn changed(change: &Change) -> Changed {
    match change {
        Change::Status(status) => Changed {
            domain: Some(Domain::from(status.as_ref())),
            ..Changed::default()
        },
        Change::Gone(key) => Changed {
            gone: Some(key.to_string()),
            ..Changed::default()
        },
        Change::Missed(count) => Changed {
            missed: Some(*count),
            ..Changed::default()
        },
    }
}
