//! Saves a running domain to a file and lets it run on.
//!
//! ```text
//! checkpoint NAME FILE
//! ```
//!
//! The file can be restored with `xl restore`, or with `Context::restore`, once the domain is gone.

use std::{env, process::ExitCode, time::Duration};

use libxl::{Context, Saving};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [name, file] = args.as_slice() else {
        eprintln!("usage: checkpoint NAME FILE");
        return ExitCode::from(2);
    };
    match run(name, file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, file: &str) -> Result<(), Box<dyn std::error::Error>> {
    let ctx = Context::open()?;
    let domain = ctx.domain_by_domid(ctx.name_to_domid(name)?)?;
    // Whatever goes wrong, the domain keeps running, and no incomplete file is left.
    domain.checkpoint(
        file,
        Saving::new()
            .live()
            .deadline(Duration::from_secs(600))
            .progress(|progress| println!("{progress}")),
    )?;
    println!("{name} is saved in {file}; {}", domain.info()?.state());
    Ok(())
}
