//! Clocks and timers.

use super::reader::{Reader, Result};
use super::words::Word;
use crate::config::{BuildInfo, DomainType, TimerMode, TscMode};

/// Reads the settings of clocks and timers.
pub(super) fn read(reader: &Reader<'_>, b_info: &mut BuildInfo) -> Result<()> {
    b_info.tsc_mode = number_or_word(reader, "tsc_mode", TscMode::KNOWN)?;
    if b_info.guest.domain_type() == DomainType::Pv && reader.quiet_text("timer_mode").is_some() {
        return reader.refuse(
            "timer_mode",
            "a PV guest has no such timers; leave the key out",
        );
    }
    b_info.timer_mode = number_or_word(reader, "timer_mode", TimerMode::KNOWN)?;
    b_info.rtc_timeoffset = reader.cut_number("rtc_timeoffset");
    b_info.localtime = reader.flag("localtime");
    Ok(())
}

/// Reads a word, or the old form: its number.
fn number_or_word<T: Word + Clone + std::fmt::Display>(
    reader: &Reader<'_>,
    key: &str,
    known: &[T],
) -> Result<Option<T>> {
    let Some(number) = reader.quiet_number(key) else {
        return reader.word(key);
    };
    let value = usize::try_from(number).ok().and_then(|at| known.get(at));
    match value {
        Some(value) => {
            let message = format!("a number is the old form; write {key} = \"{value}\"");
            reader.warn(key, message);
            Ok(Some(value.clone()))
        }
        None => reader.refuse(
            key,
            format!("{number} is not known; write one of {}", T::known()),
        ),
    }
}
