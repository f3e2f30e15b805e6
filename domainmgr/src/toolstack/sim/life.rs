//! The life of a simulated domain once it is built: what a toolstack does to it, and what it tells a toolstack.

use super::guest::{Answer, Millis};
use super::model::Model;
use super::outsider::taken;
use crate::spec::ShutdownReason;
use crate::toolstack::domain::DomainId;
use crate::toolstack::error::{Error, ErrorKind, Result};

impl Model {
    /// Counts an attempt to watch a domain.
    ///
    /// # Errors
    /// The domain's command line makes the watch fail.
    pub fn may_watch(&mut self, id: DomainId) -> Result<()> {
        let history = self.history.entry(id.uuid).or_default();
        history.watches += 1;
        let watches = history.watches;
        match self.get(id) {
            Ok(d) if watches <= d.guest.fail_watch => {
                Err(Error::new(ErrorKind::Other, "no watch (simulated)"))
            }
            _ => Ok(()),
        }
    }

    /// Lets a domain run.
    ///
    /// # Errors
    /// The domain is gone or not paused, or its command line makes this fail.
    pub fn unpause(&mut self, id: DomainId) -> Result<()> {
        let now = self.now;
        if !self.get(id)?.paused {
            // Xen's answer to a toolstack that has miscounted its pauses.
            return Err(Error::new(ErrorKind::Other, "the domain is not paused"));
        }
        let history = self.history.entry(id.uuid).or_default();
        history.unpauses += 1;
        let (unpauses, starts) = (history.unpauses, history.starts);
        let d = self.get(id)?;
        if unpauses <= d.guest.fail_unpause {
            return Err(Error::new(ErrorKind::Other, "unpause failed (simulated)"));
        }
        d.paused = false;
        let first = !d.started;
        if first {
            d.started = true;
            d.boot(now);
            if let Some(reason) = d.guest.act.filter(|_| !(d.guest.once && starts > 0)) {
                d.plans.push((d.ran(now) + d.guest.after, reason));
            }
        }
        d.go_on_running(now);
        if first {
            self.history.entry(id.uuid).or_default().starts += 1;
        }
        Ok(())
    }

    /// Stops a domain's vCPUs. This raises no event.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn pause(&mut self, id: DomainId) -> Result<()> {
        let now = self.now;
        let d = self.get(id)?;
        d.paused = true;
        d.stop_running(now);
        Ok(())
    }

    /// Asks the guest to power off.
    ///
    /// # Errors
    /// The domain is gone, or its guest has no PV drivers that could hear the request.
    pub fn request_shutdown(&mut self, id: DomainId) -> Result<Answer> {
        let now = self.now;
        let d = self.get(id)?;
        // Xen knows whether the drivers of an HVM guest are up, and libxl asks only a guest with drivers.
        if d.hvm && (!d.guest.pv || d.boots_for(now) > 0) {
            return Err(Error::new(
                ErrorKind::NoParavirt,
                "the guest has no PV drivers to ask",
            ));
        }
        Ok(d.obey(now))
    }

    /// Presses the power button, whether or not the guest notices.
    ///
    /// # Errors
    /// The domain is gone, or has no power button.
    pub fn power_button(&mut self, id: DomainId) -> Result<()> {
        let now = self.now;
        let d = self.get(id)?;
        if !d.hvm {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "only an HVM domain has a power button",
            ));
        }
        // A guest does not see a press from before its drivers were up.
        if d.boots_for(now) == 0 {
            d.obey(now);
        }
        Ok(())
    }

    /// Starts destroying a domain: it stops running at once, and its device model goes first. Returns the time this takes.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn begin_destroy(&mut self, id: DomainId) -> Result<Millis> {
        self.pause(id)?;
        let takes = self.get(id)?.guest.destroy;
        self.orphan(id)?;
        Ok(takes)
    }

    /// Destroys a domain. It stays listed for a moment, as dying.
    ///
    /// # Errors
    /// The domain is gone, or its command line makes this fail.
    pub fn end_destroy(&mut self, id: DomainId) -> Result<()> {
        self.get(id)?;
        let history = self.history.entry(id.uuid).or_default();
        history.destroys += 1;
        let destroys = history.destroys;
        let d = self.get(id)?;
        if destroys <= d.guest.fail_destroy {
            return Err(Error::new(ErrorKind::Other, "destroy failed (simulated)"));
        }
        self.kill(id)
    }

    /// Gives the domain another name.
    ///
    /// # Errors
    /// The domain is gone, or the name is taken.
    pub fn rename(&mut self, id: DomainId, name: &str) -> Result<()> {
        if self.named(name).is_some() {
            return Err(taken(name));
        }
        self.get(id)?.name = Some(name.to_owned());
        Ok(())
    }

    /// Keeps a dead domain, with `suffix` added to its name.
    ///
    /// # Errors
    /// The domain is gone, or the name is taken.
    pub fn preserve(&mut self, id: DomainId, suffix: &str) -> Result<()> {
        let name = self.get(id)?.name.clone().unwrap_or_default();
        self.rename(id, &format!("{name}{suffix}"))?;
        // The hypervisor still reports the old uuid.
        self.get(id)?.preserved = true;
        Ok(())
    }

    /// Detaches the disks and network interfaces of a domain.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn strip(&mut self, id: DomainId) -> Result<()> {
        let d = self.get(id)?;
        d.holds.clear();
        d.live.strip();
        Ok(())
    }

    /// Returns the number of the domain's VNC display.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn vnc_display(&mut self, id: DomainId) -> Result<Option<u32>> {
        Ok(self.get(id)?.screen)
    }

    /// Describes the devices that the guest has not connected to.
    ///
    /// # Errors
    /// The domain is gone.
    pub fn unconnected(&mut self, id: DomainId) -> Result<Vec<String>> {
        let now = self.now;
        let d = self.get(id)?;
        let blind = d.ran(now) < d.guest.blind;
        let holds = d.holds.iter().filter(|_| blind);
        Ok(holds.map(|thing| format!("the device {thing}")).collect())
    }

    /// Restarts a domain in place. It stays paused.
    ///
    /// # Errors
    /// The domain is gone, or not HVM, or its guest has not asked for a soft reset: then nothing was done. Or the domain's
    /// command line makes this fail: then libxl destroys the domain.
    pub fn soft_reset(&mut self, id: DomainId) -> Result<()> {
        let refuse = |why: &str| Err(Error::new(ErrorKind::Other, why));
        let d = self.get(id)?;
        if !d.hvm {
            return refuse("only an HVM domain can be soft-reset");
        }
        if d.shutdown != Some(ShutdownReason::SOFT_RESET.0) {
            let is = d.words();
            return refuse(&format!(
                "the domain has not asked for a soft reset: it is {is}"
            ));
        }
        if d.guest.fail_soft_reset {
            self.kill(id)?;
            return refuse("soft reset failed (simulated)");
        }
        let d = self.get(id)?;
        d.shutdown = None;
        d.announced = false;
        d.orphaned = false;
        d.paused = true;
        d.started = false;
        d.plans.clear();
        Ok(())
    }
}
