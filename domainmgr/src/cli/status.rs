//! `domainmgr status`

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use inotify::{Inotify, WatchMask};
use serde::Deserialize;

use super::agent;
use super::output::printable;
use crate::base::json;
use crate::base::store::{self, Named, ReadError};
use crate::frontends::eve::{DomainStatus, PreservedDomain};

#[derive(Debug, Args)]
pub(super) struct Status {
    /// DomainStatus files [default: /var/run/domainmgr/DomainStatus]
    #[arg(long, value_name = "DIR")]
    status_dir: Option<PathBuf>,
    /// Those of `run --simulate` without directories given.
    #[arg(long, conflicts_with = "status_dir")]
    simulate: bool,
    /// Show it again whenever it changes.
    #[arg(long, short)]
    watch: bool,
    /// The DomainStatus objects, one per line; with `--agent` one object.
    #[arg(long)]
    json: bool,
    /// Show the agent itself, instead of its domains: its work, what waits for its turn, and what it takes.
    #[arg(long, conflicts_with_all = ["status_dir", "watch"])]
    agent: bool,
    /// The agent's control socket [default: /var/run/domainmgr/control.sock]
    #[arg(
        long,
        value_name = "PATH",
        requires = "agent",
        conflicts_with = "simulate"
    )]
    control: Option<PathBuf>,
}

impl Status {
    pub(super) fn run(&self) -> ExitCode {
        if self.agent {
            return agent::show(self.control.as_deref(), self.simulate, self.json);
        }
        match self.show_domains() {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("domainmgr: {why}");
                ExitCode::FAILURE
            }
        }
    }

    fn show_domains(&self) -> Result<(), String> {
        let dir = super::paths::status_dir(self.status_dir.as_deref(), self.simulate)?;
        let fail = |e: io::Error| format!("{}: {e}", dir.display());
        let watch = if self.watch {
            let inotify = Inotify::init().map_err(fail)?;
            let mask = WatchMask::MOVED_TO
                | WatchMask::DELETE
                | WatchMask::CLOSE_WRITE
                | WatchMask::DELETE_SELF;
            inotify.watches().add(&dir, mask).map_err(fail)?;
            Some(inotify)
        } else {
            None
        };
        match self.show(&dir, watch) {
            // The reader has closed its end of the pipe.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(fail),
        }
    }

    fn show(&self, dir: &Path, watch: Option<Inotify>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let clear = out.is_terminal() && !self.json;
        let mut last = None;
        let mut watch = watch;
        let mut buffer = [0; 4096];
        loop {
            let (text, unreadable) = if self.json {
                let found = read_dir(dir, Line::of)?;
                (lines(&found.all), found.unreadable)
            } else {
                let found = read_dir(dir, understood)?;
                (table(&found).into_bytes(), found.unreadable)
            };
            if last.as_ref() != Some(&text) {
                say_doubts(dir, &unreadable);
                if watch.is_some() && clear {
                    out.write_all(b"\x1b[H\x1b[2J")?;
                }
                out.write_all(&text)?;
                out.flush()?;
                last = Some(text);
            }
            let Some(inotify) = &mut watch else {
                return Ok(());
            };
            for event in inotify.read_events_blocking(&mut buffer)? {
                if event.mask.contains(inotify::EventMask::DELETE_SELF) {
                    return Ok(());
                }
            }
        }
    }
}

/// The content of a directory of DomainStatus files.
struct Found<T> {
    /// Those that can be read, by application number.
    all: Vec<T>,
    /// Those that cannot: the name of the file, and why.
    unreadable: Vec<(String, String)>,
}

/// Every DomainStatus in `dir`, by application number.
pub(super) fn read_all(dir: &Path) -> io::Result<Vec<DomainStatus>> {
    Ok(read_dir(dir, understood)?.all)
}

fn understood(text: &[u8]) -> Result<DomainStatus, String> {
    json::parse(text).map_err(|e| e.to_string())
}

/// Something that is shown in the order of application numbers, and of names.
trait Ordered {
    fn place(&self) -> (u32, &str);
}

