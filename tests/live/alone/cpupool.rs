//! CPU pools and schedulers.
//!
//! Xen may lose a vCPU to a CPU that leaves its pool (`docs/upstream/xen-credit2-removed-cpu.md`). Beside other
//! tests, every twentieth run hung with a vCPU of dom0. So these tests run alone, and dom0 keeps off the CPU.
//!
//! Xen may hang when the last CPU leaves a pool of credit (`docs/upstream/xen-credit-removed-last-cpu.md`). So the
//! CPU leaves between two ticks of that pool ([`Pool::tick_slowly`]).

use std::{fs, thread, time::Duration};

use libxl::{
    Context, DomId, Domain, ErrorKind,
    config::{Bitmap, DomainSchedParams, Scheduler},
    sched::VcpuSchedParams,
};

use crate::examples::succeeds;
use crate::support::{Guest, Kind, context, tiny_config, unique, watcher};

/// While this value lives, dom0 stays on the first CPU.
struct OffTheSecondCpu {
    dom0: Domain,
}

impl OffTheSecondCpu {
    fn new(ctx: &Context) -> Self {
        let dom0 = ctx.domain_by_domid(DomId::DOM0).unwrap();
        let this = Self { dom0 };
        this.run_on(&[0].into());
        this
    }

    fn run_on(&self, cpus: &Bitmap) {
        self.dom0
            .set_vcpu_affinity_all(2, Some(cpus), None)
            .expect("dom0 has two vCPUs");
    }
}

impl Drop for OffTheSecondCpu {
    fn drop(&mut self) {
        self.run_on(&[0, 1].into());
    }
}

/// A pool with the second CPU, which is returned at the end.
struct Pool<'a> {
    ctx: &'a Context,
    id: u32,
    name: String,
    _dom0: OffTheSecondCpu,
}

impl<'a> Pool<'a> {
    fn new(ctx: &'a Context, scheduler: &Scheduler) -> libxl::Result<Self> {
        let dom0 = OffTheSecondCpu::new(ctx);
        let name = unique("pool");
        ctx.cpupool_remove_cpu(0, 1).unwrap();
        assert_eq!(ctx.free_cpus().unwrap(), [1].into());
        match ctx.cpupool_create(&name, scheduler, &Bitmap::from([1])) {
            Ok(id) => Ok(Self {
                ctx,
                id,
                name,
                _dom0: dom0,
            }),
            Err(error) => {
                ctx.cpupool_add_cpu(0, 1).unwrap();
                Err(error)
            }
        }
    }
}

impl Pool<'_> {
    /// Sets the longest time slice of credit and waits for the old one to pass. The pool does not tick for nearly a
    /// second then, nor in the first second of a CPU that joins it as its only one.
    fn tick_slowly(&self) {
        let mut params = self.ctx.credit_params(self.id).unwrap();
        let old = Duration::from_millis(params.tslice_ms.unsigned_abs().into());
        params.tslice_ms = 1000;
        self.ctx.set_credit_params(self.id, &params).unwrap();
        thread::sleep(2 * old);
    }
}

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        if self.ctx.cpupool_exists(self.id) {
            self.ctx
                .cpupool_destroy(self.id)
                .expect("the pool is empty");
        }
        self.ctx.cpupool_add_cpu(0, 1).expect("the CPU is free");
    }
}

