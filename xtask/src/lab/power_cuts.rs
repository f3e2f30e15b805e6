//! `cargo xtask lab --power-cuts N`: cuts the power while the agent works, and checks that nothing is lost.
//!
//! Every computer boots from the same root disk. A second disk persists and holds everything the agent must find again: its journal, the
//! DomainConfigs, and the copies of disks. The emulator is killed in the middle of ten starts and ten deletes. Then another computer
//! boots with the second disk, the agent starts, and must reach the wanted state.

mod wishes;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::wishes::{Found, GROUP, KEPT, Wishes};
use super::accel::{Accel, Backend};
use super::arguments::{DATA_DISK, Start};
use super::model::Model;
use super::{Hardware, Plan, Reservation, Up, put};
use crate::cargo::Cargo;
use crate::tool;
use crate::xen::Xen;

/// Moments of the power cuts, in percent of the time that the whole work takes.
const MOMENTS: [u32; 7] = [5, 50, 20, 80, 35, 95, 65];

/// Longest time the agent may need for all wishes after a boot. Under emulation on a busy machine, a start takes seconds.
const LIMIT: Duration = Duration::from_secs(900);

/// Mount point of the second disk in dom0.
const DATA: &str = "/data";

/// Name of the directory that dom0 shares with this program. Configs go into dom0, the log of the agent comes out.
const SHARED: &str = "power-cuts";

/// Prepares the disk: a file system with a journal, the images, and the disk that is written to later.
const FORMAT: &str = "mke2fs -q -t ext4 /dev/vdb && mount -t ext4 /dev/vdb /data && mkdir -p /data/config /data/verified/aa /data/verified/cc \
    && head -c 1048576 /dev/urandom >/data/verified/aa/disk.raw && head -c 65536 /dev/zero >/data/verified/cc/disk.raw && sync";

const MOUNT: &str = "mount -t ext4 /dev/vdb /data";

/// Starts the agent, which keeps running after the command. Only the agent is in the background: a list would keep the output of
/// the command open, and whoever reads that would wait for the end of the agent.
const AGENT: &str = "mkdir -p /share/power-cuts; setsid /share/bin/domainmgr run --config-dir /data/config --state-dir /data/state \
    --image-dir /data/img --verified-dir /data/verified --run-dir /run/domainmgr --log-level info \
    </dev/null >>/share/power-cuts/agent.log 2>&1 &";

/// Prints the state of dom0: the statuses as JSON, our domains, the copies, the copies that differ from the image, and the content to be
/// kept.
const LOOK: &str = "cat /run/domainmgr/DomainStatus/*.json 2>/dev/null; echo; echo domains; xl list | awk '$1 ~ /^cut-/ { print $1 }'; \
    echo copies; ls -A /data/img 2>/dev/null; echo differ; for copy in /data/img/aa-*.raw; do cmp -s /data/verified/aa/disk.raw \"$copy\" || \
    echo \"$copy\"; done; echo kept; for copy in /data/img/cc-*.raw; do echo \"$(head -c 4 \"$copy\" | tr -d '\\0') $copy\"; done";

/// A computer, and the disk that outlives it.
struct Rig {
    plan: Plan,
    backend: Backend,
    state: PathBuf,
    shared: PathBuf,
}

/// Cuts the power `cuts` times. The exit code is zero only if nothing was lost.
pub(crate) fn run(xen: Xen, accel: Accel, cuts: u32) -> Result<ExitCode> {
    let reservation = Reservation::of(xen)?;
    println!("power cuts: building domainmgr for Xen {xen}");
    let cargo = Cargo::for_lab(xen)?;
    let programs = cargo.programs(&["build", "--workspace", "--bin=domainmgr"])?;
    let (plan, backend) = reservation.plan(Hardware::Plain, accel)?;
    for program in &programs {
        put(&plan.dir, &program.path, &program.name)?;
    }
    let rig = Rig::new(plan, backend)?;
    match rig.cut_again_and_again(cuts) {
        Ok(()) => {
            println!("power cuts: {cuts} of {cuts} survived on Xen {xen}");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            println!(
                "\n··· the end of the agent's log\n{}",
                tool::tail(&rig.shared.join("agent.log"), 60)
            );
            Err(error)
        }
    }
}