impl Ordered for DomainStatus {
    fn place(&self) -> (u32, &str) {
        (self.app_num, &self.domain_name)
    }
}

/// A DomainStatus in one line. There may be a thousand of them: no more of it is understood than is needed.
struct Line {
    head: Head,
    text: Vec<u8>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Head {
    app_num: u32,
    domain_name: String,
}

impl Ordered for Line {
    fn place(&self) -> (u32, &str) {
        (self.head.app_num, &self.head.domain_name)
    }
}

impl Line {
    fn of(text: &[u8]) -> Result<Self, String> {
        let head = match serde_json::from_slice(text) {
            Ok(head) => head,
            // Says where.
            Err(e) => {
                return Err(match json::parse::<DomainStatus>(text) {
                    Ok(_) => e.to_string(),
                    Err(e) => e.to_string(),
                });
            }
        };
        // A string of JSON has no line break in it: all of them stand between the words.
        let lines = text.split(|byte| *byte == b'\n');
        let text = lines.flat_map(<[u8]>::trim_ascii_start).copied().collect();
        Ok(Self { head, text })
    }
}

fn read_dir<T: Ordered>(
    dir: &Path,
    understand: impl Fn(&[u8]) -> Result<T, String>,
) -> io::Result<Found<T>> {
    let mut found = Found {
        all: Vec::new(),
        unreadable: Vec::new(),
    };
    for name in store::list(dir)? {
        if !matches!(store::key_of(&name), Named::Key(_)) {
            continue;
        }
        let understood = match store::read(&dir.join(&name)) {
            Ok(text) => understand(&text),
            // Removed since the directory was listed.
            Err(ReadError::Gone) => continue,
            Err(e) => Err(e.to_string()),
        };
        match understood {
            Ok(one) => found.all.push(one),
            Err(why) => found.unreadable.push((name, why)),
        }
    }
    found.all.sort_by(|a, b| a.place().cmp(&b.place()));
    Ok(found)
}

/// Says what makes the table less than the truth.
fn say_doubts(dir: &Path, unreadable: &[(String, String)]) {
    for (name, why) in unreadable {
        eprintln!("domainmgr: {}: {why}", dir.join(name).display());
    }
    let run = dir.parent().unwrap_or(dir);
    if store::is_locked(run) == Some(false) {
        eprintln!(
            "domainmgr: no agent runs with {}: this is what the last one knew",
            run.display()
        );
    }
}

fn lines(all: &[Line]) -> Vec<u8> {
    let mut text = Vec::new();
    for line in all {
        text.extend_from_slice(&line.text);
        text.push(b'\n');
    }
    text
}

/// Date and time, in UTC.
fn date(at: Option<time::OffsetDateTime>) -> String {
    let Some(at) = at else {
        return "-".to_owned();
    };
    let (h, m, s) = at.to_offset(time::UtcOffset::UTC).to_hms();
    format!("{} {h:02}:{m:02}:{s:02}", at.date())
}

/// Columns of the table.
const COLUMNS: [&str; 9] = [
    "NAME",
    "STATE",
    "DOMID",
    "MODE",
    "BOOTED (UTC)",
    "RESTARTS",
    "LAST END",
    "NEXT TRY (UTC)",
    "REMARK",
];

type Row = [String; COLUMNS.len()];

fn table(found: &Found<DomainStatus>) -> String {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    for status in &found.all {
        rows.push(domain(status));
        for kept in &status.preserved {
            // A domain that is shown above is not shown twice.
            if kept.domain_id != status.domain_id {
                rows.push(preserved(kept));
            }
        }
    }
    for (name, why) in &found.unreadable {
        rows.push(unreadable(name, why));
    }
    aligned(&rows)
}

/// Returns the row for a domain.
fn domain(s: &DomainStatus) -> Row {
    let mut name = if s.domain_name.is_empty() {
        s.uuid_and_version.uuid.clone()
    } else {
        s.domain_name.clone()
    };
    if !s.renamed_to.is_empty() {
        name = format!("{name} (now {})", s.renamed_to);
    }
    let dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
    [
        printable(&name),
        printable(&s.state_name),
        if s.domain_id == 0 {
            "-".to_owned()
        } else {
            s.domain_id.to_string()
        },
        s.virtualization_mode_name.clone(),
        date(s.boot_time),
        s.restarts.to_string(),
        printable(&dash(&s.shutdown_reason)),
        date(s.next_retry),
        printable(&remark(s)),
    ]
}

/// Returns the text for the column `REMARK`: the error, the reason for the state, and the warnings.
fn remark(s: &DomainStatus) -> String {
    let both = [s.last_err.clone(), s.state_reason.clone()];
    let warnings = s
        .warnings
        .iter()
        .map(|warning| format!("warning: {warning}"));
    let said: Vec<String> = both
        .into_iter()
        .filter(|t| !t.is_empty())
        .chain(warnings)
        .collect();
    said.join("; ")
}

/// Returns the row for a domain that was preserved.
fn preserved(kept: &PreservedDomain) -> Row {
    let mut row = dashes();
    row[0] = format!("  {}", printable(&kept.domain_name));
    row[1] = "PRESERVED".to_owned();
    row[2] = kept.domain_id.to_string();
    row[6] = printable(&kept.reason);
    row[8] = "kept for you to look into, and to destroy".to_owned();
    row
}

/// Returns the row for a DomainStatus that cannot be read.
fn unreadable(name: &str, why: &str) -> Row {
    let mut row = dashes();
    row[0] = printable(name.trim_end_matches(".json"));
    row[1] = "UNREADABLE".to_owned();
    row[8] = printable(why);
    row
}

fn dashes() -> Row {
    ["-"; COLUMNS.len()].map(str::to_owned)
}

/// Joins the rows, with each column as wide as its longest cell.
fn aligned(rows: &[Row]) -> String {
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|i| {
            rows.iter()
                .map(|row| row[i].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table() {
        let status = DomainStatus {
            domain_name: "web.1".into(),
            state_name: "RUNNING".into(),
            domain_id: 7,
            virtualization_mode_name: "PVH".into(),
            boot_time: time::OffsetDateTime::from_unix_timestamp(1_767_323_045).ok(),
            last_err: "a\x1b[2Jb".into(),
            ..DomainStatus::default()
        };
        let text = table(&Found {
            all: vec![status],
            unreadable: vec![("k.json".into(), "cut off".into())],
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "NAME   STATE       DOMID  MODE  BOOTED (UTC)         RESTARTS  LAST END  NEXT TRY (UTC)  REMARK"
        );
        assert_eq!(
            lines[1],
            "web.1  RUNNING     7      PVH   2026-01-02 03:04:05  0         -         -               a [2Jb"
        );
        assert_eq!(
            lines[2],
            "k      UNREADABLE  -      -     -                    -         -         -               cut off"
        );
    }

    #[test]
    fn what_somebody_else_did_and_what_was_kept() {
        let kept = |domain_id, name: &str| PreservedDomain {
            domain_id,
            domain_name: name.into(),
            reason: "crash".into(),
        };
        let suspended = DomainStatus {
            domain_name: "web.1".into(),
            state_name: "SUSPENDED".into(),
            domain_id: 7,
            virtualization_mode_name: "PV".into(),
            renamed_to: "x".into(),
            last_err: "e".into(),
            state_reason: "by\x07somebody".into(),
            preserved: vec![kept(5, "web.1-\x1b[2J"), kept(7, "not twice")],
            ..DomainStatus::default()
        };
        let text = table(&Found {
            all: vec![suspended],
            unreadable: Vec::new(),
        });
        let cells: Vec<Vec<&str>> = text
            .lines()
            .map(|line| {
                let cells = line.split("  ").map(str::trim);
                cells.filter(|c| !c.is_empty()).collect()
            })
            .collect();
        assert_eq!(cells.len(), 3, "{text}");
        assert_eq!(
            cells[1],
            [
                "web.1 (now x)",
                "SUSPENDED",
                "7",
                "PV",
                "-",
                "0",
                "-",
                "-",
                "e; by somebody"
            ]
        );
        assert_eq!(cells[2][..3], ["web.1- [2J", "PRESERVED", "5"]);
        assert_eq!(cells[2][6], "crash");
    }
}