#[test]
fn a_pool_is_made_used_and_taken_apart() {
    let ctx = context();
    let watcher = watcher();
    let pool = Pool::new(&ctx, &Scheduler::Credit).expect("every Xen has Credit");
    let info = ctx.cpupool_info(pool.id).unwrap();
    assert_eq!(
        (info.name.as_str(), &info.scheduler),
        (pool.name.as_str(), &Scheduler::Credit)
    );
    assert_eq!((info.domains, &info.cpus), (0, &Bitmap::from([1])));
    assert!(ctx.list_cpupools().unwrap().contains(&info));
    assert!(!ctx.cpupool_info(0).unwrap().cpus.contains(1));
    assert!(ctx.free_cpus().unwrap().is_empty());

    assert_eq!(ctx.name_to_cpupoolid(&pool.name).unwrap(), pool.id);
    assert_eq!(
        ctx.cpupoolid_to_name(pool.id).as_deref(),
        Some(pool.name.as_str())
    );
    assert_eq!(
        ctx.cpupool_qualifier_to_cpupoolid(&pool.name).unwrap(),
        pool.id
    );
    assert_eq!(ctx.cpupool_qualifier_to_cpupoolid("7").unwrap(), 7);
    for (wrong, kind) in [
        ("", ErrorKind::NotFound),
        ("4294967296", ErrorKind::Invalid),
    ] {
        let error = ctx.cpupool_qualifier_to_cpupoolid(wrong).unwrap_err();
        assert_eq!(error.kind(), kind, "{error:#}");
    }
    let renamed = unique("renamed");
    ctx.cpupool_rename(pool.id, &renamed).unwrap();
    assert_eq!(ctx.cpupoolid_to_name(pool.id), Some(renamed));
    assert_eq!(
        ctx.name_to_cpupoolid(&pool.name).unwrap_err().kind(),
        ErrorKind::NotFound
    );

    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "pool", ""));
    guest.domain.move_to_cpupool(pool.id).unwrap();
    assert_eq!(guest.domain.info().unwrap().cpupool, pool.id);
    assert_eq!(ctx.cpupool_info(pool.id).unwrap().domains, 1);
    ctx.cpupool_destroy(pool.id).unwrap_err();
    ctx.cpupool_remove_cpu(pool.id, 1).unwrap_err();

    let credit = ctx.credit_params(pool.id).unwrap();
    let mut other = credit;
    other.tslice_ms = 17;
    ctx.set_credit_params(pool.id, &other).unwrap();
    assert_eq!(ctx.credit_params(pool.id).unwrap(), other);
    other.tslice_ms = 5000;
    let error = ctx.set_credit_params(pool.id, &other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
    ctx.credit2_params(pool.id).unwrap_err();

    guest.domain.move_to_cpupool(0).unwrap();
    drop(guest);
    pool.tick_slowly();
    ctx.cpupool_remove_cpus(pool.id, &[1].into()).unwrap();
    ctx.cpupool_add_cpus(pool.id, &[1].into()).unwrap();
    assert_eq!(ctx.cpupool_remove_node(pool.id, 0).unwrap(), 1);
    assert_eq!(ctx.cpupool_add_node(pool.id, 0).unwrap(), 1);
    assert_eq!(ctx.cpupool_info(pool.id).unwrap().cpus, [1].into());
    ctx.cpupool_destroy(pool.id).unwrap();
    assert!(!ctx.cpupool_exists(pool.id));
    assert_eq!(
        ctx.cpupool_info(pool.id).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(ctx.cpupoolid_to_name(pool.id), None);
}

#[test]
fn a_domain_gets_its_share() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "share", ""));
    let domain = &guest.domain;
    assert_eq!(ctx.scheduler().unwrap(), Scheduler::Credit2);
    assert_eq!(ctx.cpupool_info(0).unwrap().scheduler, Scheduler::Credit2);
    let before = domain.sched_params().unwrap();
    assert_eq!(
        (&before.sched, before.weight),
        (&Some(Scheduler::Credit2), Some(256))
    );

    let share = DomainSchedParams {
        weight: Some(512),
        cap: Some(50),
        ..DomainSchedParams::default()
    };
    domain.set_sched_params(&share).unwrap();
    let after = domain.sched_params().unwrap();
    assert_eq!((after.weight, after.cap), (Some(512), Some(50)));
    // Parameters that are not given keep their values.
    let share = DomainSchedParams {
        weight: Some(300),
        ..DomainSchedParams::default()
    };
    domain.set_sched_params(&share).unwrap();
    let after = domain.sched_params().unwrap();
    assert_eq!((after.weight, after.cap), (Some(300), Some(50)));
    let wrong = DomainSchedParams {
        weight: Some(70_000),
        ..DomainSchedParams::default()
    };
    assert_eq!(
        domain.set_sched_params(&wrong).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    // Credit2 has no parameters for vCPUs.
    let error = domain.vcpu_sched_params_all().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");

    let mut pool = ctx.credit2_params(0).unwrap();
    let before = pool;
    pool.ratelimit_us = 2345;
    ctx.set_credit2_params(0, &pool).unwrap();
    assert_eq!(ctx.credit2_params(0).unwrap(), pool);
    ctx.set_credit2_params(0, &before).unwrap();
    ctx.credit_params(0).unwrap_err();
}

