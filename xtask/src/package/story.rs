//! The package on a host with systemd: installed, upgraded and removed under running guests, then the host restarted and switched off.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::lab::{Accel, Hardware, Lab};
use crate::test::Counts;
use crate::tool;
use crate::xen::Xen;

/// The guests, as files for xl: a PV guest with a disk and an interface, a PVH and an HVM guest. Each prints its uptime.
const GUESTS: [(&str, &str); 3] = [
    (
        "web",
        "kernel = \"/lab/guest/vmlinux\"\nvif = [\"bridge=xenbr0\"]\ndisk = [\"/root/web.img,raw,xvda,rw\"]\n",
    ),
    ("db", "type = \"pvh\"\nkernel = \"/lab/guest/vmlinux\"\n"),
    (
        "desk",
        "type = \"hvm\"\nkernel = \"/lab/guest/vmlinuz\"\nvga = \"none\"\nserial = \"pty\"\n",
    ),
];

/// Time limit for a command in the lab, in seconds. A Linux boots for a minute on emulated hardware.
const PATIENCE: u32 = 600;

/// A host, and the results of the checks on it.
struct Host {
    lab: Lab,
    counts: Counts,
}

/// Runs all steps. The first step that fails ends the run.
pub(crate) fn run(accel: Accel) -> Result<Counts> {
    let built = super::build(true)?;
    let xen = of_this_host()?;
    let lab = Lab::start(xen, Hardware::Systemd, accel)?;
    let newer = newer(&built.agent)?;
    lab.bring(&built.agent, "domainmgr.deb")?;
    lab.bring(&built.hotplug, "xen-hotplug.deb")?;
    lab.bring(&newer, "newer.deb")?;
    let mut host = Host {
        lab,
        counts: Counts::default(),
    };
    let told = host.tell();
    if told.is_err() {
        host.explain();
    }
    told.map(|()| host.counts)
}

/// Returns the Xen whose libxl the package was built for.
fn of_this_host() -> Result<Xen> {
    let version = tool::output(Command::new("pkg-config").args(["--modversion", "xenlight"]))?;
    [Xen::V4_17, Xen::V4_20]
        .into_iter()
        .find(|xen| version.trim().starts_with(xen.as_str()))
        .with_context(|| format!("there is no lab for Xen {}", version.trim()))
}

/// Makes a later version of the package.
fn newer(package: &Path) -> Result<std::path::PathBuf> {
    let dir = package.with_file_name("newer");
    tool::output(
        Command::new("dpkg-deb")
            .arg("--raw-extract")
            .args([package, &dir]),
    )?;
    let control = dir.join("DEBIAN/control");
    let text = std::fs::read_to_string(&control)?;
    let line = text
        .lines()
        .find(|line| line.starts_with("Version: "))
        .context("the package has no version")?;
    std::fs::write(&control, text.replace(line, &format!("{line}+1")))?;
    let out = package.with_file_name("newer.deb");
    tool::output(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .args([&dir, &out]),
    )?;
    Ok(out)
}

impl Host {
    fn tell(&mut self) -> Result<()> {
        self.install()?;
        self.take_over()?;
        self.restart_agent()?;
        self.upgrade()?;
        self.remove()?;
        self.restart_saved()?;
        self.restart()?;
        self.switch_off()
    }

    /// Counts a successful check, and prints it.
    fn seen(&mut self, what: &str) {
        self.counts.passed += 1;
        println!("ok: {what}");
    }

    fn dom0(&self, line: &str) -> Result<String> {
        tool::output(&mut self.lab.command_within(PATIENCE, line))
            .with_context(|| format!("in dom0: {line}"))
    }

    /// Fails unless the output of the command contains this text.
    fn expect(&self, line: &str, wanted: &str) -> Result<()> {
        let found = self.dom0(line)?;
        ensure!(
            found.contains(wanted),
            "{line}: expected {wanted:?}, found {found:?}"
        );
        Ok(())
    }

    fn install(&mut self) -> Result<()> {
        // The start script of Debian has started xendomains.
        self.expect(
            "apt-get install --yes /share/domainmgr.deb /share/xen-hotplug.deb 2>&1",
            "xendomains is enabled",
        )?;
        self.expect(
            "systemctl is-active domainmgr domainmgr-guests; true",
            "inactive\ninactive",
        )?;
        self.seen("the package is installed, and starts nothing beside xendomains");
        Ok(())
    }

