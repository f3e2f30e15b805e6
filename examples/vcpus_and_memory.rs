//! Pins the first virtual CPU of a domain, changes the domain's memory, and prints the result.
//!
//! ```text
//! vcpus_and_memory NAME CPU MIB
//! ```

use std::{env, process::ExitCode, time::Duration};

use libxl::{Context, config::Bitmap};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let parsed = match args.as_slice() {
        [name, cpu, mib] => cpu
            .parse()
            .ok()
            .zip(mib.parse().ok())
            .map(|(cpu, mib)| (name, cpu, mib)),
        _ => None,
    };
    let Some((name, cpu, mib)) = parsed else {
        eprintln!("usage: vcpus_and_memory NAME CPU MIB");
        return ExitCode::from(2);
    };
    match run(name, cpu, mib) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, cpu: u32, mib: u64) -> libxl::Result<()> {
    let ctx = Context::open()?;
    let domain = ctx.domain_by_domid(ctx.name_to_domid(name)?)?;

    println!("the host has {} CPUs", ctx.online_cpus()?);
    domain.set_vcpu_affinity(0, Some(&Bitmap::from([cpu])), None)?;
    for vcpu in domain.list_vcpus()? {
        println!("vCPU {} may run on {}", vcpu.vcpuid, vcpu.hard_affinity);
    }

    // Figures are in KiB. `true`: Xen gives the domain no more than that from now on.
    println!("the target was {} KiB", domain.memory_target()?);
    domain.set_memory_target(mib << 10, true)?;
    match domain.wait_for_memory_target(Duration::from_secs(60)) {
        Ok(()) => println!("{name} uses {} KiB", domain.info()?.current_memkb),
        Err(error) => println!("{name} has not got there yet: {error}"),
    }
    println!("the host has {} KiB left", ctx.free_memory()?);
    Ok(())
}
