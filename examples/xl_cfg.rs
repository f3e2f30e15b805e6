//! Reads the most usual entries of an `xl.cfg` file and prints the configuration as libxl's JSON.
//!
//! ```text
//! xl_cfg FILE
//! ```
//!
//! A toolstack with files of its own does the same with the entries that it wants: the grammar is
//! libxlutil's, what the names mean is the program's affair.

use std::{env, error::Error, path::Path, process::ExitCode};

use libxl::{
    Context, DomainConfig,
    config::{ActionOnShutdown, Nic},
    xlcfg::{XlConfig, parse_vif_rate},
};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [file] = args.as_slice() else {
        eprintln!("usage: xl_cfg FILE");
        return ExitCode::from(2);
    };
    match run(Path::new(file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(file: &Path) -> Result<(), Box<dyn Error>> {
    let ctx = Context::open()?;
    let file = XlConfig::read(file)?;
    let name = file.string("name")?.ok_or("there is no name")?;
    let mut config = match file.string("type")?.as_deref() {
        Some("pv") => DomainConfig::pv(name),
        Some("hvm") => DomainConfig::hvm(name),
        Some("pvh") | None => DomainConfig::pvh(name),
        Some(other) => return Err(format!("type: {other:?} is none of pv, pvh and hvm").into()),
    };
    config.b_info.kernel = file.string("kernel")?;
    config.b_info.ramdisk = file.string("ramdisk")?;
    config.b_info.cmdline = file.string("extra")?;
    if let Some(mib) = file.number_within("memory", 1, 1 << 30)? {
        config = config.memory_mib(mib.unsigned_abs());
    }
    if let Some(vcpus) = file.number_within("vcpus", 1, 4096)? {
        config = config.vcpus(u32::try_from(vcpus)?);
    }
    if let Some(action) = file.string("on_crash")? {
        config.on_crash = action.parse::<ActionOnShutdown>()?;
    }
    for disk in file.strings("disk")?.unwrap_or_default() {
        config = config.disk(ctx.parse_disk(&disk)?);
    }
    for vif in file.strings("vif")?.unwrap_or_default() {
        config = config.nic(nic(&vif)?);
    }
    config.validate()?;
    eprintln!("{config}");
    println!("{}", serde_json::to_string_pretty(&config)?);
    Ok(())
}

/// `bridge=xenbr0,mac=00:16:3e:00:00:01,rate=10MB/s`
fn nic(spec: &str) -> Result<Nic, Box<dyn Error>> {
    let mut nic = Nic::default();
    for part in spec.split(',').filter(|part| !part.trim().is_empty()) {
        let (key, value) = part.split_once('=').ok_or("vif: a part without '='")?;
        let value = value.trim();
        match key.trim() {
            "bridge" => nic.bridge = Some(value.to_owned()),
            "mac" => nic.mac = Some(value.parse()?),
            "script" => nic.script = Some(value.to_owned()),
            "rate" => {
                let rate = parse_vif_rate(value)?;
                nic.rate_bytes_per_interval = rate.rate_bytes_per_interval;
                nic.rate_interval_usecs = rate.rate_interval_usecs;
            }
            other => return Err(format!("vif: {other:?} is not read by this program").into()),
        }
    }
    Ok(nic)
}
