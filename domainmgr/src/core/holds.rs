//! Ends of the holds that orders leave behind.

use super::state::facts::Facts;
use super::state::order::Until;

impl Facts {
    /// Returns whether an order has the domain run until the host is started again.
    pub(super) fn runs_until_boot(&self) -> bool {
        let hold = self.orders.hold.as_ref();
        hold.is_some_and(|hold| hold.run && hold.until == Until::Boot)
    }

    /// Returns the end of a hold that keeps the domain down.
    ///
    /// A domain that runs until the host is started again does not come back with it, nor with `host-start`.
    pub(super) fn stops_until(&self, until: Until) -> Until {
        if self.runs_until_boot() {
            Until::Started
        } else {
            until
        }
    }
}
