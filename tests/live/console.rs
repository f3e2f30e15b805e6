//! Consoles, channels, and the rarer kinds of devices.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use libxl::{
    ErrorKind,
    config::{
        Channel, ConnectorParam, P9, Usbctrl, UsbctrlType, Usbdev, Vdispl, Vkb, Vsnd, VsndParams,
        VsndPcm, Vtpm,
    },
    console::{ChannelEnd, ConsoleType},
    have,
};

use crate::support::{Guest, Kind, context, tiny_config, unique, wait_for, watcher};

#[test]
fn a_console_has_a_terminal() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "tty", ""));
    let domain = &guest.domain;
    wait_for("xenconsoled", || {
        domain.console_tty(0, ConsoleType::Pv).is_ok()
    });
    let tty = domain.console_tty(0, ConsoleType::Pv).unwrap();
    assert!(tty.starts_with("/dev/pts"), "{}", tty.display());
    assert_eq!(domain.primary_console_tty().unwrap(), tty);
    domain.console_tty(9, ConsoleType::Pv).unwrap_err();
    let operation = domain.console_add_xenstore(libxl::DomId::DOM0, 1, 1);
    assert_eq!(operation.is_ok(), have("console_add_xenstore"));
}

#[test]
fn a_channel_is_listed() {
    let ctx = context();
    let watcher = watcher();
    let mut config = tiny_config(Kind::Pv, "channel", "");
    let socket = format!("/tmp/{}.sock", unique("channel"));
    config.channels = vec![
        Channel::pty("org.example.one"),
        Channel::socket("org.example.two", &socket),
    ];
    let guest = Guest::create(&ctx, &watcher, &config);
    let domain = &guest.domain;
    let channels = domain.channel_list().unwrap();
    let names: Vec<_> = channels
        .iter()
        .map(|channel| channel.name.as_deref())
        .collect();
    assert_eq!(names, [Some("org.example.one"), Some("org.example.two")]);
    assert_eq!(channels[1].connection, config.channels[1].connection);
    wait_for(
        "xenconsoled",
        || matches!(domain.channel_info(&channels[0]).unwrap().connection, ChannelEnd::Pty { path: Some(path) } if path.starts_with("/dev/pts")),
    );
    let info = domain.channel_info(&channels[0]).unwrap();
    assert_eq!(info.frontend_id, guest.id().domid.0);
}

/// Plays a backend in xenstore: ready for its frontend at first, and closed at the end.
struct Backend {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Backend {
    fn serve(kind: &str, domid: u32) -> Self {
        let path = format!("/local/domain/0/backend/{kind}/{domid}/0/state");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move |program: &str, args: &[&str]| {
            let out = Command::new(program).args(args).output().unwrap();
            String::from_utf8(out.stdout).unwrap().trim().to_owned()
        };
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                match run("xenstore-read", &[&path]).as_str() {
                    "1" => run("xenstore-write", &[&path, "2"]),
                    "5" => run("xenstore-write", &[&path, "6"]),
                    _ => String::new(),
                };
                thread::sleep(Duration::from_millis(100));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// libxl splits the rates with state that exists once per process.
#[test]
fn sound_cards_are_listed_by_many_threads() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "sound", ""));
    let domain = &guest.domain;
    let _backend = Backend::serve("vsnd", guest.id().domid.0);
    let rates: Vec<u32> = (1..=60).map(|n| n * 800).collect();
    let card = Vsnd {
        params: VsndParams {
            sample_rates: rates.clone(),
            ..VsndParams::default()
        },
        ..Vsnd::default()
    };
    let card = domain.vsnd_add(&card).unwrap().wait().unwrap();
    let devid = card.devid.expect("a number");
    thread::scope(|scope| {
        for n in 0..4 {
            let rates = &rates;
            scope.spawn(move || {
                let domain = context().domain(domain.id());
                for _ in 0..50 {
                    let seen = match n % 2 {
                        0 => domain.vsnd_list().unwrap().remove(0),
                        _ => domain.vsnd_by_devid(devid).unwrap(),
                    };
                    assert_eq!(seen.params.sample_rates, *rates);
                }
            });
        }
    });
    domain.vsnd_remove(&card).unwrap().wait().unwrap();
}