/// Returns whether this Xen was built with an option, according to the `.config` file that Debian installs beside
/// Xen.
fn xen_has(option: &str) -> bool {
    let built: Vec<_> = fs::read_dir("/boot")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("xen-") && name.ends_with(".config")
        })
        .collect();
    assert_eq!(built.len(), 1, "{built:?}");
    let options = fs::read_to_string(&built[0]).unwrap();
    options
        .lines()
        .any(|line| line == format!("CONFIG_{option}=y"))
}

#[test]
fn vcpus_get_shares_of_their_own() {
    let ctx = context();
    let watcher = watcher();
    let config = tiny_config(Kind::Pv, "rtds", "").vcpus(2);
    let guest = Guest::create(&ctx, &watcher, &config);
    let domain = &guest.domain;
    let pool = Pool::new(&ctx, &Scheduler::Rtds);
    if !xen_has("SCHED_RTDS") {
        let error = pool.err().expect("this Xen was built without RTDS");
        assert_eq!(error.kind(), ErrorKind::Failed, "{error:#}");
        // Credit2, which schedules the domain, has no parameters for vCPUs.
        for error in [
            domain.set_vcpu_sched_params_all(&VcpuSchedParams::default()),
            domain.set_vcpu_sched_params(&[VcpuSchedParams {
                vcpuid: Some(1),
                ..VcpuSchedParams::default()
            }]),
            domain.vcpu_sched_params_all().map(drop),
            domain.vcpu_sched_params(&[1]).map(drop),
        ]
        .map(Result::unwrap_err)
        {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
        }
        return;
    }
    let pool = pool.unwrap();
    domain.move_to_cpupool(pool.id).unwrap();
    let all = VcpuSchedParams {
        period: Some(20_000),
        budget: Some(5000),
        extratime: Some(1),
        ..VcpuSchedParams::default()
    };
    domain.set_vcpu_sched_params_all(&all).unwrap();
    let one = VcpuSchedParams {
        vcpuid: Some(1),
        period: Some(30_000),
        ..all.clone()
    };
    domain.set_vcpu_sched_params(&[one]).unwrap();
    let seen = domain.vcpu_sched_params_all().unwrap();
    let seen: Vec<_> = seen
        .iter()
        .map(|vcpu| (vcpu.vcpuid, vcpu.period, vcpu.budget))
        .collect();
    assert_eq!(
        seen,
        [
            (Some(0), Some(20_000), Some(5000)),
            (Some(1), Some(30_000), Some(5000))
        ]
    );
    let second = domain.vcpu_sched_params(&[1]).unwrap();
    assert_eq!((second.len(), second[0].period), (1, Some(30_000)));
    let error = domain.vcpu_sched_params(&[9]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:#}");
    domain.move_to_cpupool(0).unwrap();
}

#[test]
fn the_example_gives_a_domain_a_pool_for_a_while() {
    let ctx = context();
    let _dom0 = OffTheSecondCpu::new(&ctx);
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Pv, "example", ""));
    let said = succeeds("cpupool", &[&guest.name, "1", "1"]);
    assert!(
        said.contains("example: credit2, CPUs 1, 1 domains"),
        "{said}"
    );
    assert!(said.contains("weight: Some(512)"), "{said}");
    assert_eq!(guest.domain.info().unwrap().cpupool, 0);
    assert_eq!(ctx.free_cpus().unwrap(), [].into());
}
