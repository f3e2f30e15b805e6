//! Severity of libxl's log lines.

use std::fmt;

/// Severity of a line, as given by libxl. The most severe level is the first.
///
/// With the feature `log` this type converts to and from [`log::Level`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Something has failed.
    Error,
    /// Something may be wrong.
    Warn,
    /// Ordinary operation.
    Info,
    /// Details of ordinary operation.
    Debug,
    /// Single steps of ordinary operation.
    Trace,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warn => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

#[cfg(feature = "log")]
impl From<log::Level> for LogLevel {
    fn from(level: log::Level) -> Self {
        match level {
            log::Level::Error => Self::Error,
            log::Level::Warn => Self::Warn,
            log::Level::Info => Self::Info,
            log::Level::Debug => Self::Debug,
            log::Level::Trace => Self::Trace,
        }
    }
}

#[cfg(feature = "log")]
impl From<LogLevel> for log::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warn,
            LogLevel::Info => Self::Info,
            LogLevel::Debug => Self::Debug,
            LogLevel::Trace => Self::Trace,
        }
    }
}

#[cfg(all(test, feature = "log"))]
mod tests {
    use super::LogLevel;

    #[test]
    fn levels_are_those_of_the_log_crate_in_the_same_order() {
        let theirs: Vec<log::Level> = log::Level::iter().collect();
        let ours: Vec<LogLevel> = theirs.iter().copied().map(LogLevel::from).collect();
        assert!(ours.is_sorted() && theirs.is_sorted());
        let back: Vec<log::Level> = ours.iter().copied().map(log::Level::from).collect();
        assert_eq!(back, theirs);
    }
}