/// The lab has no backends for these devices, so the test plays them.
#[test]
fn devices_that_the_lab_does_not_have_come_and_go() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "rare", ""));
    let domain = &guest.domain;
    let _backends =
        ["vdispl", "vsnd", "vtpm", "vkbd"].map(|kind| Backend::serve(kind, guest.id().domid.0));

    let vdispl = Vdispl {
        connectors: vec![ConnectorParam {
            unique_id: Some("one".into()),
            width: 800,
            height: 600,
        }],
        ..Vdispl::default()
    };
    let vdispl = domain.vdispl_add(&vdispl).unwrap().wait().unwrap();
    let listed = domain.vdispl_list().unwrap();
    // Only `vdispl_info` returns the connectors.
    assert_eq!((listed.len(), listed[0].devid), (1, vdispl.devid));
    let devid = vdispl.devid.expect("a number");
    assert_eq!(domain.vdispl_by_devid(devid).unwrap(), listed[0]);
    let info = domain.vdispl_info(&vdispl).unwrap();
    assert_eq!(
        (info.connectors[0].width, info.connectors[0].height),
        (800, 600)
    );
    assert_eq!(
        domain.vdispl_by_devid(devid + 7).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    domain.vdispl_destroy(&vdispl).unwrap().wait().unwrap();
    assert!(domain.vdispl_list().unwrap().is_empty());

    let vsnd = Vsnd {
        short_name: Some("card".into()),
        params: VsndParams {
            sample_rates: vec![44_100],
            ..VsndParams::default()
        },
        pcms: vec![VsndPcm {
            name: Some("pcm".into()),
            ..VsndPcm::default()
        }],
        ..Vsnd::default()
    };
    // Without a check libxl would dereference a null pointer.
    for absent in [None, Some(5)] {
        let error = domain
            .vsnd_info(&Vsnd {
                devid: absent,
                ..Vsnd::default()
            })
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:#}");
    }
    let vsnd = domain.vsnd_add(&vsnd).unwrap().wait().unwrap();
    let info = domain.vsnd_info(&vsnd).unwrap();
    assert_eq!((info.devid, info.pcms.len()), (vsnd.devid, 1));
    let listed = domain.vsnd_list().unwrap();
    let devid = vsnd.devid.expect("a number");
    assert_eq!(domain.vsnd_by_devid(devid).unwrap(), listed[0]);
    let error = domain.vsnd_by_devid(devid + 7).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:#}");
    assert_eq!(listed[0].short_name.as_deref(), Some("card"));
    assert_eq!(listed[0].params.sample_rates, [44_100]);
    domain.vsnd_remove(&vsnd).unwrap().wait().unwrap();
    assert!(domain.vsnd_list().unwrap().is_empty());

    let none = [
        domain.vtpm_by_devid(0).unwrap_err(),
        domain.vtpm_by_uuid(uuid::Uuid::nil()).unwrap_err(),
    ];
    for error in none {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error:#}");
    }
    let vtpm = Vtpm {
        uuid: Some(uuid::Uuid::new_v4()),
        ..Vtpm::default()
    };
    let vtpm = domain.vtpm_add(&vtpm).unwrap().wait().unwrap();
    assert_eq!(domain.vtpm_list().unwrap()[0].uuid, vtpm.uuid);
    assert_eq!(
        domain.vtpm_by_uuid(vtpm.uuid.unwrap()).unwrap().devid,
        vtpm.devid
    );
    let devid = vtpm.devid.expect("a number");
    assert_eq!(domain.vtpm_by_devid(devid).unwrap().uuid, vtpm.uuid);
    let error = domain.vtpm_by_devid(devid + 7).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:#}");
    assert_eq!(Some(domain.vtpm_info(&vtpm).unwrap().uuid), vtpm.uuid);
    domain.vtpm_destroy(&vtpm).unwrap().wait().unwrap();
    assert!(domain.vtpm_list().unwrap().is_empty());

    let vkb = domain
        .vkb_add(&Vkb {
            width: Some(640),
            height: Some(480),
            ..Vkb::default()
        })
        .unwrap()
        .wait()
        .unwrap();
    let listed = domain.vkb_list().unwrap();
    assert_eq!((listed.len(), listed[0].devid), (1, vkb.devid));
    domain.vkb_destroy(&vkb).unwrap().wait().unwrap();
    assert!(domain.vkb_list().unwrap().is_empty());
}