    fn take_over(&mut self) -> Result<()> {
        self.dom0("mkdir -p /etc/xen/auto && truncate -s 16M /root/web.img")?;
        for (name, lines) in GUESTS {
            self.dom0(&format!(
                "cat >/etc/xen/auto/{name}.cfg <<'END'\nname = \"{name}\"\nmemory = 128\nramdisk = \"/lab/guest/initrd\"\n\
                 extra = \"console=hvc0 quiet lab.tick=5\"\n{lines}END"
            ))?;
        }
        self.dom0(
            "systemctl disable xendomains 2>&1 && systemctl enable --now domainmgr domainmgr-guests 2>&1",
        )?;
        self.all_run()?;
        self.expect(
            "systemctl is-active domainmgr domainmgr-guests; true",
            "active\nactive",
        )?;
        self.expect(
            "stat -c '%a %G' /run/domainmgr/control.sock",
            "660 domainmgr",
        )?;
        self.seen("three guests of /etc/xen/auto run");
        self.no_rival()?;
        self.seen("xendomains was done with stopping before the agent started");
        Ok(())
    }

    /// Fails if xendomains, which shuts down every domain as it is stopped, was stopped while the agent ran.
    fn no_rival(&self) -> Result<()> {
        let time = |unit: &str, property: &str| -> Result<u64> {
            let line = format!("systemctl show --value --property={property} {unit}");
            let said = self.dom0(&line)?;
            said.trim()
                .parse()
                .with_context(|| format!("{line}: {said:?}"))
        };
        let stopped = time("xendomains", "InactiveEnterTimestampMonotonic")?;
        let started = time("domainmgr", "ExecMainStartTimestampMonotonic")?;
        ensure!(
            0 < stopped && stopped < started,
            "xendomains was stopped at {stopped} us, the agent started at {started} us"
        );
        Ok(())
    }

    fn all_run(&self) -> Result<()> {
        for (name, _) in GUESTS {
            self.dom0(&format!(
                "domainmgr wait {name} RUNNING --timeout {PATIENCE}"
            ))?;
        }
        Ok(())
    }

    /// Returns the name and domid of each guest, as `xl list` prints them.
    fn domains(&self) -> Result<String> {
        self.dom0("xl list | awk 'NR > 2 {print $1, $2}' | sort")
    }

    /// Fails if the domains differ from `before`, or if one of them does not go on.
    fn unharmed(&self, before: &str) -> Result<()> {
        self.all_run()?;
        let after = self.domains()?;
        ensure!(after == before, "domains before:\n{before}after:\n{after}");
        for (name, _) in GUESTS {
            let uptime = self.uptime(name)?;
            let begin = Instant::now();
            while self.uptime(name)? <= uptime {
                ensure!(
                    begin.elapsed() < Duration::from_secs(PATIENCE.into()),
                    "{name} does not go on"
                );
                thread::sleep(Duration::from_secs(2));
            }
        }
        Ok(())
    }

    /// Returns the last uptime that the guest has printed, in seconds.
    fn uptime(&self, name: &str) -> Result<f64> {
        let line = self.dom0(&format!(
            "log=/var/log/xen/console/guest-{name}.log; for i in $(seq {PATIENCE}); do \
             grep -a 'lab guest: uptime' $log 2>/dev/null | tail -n 1 | grep . && exit; sleep 5; done; tail $log; exit 1"
        ))?;
        let words = line.split("uptime ").last().unwrap_or_default();
        let number = words.split_whitespace().next().unwrap_or_default();
        number
            .parse()
            .with_context(|| format!("{name} says {line:?}"))
    }

    fn restart_agent(&mut self) -> Result<()> {
        for (name, _) in GUESTS {
            self.uptime(name)?;
        }
        let before = self.domains()?;
        self.dom0("systemctl restart domainmgr")?;
        self.unharmed(&before)?;
        self.expect("systemctl is-active domainmgr-guests; true", "active")?;
        self.seen("the agent is restarted, and no guest notices");
        Ok(())
    }

    fn upgrade(&mut self) -> Result<()> {
        let before = self.domains()?;
        let agent = "systemctl show --property=MainPID domainmgr";
        let old = self.dom0(agent)?;
        self.dom0("apt-get install --yes /share/newer.deb 2>&1")?;
        self.unharmed(&before)?;
        ensure!(self.dom0(agent)? != old, "the old agent still runs");
        self.expect(
            "dpkg-query --show --showformat='${Version}' domainmgr",
            "+1",
        )?;
        self.seen("the package is upgraded, and no guest notices");
        Ok(())
    }

