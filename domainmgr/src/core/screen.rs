//! The VNC display of a domain that takes the next free one. Only the domain's QEMU knows the number.

use std::net::IpAddr;

use super::context::Next;
use super::op::Op;
use super::state::domain::Screen;
use super::state::facts::Facts;
use crate::toolstack::Error;

/// Asks for the display, once.
pub(super) fn look(f: &Facts) -> Option<Next> {
    let domain = f.phase.domain()?;
    let wanted = domain.spec.as_ref()?.vnc.as_ref()?;
    let open = wanted.display.is_none() && domain.screen == Screen::Unknown && f.phase.is_started();
    open.then_some(Next::Run(Op::Screen(domain.id)))
}

/// Takes note of the answer.
pub(super) fn looked(f: &mut Facts, result: Result<Option<u32>, Error>) {
    if let Some(domain) = f.phase.domain_mut() {
        domain.screen = Screen::Asked(result.unwrap_or_default());
    }
}

impl Facts {
    /// Returns the listen address and the display of the existing domain.
    #[must_use]
    pub fn screen(&self) -> Option<(IpAddr, u32)> {
        let spec = self.phase.domain()?.spec.as_ref()?;
        Some((spec.vnc.as_ref()?.listen, self.display()?))
    }

    /// Returns the display that the domain has, or is to have.
    pub(super) fn display(&self) -> Option<u32> {
        let asked = self.phase.domain().and_then(|d| match d.screen {
            Screen::Unknown => None,
            Screen::Asked(display) => display,
        });
        let wanted = self.spec().and_then(|spec| spec.vnc.as_ref()?.display);
        wanted.or(asked)
    }
}