impl Rig {
    /// Creates a rig with a new disk and an empty shared directory.
    fn new(plan: Plan, backend: Backend) -> Result<Self> {
        let state = plan.dir.join("power-cuts");
        let shared = plan.dir.join("share").join(SHARED);
        for dir in [&state, &shared] {
            if dir.exists() {
                fs::remove_dir_all(dir)?;
            }
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        plan.emulator.image_tool(&[
            "create".as_ref(),
            "-q".as_ref(),
            "-f".as_ref(),
            "qcow2".as_ref(),
            state.join(DATA_DISK).as_ref(),
            "4G".as_ref(),
        ])?;
        Ok(Self {
            plan,
            backend,
            state,
            shared,
        })
    }

    /// Boots a computer, and prepares or mounts the disk with `line`.
    fn boot(&self, line: &str) -> Result<Up> {
        let up = self
            .plan
            .power_on(self.backend, &self.state, Start::Durable(Model::Plain))?;
        up.output(&format!("mkdir -p {DATA} && {line}"))
            .context("the disk that stays")?;
        Ok(up)
    }

    fn cut_again_and_again(&self, cuts: u32) -> Result<()> {
        let up = self.boot(FORMAT)?;
        let (mut up, whole) = self.begin(up)?;
        println!(
            "power cuts: {GROUP} starts and {GROUP} deletes take {:.1} s",
            whole.as_secs_f32()
        );
        let mut amid = 0;
        for (cut, moment) in (1..=cuts).zip(MOMENTS.into_iter().cycle()) {
            let wishes = Wishes::of_round(cut + 1);
            self.wish(&up, &wishes)?;
            let pause = whole * moment / 100;
            thread::sleep(pause);
            let before = self.look(&up)?;
            // SIGKILL: data that the emulator has not written is lost.
            drop(up);
            let begin = Instant::now();
            up = self.boot(MOUNT)?;
            let booted = begin.elapsed();
            // The cut may have undone the last writes of configs, so their writer writes them again.
            up.output(AGENT)?;
            self.wish(&up, &wishes)?;
            self.wait(&up, &wishes)
                .with_context(|| format!("after power cut {cut}"))?;
            amid += u32::from(wishes.are_half_done(&before));
            println!(
                "power cut {cut:>2} after {:>4.1} s: {}; booted in {:.0} s, all wishes worked off after {:.0} s",
                pause.as_secs_f32(),
                wishes.progress(&before),
                booted.as_secs_f32(),
                (begin.elapsed() - booted).as_secs_f32()
            );
        }
        println!("power cuts: {amid} of {cuts} met wishes that were half done");
        Ok(())
    }

    /// Starts the agent on a new disk and lets it fulfil wishes like those that are interrupted later. Returns the time this takes.
    fn begin(&self, up: Up) -> Result<(Up, Duration)> {
        let first = Wishes::of_round(0);
        for (key, config) in Wishes::all_configs() {
            fs::write(self.shared.join(format!("{key}.json")), config)?;
        }
        up.output(AGENT)?;
        self.wish(&up, &first)?;
        // Content to be kept is checked later: a copy exists only once its domain runs.
        let begin = Instant::now();
        self.wait_but_for_content(&up, &first)?;
        for key in Wishes::kept_keys() {
            up.output(&format!(
                "printf {KEPT} | dd of=/data/img/cc-{key}.raw conv=notrunc,fsync status=none"
            ))?;
        }
        println!(
            "power cuts: the first domains run after {:.0} s",
            begin.elapsed().as_secs_f32()
        );
        let begin = Instant::now();
        let second = Wishes::of_round(1);
        self.wish(&up, &second)?;
        self.wait(&up, &second)?;
        Ok((up, begin.elapsed()))
    }

    /// Makes the config directory contain exactly the wanted configs.
    fn wish(&self, up: &Up, wishes: &Wishes) -> Result<()> {
        let wanted = wishes.wanted();
        let unwanted = wishes.unwanted();
        up.output(&format!(
            "cd {DATA}/config && for key in {}; do cp /share/{SHARED}/$key.json .$key.part && mv .$key.part $key.json || exit 1; done; \
             for key in {}; do rm -f $key.json; done; touch restarted; sync",
            wanted.join(" "),
            unwanted.join(" ")
        ))?;
        Ok(())
    }

    fn look(&self, up: &Up) -> Result<Found> {
        Found::parse(&up.output(LOOK)?)
    }

    /// Waits until the wanted state is reached.
    fn wait(&self, up: &Up, wishes: &Wishes) -> Result<()> {
        self.wait_until(up, |found| wishes.missing(found, true))
    }

    fn wait_but_for_content(&self, up: &Up, wishes: &Wishes) -> Result<()> {
        self.wait_until(up, |found| wishes.missing(found, false))
    }

    fn wait_until(&self, up: &Up, missing: impl Fn(&Found) -> Vec<String>) -> Result<()> {
        let begin = Instant::now();
        loop {
            self.check_log(&self.shared.join("agent.log"))?;
            let missing = missing(&self.look(up)?);
            if missing.is_empty() {
                return Ok(());
            }
            if begin.elapsed() > LIMIT {
                bail!(
                    "after {} s it is not so that:\n{}",
                    LIMIT.as_secs(),
                    missing.join("\n")
                );
            }
            thread::sleep(Duration::from_secs(1));
        }
    }

    /// Fails if the log says that the agent could not use its journal.
    fn check_log(&self, log: &Path) -> Result<()> {
        let text = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let is_bad = |line: &&str| {
            line.contains("journal is damaged")
                || line.contains("internal error")
                // The agent's last message before it exits.
                || line.starts_with("domainmgr: ")
        };
        match text.lines().find(is_bad) {
            Some(line) => bail!("the agent says: {line}"),
            None => Ok(()),
        }
    }
}