/// The device model of an HVM guest has USB controllers of its own.
#[test]
fn a_usb_controller_comes_and_goes() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::start(&ctx, &watcher, &tiny_config(Kind::Hvm, "usb", ""));
    let domain = &guest.domain;
    assert!(domain.usbctrl_list().unwrap().is_empty());
    let ctrl = Usbctrl {
        r#type: Some(UsbctrlType::Devicemodel),
        version: Some(3),
        ports: Some(4),
        ..Usbctrl::default()
    };
    let ctrl = domain.usbctrl_add(&ctrl).unwrap().wait().unwrap();
    assert_eq!(domain.usbctrl_list().unwrap().len(), 1);
    assert_eq!(domain.usbctrl_info(&ctrl).unwrap().ports, 4);
    assert_eq!(
        domain.usbctrl_by_devid(ctrl.devid.unwrap()).unwrap().ports,
        Some(4)
    );
    let error = domain
        .usbdev_add(&Usbdev::hostdev(99, 99))
        .unwrap()
        .wait()
        .unwrap_err();
    assert!(!error.is_domain_gone(), "{error:#}");
    domain.usbctrl_remove(&ctrl).unwrap().wait().unwrap();
    assert!(domain.usbctrl_list().unwrap().is_empty());
}

/// Without a device model the controller would need a backend in dom0, which the lab does not have.
#[test]
fn a_usb_controller_without_a_backend_is_refused() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "nousb", ""));
    let domain = &guest.domain;
    let ctrl = Usbctrl {
        r#type: Some(UsbctrlType::Qusb),
        version: Some(2),
        ports: Some(4),
        ..Usbctrl::default()
    };
    let error = domain.usbctrl_add(&ctrl).unwrap().wait().unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.contains("device model required but not running"),
        "{text}"
    );
    assert!(domain.usbctrl_list().unwrap().is_empty());
    assert!(domain.usbdev_list().unwrap().is_empty());
    // libxl would end the process here.
    let gone = Usbctrl {
        devid: Some(0),
        ..ctrl
    };
    let at = Usbdev {
        ctrl: Some(0),
        port: Some(1),
        ..Usbdev::hostdev(99, 99)
    };
    for error in [
        domain.usbdev_by_port(0, 1).unwrap_err(),
        domain.usbctrl_by_devid(0).unwrap_err(),
        domain.usbctrl_remove(&gone).unwrap().wait().unwrap_err(),
        domain.usbctrl_destroy(&gone).unwrap().wait().unwrap_err(),
        domain.usbdev_add(&at).unwrap().wait().unwrap_err(),
        domain.usbdev_remove(&at).unwrap().wait().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains("no USB controller 0"), "{error}");
    }
}

#[test]
fn a_shared_directory_is_added_where_libxl_can() {
    let ctx = context();
    let watcher = watcher();
    let guest = Guest::create(&ctx, &watcher, &tiny_config(Kind::Pv, "p9", ""));
    match guest.domain.p9_add(&P9::new("share", "/tmp")) {
        Ok(_) => assert!(have("p9_add")),
        Err(error) => {
            assert!(!have("p9_add"), "{error:#}");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("LIBXL_HAVE_P9_ADD"), "{error}");
        }
    }
}
