//! Settings that change while the agent runs.

use std::sync::PoisonError;

use super::global_config::load;
use super::main_loop::Supervisor;
use crate::base::logging;
use crate::base::mailbox::Mail;
use crate::base::store;

impl Supervisor<'_> {
    pub(super) fn reload_settings(&mut self) {
        self.settings_stamp = store::stamp(&self.options.global_config);
        let settings = load(self.options, &self.env.records);
        let mut current = self
            .env
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if *current != settings {
            log::info!("settings changed");
            logging::set_level(settings.log_level);
            let usb_access = settings.usb_access;
            let changed = current.usb_access != usb_access;
            *current = settings;
            drop(current);
            if changed {
                self.env.adapters.set_usb_access(usb_access);
            }
            self.post_all(Mail::SETTINGS);
        }
    }
}
