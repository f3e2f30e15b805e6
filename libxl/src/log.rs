//! Stands in for the `log` crate where the feature `log` is off, and discards the lines.

pub(crate) type Level = crate::LogLevel;

macro_rules! nobody {
    (target: $target:expr, $($line:tt)+) => {{
        let _ = $target;
        $crate::log::nobody!($($line)+);
    }};
    ($line:literal $($arguments:tt)*) => {{
        let _ = format_args!($line $($arguments)*);
    }};
    ($level:expr, $($line:tt)+) => {{
        let _ = $level;
        let _ = format_args!($($line)+);
    }};
}

pub(crate) use {
    nobody, nobody as debug, nobody as error, nobody as info, nobody as log, nobody as warn,
};
