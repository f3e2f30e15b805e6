//! One line per log record, as text or as JSON, with the key of the domain it is about.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use log::kv::{Error, Key, Value, VisitSource};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// RFC 3339, always as wide.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// What a log line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// True if the level was fixed when the agent was started, by `RUST_LOG` or an option.
static FIXED: AtomicBool = AtomicBool::new(false);

/// Sends all log records to standard error. `RUST_LOG` wins over `level`, and `level` over [`set_level`].
pub fn init(level: Option<log::LevelFilter>, format: Format) {
    let mut builder = env_logger::Builder::new();
    let fixed = level.is_some() || std::env::var_os("RUST_LOG").is_some();
    FIXED.store(fixed, Ordering::Relaxed);
    // Without a fixed level, `set_level` decides at run time, so the logger itself lets everything through.
    let open = log::LevelFilter::Trace;
    builder.filter_level(level.unwrap_or(if fixed { log::LevelFilter::Info } else { open }));
    builder.parse_default_env();
    builder.format(move |out, record| {
        let time = OffsetDateTime::now_utc().format(TIME).unwrap_or_default();
        let line = match format {
            Format::Text => text(&time, record),
            Format::Json => json(&time, record),
        };
        writeln!(out, "{line}")
    });
    // A second call, in tests, changes nothing.
    let _ = builder.try_init();
    set_level(log::LevelFilter::Info);
}

/// Sets the level from now on, unless it was fixed when the agent was started.
pub fn set_level(level: log::LevelFilter) {
    if !FIXED.load(Ordering::Relaxed) {
        log::set_max_level(level);
    }
}

#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

fn pairs(record: &log::Record<'_>) -> Vec<(String, String)> {
    let mut pairs = Pairs::default();
    let _ = record.key_values().visit(&mut pairs);
    pairs.0
}

/// Escapes control characters, so that text of a guest or a config stays on its line.
fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escape = c.is_control() && c != '\t';
            let escaped = escape.then(|| c.escape_default()).into_iter().flatten();
            escaped.chain((!escape).then_some(c))
        })
        .collect()
}

fn text(time: &str, record: &log::Record<'_>) -> String {
    let mut line = format!("{time} {:<5} ", record.level());
    for (key, value) in pairs(record) {
        let _ = write!(line, "{key}={} ", one_line(&value));
    }
    if !record.target().starts_with("domainmgr") {
        let _ = write!(line, "{}: ", record.target());
    }
    line.push_str(&one_line(&record.args().to_string()));
    line
}

fn json(time: &str, record: &log::Record<'_>) -> String {
    let mut object = serde_json::Map::new();
    object.insert("time".into(), time.into());
    object.insert(
        "level".into(),
        record.level().as_str().to_lowercase().into(),
    );
    object.insert("target".into(), record.target().into());
    for (key, value) in pairs(record) {
        object.insert(key, value.into());
    }
    object.insert("msg".into(), record.args().to_string().into());
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        let record = log::Record::builder()
            .level(log::Level::Warn)
            .target("libxl")
            .key_values(&[("key", "a\nb")])
            .args(format_args!("x\ny"))
            .build();
        assert_eq!(text("T", &record), r"T WARN  key=a\nb libxl: x\ny");
        assert_eq!(
            json("T", &record),
            r#"{"key":"a\nb","level":"warn","msg":"x\ny","target":"libxl","time":"T"}"#
        );
    }
}
