//! Gives a running domain a network interface and a disk, and takes both away again.
//!
//! ```text
//! hotplug NAME BRIDGE IMAGE
//! ```

use std::{env, process::ExitCode, time::Duration};

use libxl::{
    Context, Domain,
    config::{Disk, Nic},
};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [name, bridge, image] = args.as_slice() else {
        eprintln!("usage: hotplug NAME BRIDGE IMAGE");
        return ExitCode::from(2);
    };
    match run(name, bridge, image) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, bridge: &str, image: &str) -> libxl::Result<()> {
    let ctx = Context::open()?;
    let domain = ctx.domain_by_domid(ctx.name_to_domid(name)?)?;

    // The result is the device with all values that libxl has chosen for it.
    let nic = domain.nic_add(&Nic::bridge(bridge))?.wait()?;
    if let Some(mac) = nic.mac {
        println!("{name} has a network interface: {mac} on {bridge}");
    }
    let disk = domain.disk_add(&Disk::raw(image, "xvdz"))?.wait()?;
    println!("{name} has a disk: {image} as xvdz");
    show(&domain)?;

    // The guest has ten seconds to release a device; then libxl takes it by force.
    let limit = Duration::from_secs(60);
    domain.disk_remove(&disk)?.deadline(limit).wait()?;
    domain.nic_remove(&nic)?.deadline(limit).wait()?;
    println!("both are gone");
    show(&domain)
}

fn show(domain: &Domain) -> libxl::Result<()> {
    for nic in domain.nic_list()? {
        println!("  nic {:?}: {}", nic.devid, domain.nic_info(&nic)?.state);
    }
    for disk in domain.disk_list()? {
        println!("  disk {:?}: {}", disk.vdev, domain.disk_info(&disk)?.state);
    }
    Ok(())
}