    fn remove(&mut self) -> Result<()> {
        let before = self.domains()?;
        self.dom0("apt-get remove --yes domainmgr 2>&1")?;
        let after = self.domains()?;
        ensure!(after == before, "domains before:\n{before}after:\n{after}");
        self.dom0("apt-get install --yes /share/newer.deb 2>&1 && systemctl enable --now domainmgr domainmgr-guests 2>&1")?;
        self.unharmed(&before)?;
        self.seen("the package is removed and installed again, and no guest notices");
        Ok(())
    }

    /// Sets the options for stopping the host.
    fn on_stop(&self, options: &str) -> Result<()> {
        self.dom0(&format!(
            "sed -i 's/^DOMAINMGR_HOST_STOP_OPTIONS=.*/DOMAINMGR_HOST_STOP_OPTIONS=\"{options}\"/' /etc/default/domainmgr && \
             mkdir -p /etc/systemd/system/domainmgr-guests.service.d && \
             printf '[Service]\\nStandardOutput=journal+console\\nStandardError=journal+console\\n' \
             >/etc/systemd/system/domainmgr-guests.service.d/lab.conf && systemctl daemon-reload"
        ))?;
        Ok(())
    }

    fn restart_host(&mut self) -> Result<()> {
        self.dom0("sync; systemctl reboot --no-block")?;
        self.lab.wait_restarted()?;
        self.all_run()
    }

    fn restart_saved(&mut self) -> Result<()> {
        self.on_stop("--save")?;
        let mut before = Vec::new();
        for (name, _) in GUESTS {
            before.push(self.uptime(name)?);
        }
        self.restart_host()?;
        for ((name, _), before) in GUESTS.iter().zip(before) {
            let after = self.uptime(name)?;
            ensure!(
                after > before,
                "{name} is up for {after} s, before it was {before} s"
            );
            let boots = self.dom0(&format!(
                "grep -ac 'lab guest: up,' /var/log/xen/console/guest-{name}.log"
            ))?;
            ensure!(boots.trim() == "1", "{name} has booted {boots} times");
        }
        self.seen("the host is restarted, and its guests go on from where they were saved");
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        // Debian's /etc/default/xendomains asks for saving.
        self.on_stop("--no-save")?;
        self.restart_host()?;
        for (name, _) in GUESTS {
            self.dom0(&format!(
                "for i in $(seq {PATIENCE}); do [ $(grep -ac 'lab guest: up,' /var/log/xen/console/guest-{name}.log) = 2 ] && exit; \
                 sleep 5; done; exit 1"
            ))?;
            self.expect(
                &format!("grep -a 'asked for' /var/log/xen/console/guest-{name}.log"),
                "poweroff asked for",
            )?;
        }
        self.seen("the host is restarted, and its guests are shut down and boot again");
        Ok(())
    }

    fn switch_off(&mut self) -> Result<()> {
        self.on_stop("--no-save --last web")?;
        self.dom0("sync; systemctl poweroff --no-block")?;
        self.lab.wait_off()?;
        let said = self.lab.console();
        let at = |name: &str| {
            let place = said.rfind(&format!("{name}: "));
            place.with_context(|| format!("nothing is said about {name}"))
        };
        let (web, db, desk) = (at("web")?, at("db")?, at("desk")?);
        if web < db || web < desk {
            bail!("web was not the last to be shut down");
        }
        self.seen("the host is switched off, and its guests are shut down in order");
        Ok(())
    }

    /// Prints logs and states that may explain a failure.
    fn explain(&self) {
        for line in [
            "systemctl --no-pager status domainmgr domainmgr-guests xen xendomains 2>&1 | tail -n 80",
            "journalctl --no-pager -b -u domainmgr -u domainmgr-guests -u xendomains 2>&1 | tail -n 80",
            "domainmgr status; xl list; tail -n 5 /var/log/xen/console/*; tail -n 20 /var/log/xen/*.log",
        ] {
            match self.dom0(line) {
                Ok(said) => println!("{said}"),
                Err(error) => println!("{error:#}"),
            }
        }
        println!("{}", last_lines(&self.lab.console(), 60));
    }
}

fn last_lines(text: &str, number: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(number)..].join("\n")
}
