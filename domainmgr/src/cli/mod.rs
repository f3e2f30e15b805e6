//! The command line.

mod agent;
mod changes;
mod check;
mod client;
mod complete;
mod config;
#[cfg(not(fuzzing))]
mod console;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod console;
mod host;
mod host_order;
mod jobs;
mod looks;
mod memory_files;
mod migrate;
mod named;
mod ocf;
mod output;
mod paths;
mod resume;
mod rivals;
mod status;
mod verbs;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, CommandFactory, Parser, Subcommand};

use self::output::say;
use self::paths::Paths;
use crate::agent::options::Options;
use crate::agent::start;
use crate::agent::worker;
use crate::base::clock::Clock;
use crate::base::crash_points;
use crate::base::logging;
use crate::base::services;
use crate::frontends::control::client::named;
use crate::spec::settings::Settings;
use crate::toolstack::sim::{Simulation, control};
use crate::toolstack::{Toolstack, libxl, xenstored};

/// The exit codes, for the help of the whole program.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, or begun and come to nothing
  2  wrong usage
  3  no such domain
  4  no agent listens, or it has ended meanwhile
  5  timed out";

/// Runs the Xen domains that DomainConfig files ask for.
#[derive(Debug, Parser)]
#[command(
    name = "domainmgr",
    after_help = EXIT_CODES,
    max_term_width = 100,
    arg_required_else_help = true
)]
struct Cli {
    /// Print the versions of this program, of the libxl it was built for, and of the Xen that runs
    #[arg(long, short = 'V')]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent, until SIGTERM. Guests stay as they are when it ends; the next run finds them.
    #[command(after_help = run_help())]
    Run(Box<Run>),
    /// Show what became of each domain.
    Status(status::Status),
    /// Start domains, even if they ended, were stopped by hand, or are not activated by their DomainConfig.
    Start(verbs::Start),
    /// Stop domains, and keep them down until they are started, or until their DomainConfig changes. What their guests have
    /// written stays.
    Stop(verbs::Stop),
    /// Stop domains and start them again.
    Restart(verbs::Verb),
    /// Write the memory of domains to files, and keep them down: they go on from there when they are started. One that
    /// cannot be saved goes on running.
    ///
    /// The agent keeps the files, and removes each when its domain has gone on; with FILE, which `xl restore` reads as well, it is
    /// you who does.
    Save(memory_files::ToFile),
    /// Have domains go on that were saved, or the one that was saved in FILE, by `save` or by `xl save`.
    ///
    /// A guest goes on from a FILE once: afterwards its disks are no longer as they were then, and the file is refused.
    Restore(memory_files::FromFile),
    /// Write the memory of a domain to a file for a debugger, while it goes on. For a consistent dump, pause it first.
    DumpCore(memory_files::ToFile),
    /// Move a running domain to another host. If that fails, it goes on here.
    ///
    /// Its disks have to be the same on both hosts, under the same paths.
    Migrate(migrate::Migrate),
    /// Move all running domains to another host, the biggest first, and some at a time. Those that cannot move are named, and go
    /// on here: run it again for them.
    Evacuate(migrate::Evacuate),
    /// Receive a domain on the standard input and output: for `migrate` of another host, and for `xl migrate -s`.
    MigrateReceive(migrate::Receive),
    /// Forget domains that are down, and that came from another host, so that no file describes them.
    Forget(verbs::Verb),
    /// Stop domains for a while: they keep their memory and their place.
    Pause(verbs::Verb),
    /// Let paused domains run.
    Unpause(verbs::Verb),
    /// Give a domain a device while it runs, and whenever it is built again.
    Attach(changes::Attach),
    /// Take a device from a domain.
    Detach(changes::Detach),
    /// Put another disc into a CD-ROM drive of a domain.
    Insert(changes::Insert),
    /// Take the disc out of a CD-ROM drive of a domain.
    Eject(changes::Eject),
    /// Give a domain other figures: memory, processors, or a share of those.
    Set(changes::Set),
    /// Save or shut down all domains because the host goes down. They come back when it is started again, or with
    /// host-start.
    HostStop(host::HostStop),
    /// Start the domains again that host-stop has brought down, if the host was not restarted after all.
    HostStart(host::HostStart),
    /// Show everything about one domain.
    Show(looks::Show),
    /// Print what domains and the host use, as Prometheus reads it.
    Metrics(looks::Metrics),
    /// Wait until a domain is in a state.
    Wait(looks::Wait),
    /// Show what became of domains: their states, and why they changed (in UTC).
    #[command(alias = "events")]
    History(looks::History),
    /// Show the orders that are being worked off, and the last one of each domain that has come to its end.
    Jobs(jobs::Jobs),
    /// Give up an order that is being worked off: a start, a restore, a save, or a change. What it has begun is undone.
    ///
    /// A stop, a restart and a core dump that has begun cannot be cancelled, nor a start that the domain's file asks for as well.
    Cancel(jobs::Cancel),
    /// Show each change of all domains, or of one, as it happens.
    Watch(looks::Watch),
    /// Check DomainConfig files and files of xl's, or whole directories of them, without doing anything.
    Check(Box<check::Check>),
    /// Show what a file of xl's, or a DomainConfig, stands for: the configuration that libxl is given.
    Config(config::Config),
    /// Connect this terminal to a domain's console. Ctrl-] leaves.
    Console(console::Console),
    /// Let a suspended domain go on where it was.
    ///
    /// For one whose migration was given up, or whose outcome nobody knows: make sure first that it runs nowhere else. One
    /// that does is to be destroyed instead.
    Resume(resume::Resume),
    /// Do what Pacemaker asks of the resource agent ocf:libxl:Domain, whose parameters are in the environment.
    Ocf(ocf::Ocf),
    /// Print a script by which a shell completes words of domainmgr's, and names of domains and numbers of jobs.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man {
        /// Write each page into a file of its own in this directory instead
        #[arg(long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
    /// Interfere with a simulated Xen, as an operator does with xl.
    #[command(hide = true)]
    Simulated {
        /// The file given to `run --simulate-state`.
        #[arg(long)]
        state: PathBuf,
        /// The speed given to `run --simulate-speed`.
        #[arg(long, default_value_t = 1)]
        speed: u32,
        /// list, or destroy, pause, unpause, suspend, resume, rename or end with a domain's number or name; pci, plug ADDRESS DRIVER
        /// [INTERFACE], unplug ADDRESS; live with a domain's.
        #[arg(required = true)]
        words: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    paths: Paths,
    /// A setting, e.g. `timer.boot.retry:60`. Wins over the GlobalConfig file. Repeatable.
    #[arg(long = "config", value_name = "KEY:VALUE", value_parser = key_value)]
    settings: Vec<(String, String)>,
    /// Put a damaged journal aside and begin without one: what is known of disks that were kept, of domains that ended or
    /// were taken away by others, and of wishes under way is forgotten.
    #[arg(long)]
    forget: bool,
    /// Programs that connect disks and interfaces in the place of Xen's scripts, and that are used if they are there
    #[arg(long, value_name = "DIR", default_value = libxl::HOTPLUG)]
    hotplug_dir: PathBuf,
    /// Where Prometheus can fetch figures by HTTP, e.g. 127.0.0.1:9199: whoever can connect can read them [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_address: Option<std::net::SocketAddr>,
    /// Simulate Xen: nothing is run, everything else is as it would be.
    #[arg(long)]
    simulate: bool,
    /// Keep the simulated Xen in this file, so that its domains outlive the agent.
    #[arg(long, value_name = "FILE", requires = "simulate")]
    simulate_state: Option<PathBuf>,
    /// How many times faster than the world's the simulation's time passes.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "simulate", value_parser = clap::value_parser!(u32).range(1..=1000))]
    simulate_speed: u32,
    /// Memory of the simulated host.
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 8192,
        requires = "simulate"
    )]
    simulate_memory: u64,
    /// How many bytes per second the simulated host copies; as fast as it can unless given.
    #[arg(long, value_name = "BYTES", requires = "simulate")]
    simulate_copy_rate: Option<u64>,
    /// How much to log, on standard error [default: as the settings say]. The environment's `RUST_LOG`, e.g.
    /// `info,libxl=debug`, wins.
    #[arg(long, value_name = "LEVEL", value_parser = ["off", "error", "warn", "info", "debug", "trace"])]
    log_level: Option<String>,
    /// What a log line looks like.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: logging::Format,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    text.split_once(':')
        .map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned()))
        .ok_or_else(|| "expected KEY:VALUE".to_owned())
}

