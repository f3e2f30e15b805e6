//! Steps of the campaign. Each begins and ends with one copy that runs, on three nodes that are online.

use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use super::campaign::Campaign;
use super::prepare::NAME;

/// A step, by the number of its round.
type Step = fn(&Campaign, u32) -> Result<()>;

/// Names of the steps, and descriptions, in their order.
pub(super) const STEPS: [(&str, &str, Step); 11] = [
    (
        "guide",
        "the guide's lines for `crm`, in a configuration of their own",
        guide,
    ),
    (
        "tester",
        "`ocf-tester`, on a node of its own choice",
        tester,
    ),
    ("start", "stop and start", start),
    (
        "unfenced",
        "start without fencing, which is refused",
        unfenced,
    ),
    ("move", "move, live", moved),
    ("standby", "node standby and online, live", standby),
    ("destroy", "guest destroyed from outside", destroy),
    ("kill", "power cut of the node", kill),
    ("split", "cable of the node cut", split),
    ("agent", "agent killed during a migration", agent),
    ("moving-split", "cable cut during a migration", moving_split),
];

/// The guide, whose lines are typed as they are, but for those of a fencing device that is not here.
const GUIDE: &str = include_str!("../../../docs/cluster.md");

fn guide(c: &Campaign, _: u32) -> Result<()> {
    let lines = GUIDE.lines().map(str::trim);
    let lines = lines.filter(|line| line.starts_with("crm configure") && !line.contains("fence-"));
    let mut script =
        "set -e\ncrm cib new guide force\nexport CIB_shadow=guide\ncrm -F configure delete web\n"
            .to_owned();
    let mut typed = 0;
    for line in lines {
        script.push_str(&format!("{line}\n"));
        typed += 1;
    }
    script.push_str("crm_verify --live-check\nunset CIB_shadow\ncrm cib delete guide\n");
    if typed < 6 {
        bail!("the guide has only {typed} lines for crm");
    }
    let said = talkative(c, &script)?;
    if said.contains("ERROR") {
        bail!("{said}");
    }
    Ok(())
}

/// Runs a script on the first node. What it says on either output is returned, or the error.
fn talkative(c: &Campaign, script: &str) -> Result<String> {
    let script =
        format!("said=$(exec 2>&1; {script}) || {{ echo \"$said\" >&2; exit 1; }}; echo \"$said\"");
    c.at(0, &["sh", "-c", &script])
}

fn unfenced(c: &Campaign, _: u32) -> Result<()> {
    stopped(c)?;
    c.anywhere(
        None,
        &["crm", "configure", "property", "stonith-enabled=false"],
    )?;
    role(c, "Started")?;
    let refused = c.until("a start is refused", || {
        let said = c.anywhere(None, &["crm_mon", "-1"]);
        said.is_ok_and(|said| said.contains("the cluster has no fencing"))
    });
    let ran = c.witness.seen().now;
    role(c, "Stopped")?;
    c.anywhere(
        None,
        &["crm", "configure", "property", "stonith-enabled=true"],
    )?;
    refused?;
    if !ran.is_empty() {
        bail!("it was started");
    }
    c.tidy()?;
    running(c).map(drop)
}

fn tester(c: &Campaign, _: u32) -> Result<()> {
    // Pacemaker keeps its hands off meanwhile.
    stopped(c)?;
    c.anywhere(None, &["crm_resource", "--wait", "--timeout", "30s"])?;
    let agent = "/usr/lib/ocf/resource.d/libxl/Domain";
    let said = talkative(
        c,
        &format!("ocf-tester -n {NAME} -o name=web -o CRM_meta_timeout=120000 {agent}"),
    )?;
    if !said.contains("passed all tests") {
        bail!("{said}");
    }
    Ok(())
}

fn role(c: &Campaign, role: &str) -> Result<()> {
    c.anywhere(
        None,
        &[
            "crm_resource",
            "--resource",
            NAME,
            "--meta",
            "--set-parameter",
            "target-role",
            "--parameter-value",
            role,
        ],
    )?;
    Ok(())
}

/// Has it run, if it does not.
fn running(c: &Campaign) -> Result<usize> {
    role(c, "Started")?;
    c.settled(None)
}

/// Has it run on this node.
fn placed(c: &Campaign, node: usize) -> Result<usize> {
    if running(c)? != node {
        ask_to_move(c, node)?;
        c.until("it has moved", || c.witness.seen().now == [node])?;
        c.settled(None)?;
        c.tidy()?;
    }
    Ok(node)
}

fn stopped(c: &Campaign) -> Result<()> {
    role(c, "Stopped")?;
    c.until("it is stopped", || c.witness.seen().now.is_empty())
}

