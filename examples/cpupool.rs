//! Runs a domain for a while on a CPU of its own, in a CPU pool with a scheduler of its own.
//!
//! ```text
//! cpupool NAME CPU SECONDS
//! ```

use std::{env, process::ExitCode, thread, time::Duration};

use libxl::{
    Context, Domain,
    config::{Bitmap, DomainSchedParams, Scheduler},
};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let parsed = match args.as_slice() {
        [name, cpu, seconds] => cpu
            .parse()
            .ok()
            .zip(seconds.parse().ok())
            .map(|(cpu, seconds)| (name, cpu, Duration::from_secs(seconds))),
        _ => None,
    };
    let Some((name, cpu, time)) = parsed else {
        eprintln!("usage: cpupool NAME CPU SECONDS");
        return ExitCode::from(2);
    };
    match run(name, cpu, time) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str, cpu: u32, time: Duration) -> libxl::Result<()> {
    let ctx = Context::open()?;
    let domain = ctx.domain_by_domid(ctx.name_to_domid(name)?)?;
    let home = domain.info()?.cpupool;

    ctx.cpupool_remove_cpu(home, cpu)?;
    let result = in_a_pool(&ctx, &domain, cpu, home, time);
    // Whatever went wrong, the CPU goes back to where it was.
    ctx.cpupool_add_cpu(home, cpu)?;
    result
}

fn in_a_pool(
    ctx: &Context,
    domain: &Domain,
    cpu: u32,
    home: u32,
    time: Duration,
) -> libxl::Result<()> {
    let pool = ctx.cpupool_create("example", &Scheduler::Credit2, &Bitmap::from([cpu]))?;
    let result = domain.move_to_cpupool(pool).and_then(|()| {
        // Each scheduler uses some of the parameters.
        domain.set_sched_params(&DomainSchedParams {
            weight: Some(512),
            ..DomainSchedParams::default()
        })?;
        for pool in ctx.list_cpupools()? {
            println!(
                "{}: {}, CPUs {}, {} domains",
                pool.name, pool.scheduler, pool.cpus, pool.domains
            );
        }
        println!("weight: {:?}", domain.sched_params()?.weight);
        let before = domain.info()?.cpu_time_ns;
        thread::sleep(time);
        let used = Duration::from_nanos(domain.info()?.cpu_time_ns - before);
        println!("it has used {used:?} of {time:?}");
        domain.move_to_cpupool(home)
    });
    // Only an empty pool can be destroyed.
    let destroyed = ctx.cpupool_destroy(pool);
    result.and(destroyed)
}