fn run_help() -> String {
    let mut text = String::from("Settings:\n");
    for (key, what) in Settings::KEYS {
        text.push_str(&format!("  {key}\n          {what}\n"));
    }
    text.push_str(
        "\nSignals:\n  TERM, INT: end, leaving guests as they are (twice: at once)\n  HUP: read everything again\n  USR1: tell the log what is known\n",
    );
    text
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    complete::answer(Cli::command);
    match Cli::try_parse_from(std::env::args_os()) {
        Ok(Cli { version: true, .. }) => dispatched(say(&format!("{}\n", libxl::versions()))),
        Ok(Cli {
            command: Some(command),
            ..
        }) => dispatch(command),
        // `arg_required_else_help` handles this case.
        Ok(_) => ExitCode::from(2),
        Err(e) => {
            // If this fails, the error cannot be reported.
            let _ = e.print();
            ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2))
        }
    }
}

fn dispatch(command: Command) -> ExitCode {
    let done = match command {
        Command::Run(args) => run(*args),
        Command::Status(args) => return args.run(),
        Command::Check(args) => return args.run(),
        Command::Config(args) => args.run(),
        Command::Start(args) => return args.run(),
        Command::Stop(args) => return args.run(),
        Command::Restart(args) => return args.run("Restart", named),
        Command::Save(args) => return args.save(),
        Command::Restore(args) => return args.run(),
        Command::DumpCore(args) => return args.dump_core(),
        Command::Migrate(args) => return args.run(),
        Command::Evacuate(args) => return args.run(),
        Command::MigrateReceive(args) => return args.run(),
        Command::Forget(args) => return args.run("Forget", named),
        Command::Pause(args) => return args.run("Pause", named),
        Command::Unpause(args) => return args.run("Unpause", named),
        Command::Attach(args) => return args.run(),
        Command::Detach(args) => return args.run(),
        Command::Insert(args) => return args.run(),
        Command::Eject(args) => return args.run(),
        Command::Set(args) => return args.run(),
        Command::HostStop(args) => return args.run(),
        Command::HostStart(args) => return args.run(),
        Command::Show(args) => return args.run(),
        Command::Metrics(args) => return args.run(),
        Command::Wait(args) => return args.run(),
        Command::Jobs(args) => return args.run(),
        Command::Cancel(args) => return args.run(),
        Command::Watch(args) => return args.run(),
        Command::History(args) => return args.run(),
        Command::Console(args) => args.run(),
        Command::Ocf(args) => return args.run(),
        Command::Resume(args) => args.run(),
        Command::Completions { shell } => complete::script(shell).and_then(|script| say(&script)),
        Command::Man { directory: None } => man(),
        Command::Man {
            directory: Some(directory),
        } => clap_mangen::generate_to(Cli::command(), &directory)
            .map_err(|e| format!("{}: {e}", directory.display())),
        Command::Simulated {
            state,
            speed,
            words,
        } => control::send(&state, speed, &words.join(" "))
            .map_err(|e| e.to_string())
            .and_then(|answer| say(&format!("{answer}\n"))),
    };
    dispatched(done)
}