fn start(c: &Campaign, _: u32) -> Result<()> {
    stopped(c)?;
    running(c).map(drop)
}

/// A node that it does not run on.
fn other(c: &Campaign, node: usize, round: u32) -> usize {
    (node + 1 + (round % 2) as usize) % c.count()
}

fn ask_to_move(c: &Campaign, to: usize) -> Result<()> {
    c.anywhere(
        None,
        &[
            "crm_resource",
            "--resource",
            NAME,
            "--move",
            "--node",
            c.name(to),
        ],
    )?;
    Ok(())
}

fn moved(c: &Campaign, round: u32) -> Result<()> {
    let from = running(c)?;
    let (to, boots) = (other(c, from, round), c.nodes.boots());
    ask_to_move(c, to)?;
    c.until("it has moved", || c.witness.seen().now == [to])?;
    c.settled(None)?;
    c.tidy()?;
    has_not_booted(c, boots)
}

fn has_not_booted(c: &Campaign, before: u64) -> Result<()> {
    let boots = c.nodes.boots();
    if boots != before {
        bail!("its guest has booted: it did not migrate ({before} boots before, {boots} now)");
    }
    Ok(())
}

fn standby(c: &Campaign, _: u32) -> Result<()> {
    let from = running(c)?;
    let boots = c.nodes.boots();
    c.anywhere(
        None,
        &["crm_standby", "--node", c.name(from), "--update", "on"],
    )?;
    c.until("it has left", || {
        c.witness.seen().now.iter().all(|now| *now != from)
    })?;
    let to = c.settled(None)?;
    c.anywhere(None, &["crm_standby", "--node", c.name(from), "--delete"])?;
    c.all_online()?;
    if c.settled(None)? == from || to == from {
        bail!("it is where it was");
    }
    has_not_booted(c, boots)
}

/// Waits until the node was fenced, and the guest runs elsewhere.
fn replaced(c: &Campaign, lost: usize, fenced: u32) -> Result<()> {
    c.until("the node is fenced", || c.power.fenced(lost) > fenced)?;
    let now = c.settled(Some(lost))?;
    if now == lost {
        bail!("it runs on {}, which was lost", c.name(lost));
    }
    Ok(())
}

/// Waits until all nodes are back, and the guest runs once.
fn back(c: &Campaign) -> Result<()> {
    c.all_online()?;
    c.tidy()?;
    c.settled(None).map(drop)
}

fn destroy(c: &Campaign, _: u32) -> Result<()> {
    let node = running(c)?;
    let boots = c.nodes.boots();
    c.nodes.destroy_guest(node)?;
    c.until("it runs again", || {
        c.nodes.boots() > boots && c.witness.seen().now.len() == 1
    })?;
    back(c)
}

fn kill(c: &Campaign, _: u32) -> Result<()> {
    let lost = running(c)?;
    let fenced = c.power.fenced(lost);
    c.power.off(lost)?;
    replaced(c, lost, fenced)?;
    back(c)
}

fn split(c: &Campaign, _: u32) -> Result<()> {
    let lost = match c.nodes.loses_split() {
        Some(loses) => placed(c, loses)?,
        None => running(c)?,
    };
    let fenced = c.power.fenced(lost);
    c.nodes.plug(lost, false);
    replaced(c, lost, fenced)?;
    // It was started again by the power switch, and is still alone.
    c.until("it is on again", || c.nodes.is_on(lost))?;
    thread::sleep(Duration::from_secs(5));
    if c.witness.seen().now.contains(&lost) {
        bail!("{} has started it all alone", c.name(lost));
    }
    c.nodes.plug(lost, true);
    back(c)
}

/// Begins a migration, and returns its ends a while later, the source first.
fn amid(c: &Campaign, round: u32) -> Result<[usize; 2]> {
    let from = running(c)?;
    let to = other(c, from, round);
    ask_to_move(c, to)?;
    thread::sleep(c.nodes.migration().mul_f64(fastrand::f64()));
    Ok([from, to])
}

fn agent(c: &Campaign, round: u32) -> Result<()> {
    let ends = amid(c, round)?;
    c.nodes.kill_agent(ends[(round % 2) as usize]);
    c.settled(None)?;
    back(c)
}

fn moving_split(c: &Campaign, round: u32) -> Result<()> {
    // The source in one round, and the target in the next.
    let end = (round % 2) as usize;
    if let Some(loses) = c.nodes.loses_split() {
        placed(c, (loses + end) % c.count())?;
    }
    let lost = amid(c, round / 2)?[end];
    let fenced = c.power.fenced(lost);
    c.nodes.plug(lost, false);
    replaced(c, lost, fenced)?;
    c.nodes.plug(lost, true);
    back(c)
}
