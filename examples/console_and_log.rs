//! Prints the path of a domain's console, the guest's last output to it, and the last lines of
//! Xen's log.
//!
//! ```text
//! console_and_log NAME
//! ```

use std::{env, fs, process::ExitCode};

use libxl::Context;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [name] = args.as_slice() else {
        eprintln!("usage: console_and_log NAME");
        return ExitCode::from(2);
    };
    match run(name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str) -> libxl::Result<()> {
    let ctx = Context::open()?;
    let host = ctx.version_info()?;
    println!("Xen {}", host.version());

    let domain = ctx.domain_by_domid(ctx.name_to_domid(name)?)?;
    // The console is a terminal: open it to talk to the guest. One reader at a time gets the
    // guest's output.
    println!("console: {}", domain.primary_console_tty()?.display());
    // xenconsoled keeps a log, if it was started with --log=guest.
    let log = format!("/var/log/xen/console/guest-{name}.log");
    if let Ok(text) = fs::read(&log) {
        println!("{log}:");
        last_lines(&String::from_utf8_lossy(&text), 5);
    }

    println!("Xen's log:");
    last_lines(&ctx.xen_log(false)?, 5);
    Ok(())
}

fn last_lines(text: &str, count: usize) {
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(count)..] {
        println!("  {line}");
    }
}
