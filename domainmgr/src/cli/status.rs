//! `domainmgr status`

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use inotify::{Inotify, WatchMask};

use crate::eve::{DomainStatus, PreservedDomain};
use crate::store::{self, Named};
use crate::worker;

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
    /// The DomainStatus objects, one per line.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(&self) -> Result<(), String> {
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
            // Whoever read has read enough.
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
            let all = read_all(dir)?;
            let text = if self.json { json(&all)? } else { table(&all) };
            if last.as_ref() != Some(&text) {
                if watch.is_some() && clear {
                    out.write_all(b"\x1b[H\x1b[2J")?;
                }
                out.write_all(text.as_bytes())?;
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

/// Every DomainStatus in `dir`, by application number.
pub(super) fn read_all(dir: &Path) -> io::Result<Vec<DomainStatus>> {
    let mut all: Vec<DomainStatus> = store::list(dir)?
        .iter()
        .filter(|name| matches!(store::key_of(name), Named::Key(_)))
        .filter_map(|name| worker::read_status(&dir.join(name)))
        .collect();
    all.sort_by(|a, b| (a.app_num, &a.domain_name).cmp(&(b.app_num, &b.domain_name)));
    Ok(all)
}

fn json(all: &[DomainStatus]) -> io::Result<String> {
    let mut text = String::new();
    for status in all {
        text.push_str(&serde_json::to_string(status)?);
        text.push('\n');
    }
    Ok(text)
}

fn table(all: &[DomainStatus]) -> String {
    let time = |at: Option<time::OffsetDateTime>| {
        at.map_or_else(
            || "-".to_owned(),
            |at| format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second()),
        )
    };
    let mut rows = vec![
        [
            "NAME", "STATE", "DOMID", "MODE", "BOOTED", "RESTARTS", "LAST END", "NEXT TRY",
            "REMARK",
        ]
        .map(str::to_owned),
    ];
    for s in all {
        let mut name = if s.domain_name.is_empty() {
            s.uuid_and_version.uuid.clone()
        } else {
            s.domain_name.clone()
        };
        if !s.renamed_to.is_empty() {
            name = format!("{name} (now {})", s.renamed_to);
        }
        let dash = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
        rows.push([
            printable(&name),
            printable(&s.state_name),
            if s.domain_id == 0 {
                "-".to_owned()
            } else {
                s.domain_id.to_string()
            },
            s.virtualization_mode_name.clone(),
            time(s.boot_time),
            s.restarts.to_string(),
            printable(&dash(&s.shutdown_reason)),
            time(s.next_retry),
            printable(&remark(s)),
        ]);
        for kept in &s.preserved {
            // The one that is shown above is not shown twice.
            if kept.domain_id != s.domain_id {
                rows.push(preserved(kept));
            }
        }
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|i| {
            rows.iter()
                .map(|row| row[i].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &rows {
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

/// What is wrong, and what somebody else has a hand in.
fn remark(s: &DomainStatus) -> String {
    let both = [s.last_err.as_str(), s.state_reason.as_str()];
    let said: Vec<&str> = both.into_iter().filter(|t| !t.is_empty()).collect();
    said.join("; ")
}

/// A domain beside the one that is looked after.
fn preserved(kept: &PreservedDomain) -> [String; 9] {
    let mut row = ["-"; 9].map(str::to_owned);
    row[0] = format!("  {}", printable(&kept.domain_name));
    row[1] = "PRESERVED".to_owned();
    row[2] = kept.domain_id.to_string();
    row[6] = printable(&kept.reason);
    row[8] = "kept for you to look into, and to destroy".to_owned();
    row
}

/// Nothing that a file says can drive the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
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
            last_err: "a\x1b[2Jb".into(),
            ..DomainStatus::default()
        };
        let text = table(&[status]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            "NAME   STATE    DOMID  MODE  BOOTED  RESTARTS  LAST END  NEXT TRY  REMARK"
        );
        assert_eq!(
            lines[1],
            "web.1  RUNNING  7      PVH   -       0         -         -         a [2Jb"
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
        let text = table(&[suspended]);
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
