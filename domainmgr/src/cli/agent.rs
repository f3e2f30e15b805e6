//! `domainmgr status --agent`

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::FormattedDuration;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::client::{complain, exit};
use super::output::say;
use super::paths;
use crate::frontends::control::client::{Client, ClientError};
use crate::frontends::control::wire::Agent;

/// Shows the agent behind the socket, and returns the exit code.
pub(super) fn show(control: Option<&Path>, simulate: bool, json: bool) -> ExitCode {
    let path = paths::control(control, simulate).map_err(ClientError::Other);
    let found = path
        .and_then(|path| Client::connect(&path))
        .and_then(|client| client.agent());
    match found {
        Err(e) => exit(complain("", &e, json)),
        Ok(agent) => {
            let text = if json {
                format!("{}\n", json!(agent))
            } else {
                table(&agent, OffsetDateTime::now_utc())
            };
            drop(say(&text));
            ExitCode::SUCCESS
        }
    }
}

/// Everything that is known of the agent, one per line, and a table of its work.
fn table(agent: &Agent, now: OffsetDateTime) -> String {
    let since = OffsetDateTime::parse(&agent.since, &Rfc3339).ok();
    let age = since.map(|since| Duration::try_from(now - since).unwrap_or_default());
    let age = age.map(|age| Duration::from_secs(age.as_secs()));
    let unknown = || "unknown".to_owned();
    let number = |n: Option<u64>| n.map_or_else(unknown, |n| n.to_string());
    let mut text = String::new();
    for (what, value) in [
        ("version", agent.version.clone()),
        ("process", agent.pid.to_string()),
        (
            "uptime",
            age.map_or_else(unknown, |age| FormattedDuration(age).to_string()),
        ),
        ("domains", agent.domains.to_string()),
        ("clients", agent.clients.to_string()),
        ("CPU time", format!("{:.1} s", agent.cpu)),
        (
            "memory",
            agent
                .memory
                .map_or_else(unknown, |kib| format!("{} MiB", kib.div_ceil(1024))),
        ),
        ("threads", number(agent.threads)),
        ("descriptors", number(agent.descriptors)),
        (
            "journal",
            if agent.journal {
                "in use".to_owned()
            } else {
                "damaged: nothing is built or removed".to_owned()
            },
        ),
    ] {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{what:<12} {value}");
    }
    let _ = writeln!(
        text,
        "\n{:<12} {:>7} {:>9} {:>4}",
        "WORK", "WAITING", "UNDER WAY", "MOST"
    );
    for work in &agent.work {
        let _ = writeln!(
            text,
            "{:<12} {:>7} {:>9} {:>4}",
            work.work, work.waiting, work.under_way, work.most
        );
    }
    text
}