fn dispatched(done: Result<(), String>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("domainmgr: {e}");
            ExitCode::FAILURE
        }
    }
}

fn man() -> Result<(), String> {
    // All pages are printed as one: those of the subcommands follow the main one.
    let mut out = Vec::new();
    let command = Cli::command();
    clap_mangen::Man::new(command.clone())
        .render(&mut out)
        .map_err(|e| e.to_string())?;
    for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        let name = format!("domainmgr-{}", sub.get_name());
        let sub = sub.clone().name(name);
        clap_mangen::Man::new(sub)
            .render(&mut out)
            .map_err(|e| e.to_string())?;
    }
    say(&String::from_utf8_lossy(&out))
}

fn run(args: Run) -> Result<(), String> {
    let level = args.log_level.and_then(|level| level.parse().ok());
    logging::init(level, args.log_format);
    let paths = args.paths.resolve(args.simulate)?;
    let speed = if args.simulate {
        args.simulate_speed
    } else {
        1
    };
    let toolstack: Arc<dyn Toolstack> = if args.simulate {
        log::warn!("Xen is simulated: no domain is really run");
        let number = |variable| {
            let text = std::env::var(variable).ok();
            text.and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        crash_points::arm(number(crash_points::VARIABLE));
        worker::lack_threads(number(worker::VARIABLE));
        if let Ok(name) = std::env::var(services::VARIABLE) {
            services::doom(name);
        }
        let state = args.simulate_state.as_deref();
        if let Some(dir) = state.and_then(|s| s.parent()) {
            std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        }
        Arc::new(Simulation::start(speed, args.simulate_memory, state).map_err(|e| e.to_string())?)
    } else {
        rivals::mention();
        xenstored::wait();
        libxl::open_with(&args.hotplug_dir).map_err(|e| e.to_string())?
    };
    if !args.simulate {
        raise_file_limit();
    }
    let options = Options {
        dirs: paths.dirs(),
        global_config: paths.global_config,
        adapters: paths.adapters,
        control: paths.control,
        overrides: args.settings,
        copy_rate: args.simulate_copy_rate,
        metrics_address: args.metrics_address,
        forget: args.forget,
    };
    start::run(&options, toolstack, Clock::new(speed)).map_err(|e| e.to_string())
}

/// Raises the limit of open files to the maximum: each running operation holds about ten files.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    if let Err(e) = setrlimit(Resource::Nofile, all) {
        log::warn!("the limit of open files cannot be raised: {e}");
    }
}

/// For tests of the command line.
#[cfg(test)]
fn parse(words: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("domainmgr").chain(words.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn settings_are_split_once() {
        let cli = parse(&["run", "--config", "a.b:c:d", "--config=e:1"]).unwrap();
        let Some(Command::Run(run)) = cli.command else {
            panic!()
        };
        assert_eq!(
            run.settings,
            [("a.b".into(), "c:d".into()), ("e".into(), "1".into())]
        );
        assert!(parse(&["run", "--config", "x"]).is_err());
    }
}
