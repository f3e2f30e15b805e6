//! Settings: those of the global file, and those of the command line, which override them.

use crate::agent::options::Options;
use crate::agent::records::Records;
use crate::base::store;
use crate::frontends::eve;
use crate::spec::settings::Settings;

/// Returns the settings in force: those of the file, or the last that could be read, with those of the command line.
#[must_use]
pub(crate) fn load(options: &Options, records: &Records) -> Settings {
    let file = &options.global_config;
    let mut settings = Settings::default();
    let trouble = match store::read(file) {
        Ok(text) => match eve::apply_global(&text, &mut settings) {
            Ok(complaints) => {
                for complaint in complaints {
                    log::warn!("{}: {complaint}", file.display());
                }
                records.keep_settings(&String::from_utf8_lossy(&text));
                None
            }
            Err(e) => Some(e.to_string()),
        },
        Err(store::ReadError::Gone) => None,
        Err(e) => Some(e.to_string()),
    };
    if let Some(why) = trouble {
        let last = records.last_settings();
        let known =
            last.is_some_and(|text| eve::apply_global(text.as_bytes(), &mut settings).is_ok());
        log::warn!(
            "{}: {why}; {}",
            file.display(),
            if known {
                "the last settings that could be read stay in force"
            } else {
                "ignored"
            }
        );
    }
    for (key, value) in &options.overrides {
        if let Err(e) = settings.set(key, value) {
            log::warn!("--config {e}");
        }
    }
    settings
}
