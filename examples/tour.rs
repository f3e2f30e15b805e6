//! An overview: creates a PVH domain with a disk, plugs a network interface into it, pins its
//! virtual CPU, changes its memory, watches it and shuts it down.
//!
//! ```text
//! tour NAME KERNEL RAMDISK IMAGE BRIDGE
//! ```

use std::{env, error::Error, process::ExitCode, time::Duration};

use libxl::{
    Context, Domain, DomainConfig, DomainEvent, ErrorKind, Events, Limits, ShutdownReason, Watcher,
    config::{Bitmap, Disk, Nic},
};

/// Time to wait for a guest before it is asked again.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [name, kernel, ramdisk, image, bridge] = args.as_slice() else {
        eprintln!("usage: tour NAME KERNEL RAMDISK IMAGE BRIDGE");
        return ExitCode::from(2);
    };
    let config = DomainConfig::pvh(name)
        .kernel(kernel)
        .ramdisk(ramdisk)
        .cmdline("console=hvc0")
        .memory_mib(128)
        .vcpus(1)
        .disk(Disk::raw(image, "xvda"));
    match run(&config, bridge) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The long form has libxl's log lines, which give the cause.
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &DomainConfig, bridge: &str) -> Result<(), Box<dyn Error>> {
    config.validate()?;
    let ctx = Context::open()?;
    let watcher = Watcher::start(Context::builder())?;

    println!("creating {config}");
    let domain = ctx.domain(ctx.domain_create_new(config)?.wait()?);
    // The watch comes before anything can happen to the domain.
    let (_watch, events) = watcher.watch_channel(domain.id())?;
    let result = live(&domain, &events, bridge);
    if result.is_err() {
        // Dropping the handle does not touch the domain: destroy it here.
        match domain.destroy().wait() {
            Err(error) if !error.is_domain_gone() => eprintln!("{error:#}"),
            _ => {}
        }
    }
    result
}

fn live(domain: &Domain, events: &Events<DomainEvent>, bridge: &str) -> Result<(), Box<dyn Error>> {
    domain.unpause().wait()?;
    println!("domain {} is {}", domain.id(), domain.info()?.state());
    for disk in domain.disk_list()? {
        println!("disk {:?}", disk.vdev);
    }

    let nic = domain.nic_add(&Nic::bridge(bridge))?.wait()?;
    println!("nic {:?} on {bridge}", nic.mac.map(|mac| mac.to_string()));

    domain.set_vcpu_affinity(0, Some(&Bitmap::from([0])), None)?;
    for vcpu in domain.list_vcpus()? {
        println!("vCPU {} on {}", vcpu.vcpuid, vcpu.hard_affinity);
    }

    domain.set_memory_target(112 << 10, true)?;
    println!("memory target {} KiB", domain.memory_target()?);

    // A guest that is still booting may not answer, or answer and then forget about it.
    for _ in 0..10 {
        match domain.request_shutdown(&Limits::none().deadline(PATIENCE)) {
            Ok(way) => println!("asked to shut down: {way:?}"),
            Err(error) if error.kind() == ErrorKind::TimedOut => println!("no answer yet"),
            Err(error) => return Err(error.into()),
        }
        if has_ended(domain, events)? {
            return Ok(());
        }
    }
    Err("the guest does not shut down".into())
}

/// Destroys the domain when the guest has stopped. Returns false if nothing has happened for a
/// while.
fn has_ended(domain: &Domain, events: &Events<DomainEvent>) -> libxl::Result<bool> {
    while let Ok(event) = events.recv_timeout(PATIENCE) {
        println!("domain {} {event}", domain.id());
        match event {
            // A save or a migration: not an end.
            DomainEvent::Shutdown(ShutdownReason::SUSPEND) => {}
            DomainEvent::Shutdown(_) => domain.destroy().wait()?,
            DomainEvent::Death => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}
