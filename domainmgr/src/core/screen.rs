//! The VNC display of a domain that takes the next free one. Only the domain's QEMU knows the number.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::{Next, Op};
use crate::toolstack::Error;

/// The display of a domain, as far as known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Screen {
    #[default]
    Unknown,
    /// The display has been asked for; `None`: no answer.
    Asked(Option<u32>),
}

/// Asks for the display, once.
pub(super) fn look(f: &Facts) -> Option<Next> {
    let domain = f.domain.as_ref()?;
    let wanted = domain.spec.as_ref()?.vnc.as_ref()?;
    let open = wanted.display.is_none() && domain.screen == Screen::Unknown && domain.started;
    open.then_some(Next::Run(Op::Screen(domain.id)))
}

/// Takes note of the answer.
pub(super) fn looked(f: &mut Facts, result: Result<Option<u32>, Error>) {
    if let Some(domain) = &mut f.domain {
        domain.screen = Screen::Asked(result.unwrap_or_default());
    }
}

impl Facts {
    /// Returns the listen address and the display of the existing domain.
    #[must_use]
    pub fn screen(&self) -> Option<(IpAddr, u32)> {
        let spec = self.domain.as_ref()?.spec.as_ref()?;
        Some((spec.vnc.as_ref()?.listen, self.display()?))
    }

    /// Returns the display that the domain has, or is to have.
    pub(super) fn display(&self) -> Option<u32> {
        let asked = self.domain.as_ref().and_then(|d| match d.screen {
            Screen::Unknown => None,
            Screen::Asked(display) => display,
        });
        let wanted = self.spec().and_then(|spec| spec.vnc.as_ref()?.display);
        wanted.or(asked)
    }
}
