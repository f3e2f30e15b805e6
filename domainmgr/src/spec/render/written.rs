//! The text that is written down for people.

use super::libxl::domain_config;
use super::xl_cfg::xl_cfg;
use crate::spec::domain::Spec;

/// Returns the configuration of a domain as text for people.
///
/// The text is one that xl reads. For a domain from a file of xl's, it is the JSON that `xl create -n` prints.
#[must_use]
pub fn written(spec: &Spec) -> String {
    match &spec.given {
        None => xl_cfg(spec),
        Some(_) => {
            let text = serde_json::to_string_pretty(&domain_config(spec));
            // The configuration was made from text, so it can be written as text.
            text.unwrap_or_default() + "\n"
        }
    }
}
