//! A change of a running domain that is under way.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::spec::Spec;
use crate::spec::change::Change;

/// A change under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::core) struct Changing {
    pub(in crate::core) change: Change,
    pub(in crate::core) by: String,
    /// The change has been handed to Xen, so the domain may have it.
    pub(in crate::core) begun: bool,
    /// The next domain is not to have the change any more.
    pub(in crate::core) given_up: bool,
}

impl Changing {
    /// Returns the spec with everything that the domain may have.
    pub(in crate::core) fn at_the_most(&self, spec: Arc<Spec>) -> Arc<Spec> {
        if self.begun && self.change.takes() {
            Arc::new(self.change.applied(&spec))
        } else {
            spec
        }
    }
}
