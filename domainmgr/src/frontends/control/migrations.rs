//! The methods about migrations to other hosts, and from them.

use std::sync::{Arc, PoisonError};

use uuid::Uuid;
use varlink::{Call, CallTrait};

use super::reception::{Coming, Upgrade};
use super::service::{Done, Service, complain, refused, reply, until};
use super::wire::{Fate, MayCome, Migrate, OfMigration, Receive, Received, Refusals};
use crate::core::Order;
use crate::host::remote::{Destination, Receiver};

impl Service {
    pub(super) fn migrate(&self, call: &mut Call, migrate: &Migrate) -> varlink::Result<()> {
        match self.destination(migrate) {
            Ok(to) => {
                let order = Order::Migrate { to: Arc::new(to) };
                self.order(call, &migrate.name, &order)
            }
            Err(bad) => complain(call, bad),
        }
    }

    fn destination(&self, migrate: &Migrate) -> Done<Destination> {
        let refused = |why: &str| Err(refused(&migrate.name, why.to_owned()));
        if !self.is_root {
            return refused(
                "only root may send a domain elsewhere: the connection is made with the agent's rights",
            );
        }
        if !Destination::is_host(&migrate.host) {
            return refused(&format!(
                "{:?}: expected a host as ssh knows it: a name or an address, perhaps after USER@",
                migrate.host
            ));
        }
        Ok(Destination {
            host: migrate.host.clone(),
            via: migrate.via.clone(),
            receiver: if migrate.xl == Some(true) {
                Receiver::Xl
            } else {
                Receiver::Agent
            },
            token: Uuid::new_v4(),
            timeout: migrate.timeout.filter(|seconds| *seconds > 0),
            suspended_first: migrate.live == Some(false),
            // The hold of the domain says, once it is sent.
            until_boot: false,
        })
    }

    /// Begins to receive a domain: the data of the domain, or the descriptors by which it comes, follow the reply.
    pub(super) fn receive(&self, call: &mut Call, receive: &Receive) -> varlink::Result<()> {
        let upgrades = call.request.and_then(|request| request.upgrade) == Some(true);
        let token = match self.token(&receive.token) {
            Ok(token) if upgrades => token,
            Ok(_) => {
                let why = "the connection has to be upgraded, to carry the domain";
                return complain(call, refused("", why.to_owned()));
            }
            Err(bad) => return complain(call, bad),
        };
        let upgrade = Upgrade {
            coming: Coming {
                token,
                until: until(receive.boot),
            },
            by_descriptors: receive.descriptors == Some(true),
        };
        *self.upgraded.lock().unwrap_or_else(PoisonError::into_inner) = Some(upgrade);
        call.to_upgraded();
        reply(call, false, &serde_json::json!({}))
    }

    /// Waits until the domain is received.
    pub(super) fn received(&self, call: &mut Call, of: &OfMigration) -> varlink::Result<()> {
        let result = match self.token(&of.token) {
            Ok(token) => self.sources.reception.result(token),
            Err(bad) => return complain(call, bad),
        };
        match result {
            Ok(key) => {
                let uuid = key.to_string();
                reply(call, false, &Received { uuid })
            }
            Err(why) => complain(call, refused("", why)),
        }
    }

    /// Returns the reasons why a domain may not come to this host.
    pub(super) fn may_come(&self, call: &mut Call, asked: &MayCome) -> varlink::Result<()> {
        if !self.is_root {
            let why = "only root may have a domain received";
            return complain(call, refused("", why.to_owned()));
        }
        let refusals = self.sources.reception.refusals(&asked.question);
        reply(call, false, &Refusals { refusals })
    }

    /// Returns what became of a migration to this host.
    pub(super) fn outcome(&self, call: &mut Call, of: &OfMigration) -> varlink::Result<()> {
        match self.token(&of.token) {
            Ok(token) => {
                let outcome = self.sources.reception.fate(token).to_owned();
                reply(call, false, &Fate { outcome })
            }
            Err(bad) => complain(call, bad),
        }
    }

    fn token(&self, text: &str) -> Done<Uuid> {
        if !self.is_root {
            let why = "only root may have a domain received";
            return Err(refused("", why.to_owned()));
        }
        text.parse()
            .map_err(|_| refused("", format!("token: expected a UUID, found {text:?}")))
    }
}
