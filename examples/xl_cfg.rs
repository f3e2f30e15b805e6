//! Reads a file of `xl` and prints the configuration that it stands for, as libxl's JSON: what
//! `xl create -n` prints for the same arguments.
//!
//! ```text
//! xl_cfg FILE [KEY=VALUE]...
//! ```
//!
//! Arguments after the file override its values, as with `xl create`. Warnings go to the standard
//! error.

use std::{env, error::Error, path::Path, process::ExitCode};

use libxl::{Context, xlcfg::XlConfig};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let Some((file, overrides)) = args.split_first() else {
        eprintln!("usage: xl_cfg FILE [KEY=VALUE]...");
        return ExitCode::from(2);
    };
    match run(Path::new(file), overrides) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(file: &Path, overrides: &[String]) -> Result<(), Box<dyn Error>> {
    let ctx = Context::open()?;
    let file = XlConfig::read_with(file, overrides)?;
    let meaning = ctx.xl_domain_config(&file)?;
    for warning in &meaning.warnings {
        eprintln!("{warning}");
    }
    eprintln!("{}", meaning.config);
    println!("{}", serde_json::to_string_pretty(&meaning.config)?);
    Ok(())
}
