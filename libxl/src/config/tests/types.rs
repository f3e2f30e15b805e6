//! Small types: sets, addresses, secrets.

use super::*;

#[test]
fn small_types() {
    assert_eq!(to_json(&Bitmap::from([9, 0, 3])), json!([0, 3, 9]));
    assert_eq!(
        from_json::<Bitmap>(json!([3, 9, 0, 3])),
        Bitmap::from([0, 3, 9])
    );
    assert_eq!(Bitmap::from([0, 1, 2, 5, 7, 8]).to_string(), "0-2,5,7-8");
    assert_eq!(
        Bitmap::from([u32::MAX - 1, u32::MAX]).to_string(),
        "4294967294-4294967295"
    );
    assert_eq!(Bitmap::new().to_string(), "");
    assert_eq!(format!("{:?}", Bitmap::first(2)), "Bitmap(0-1)");
    assert_eq!(Bitmap::first(0), Bitmap::new());

    let mut bitmap = Bitmap::from([4]);
    assert!(bitmap.insert(9) && !bitmap.insert(9));
    bitmap.extend([5, 6]);
    assert!(bitmap.remove(4) && !bitmap.remove(4));
    assert!(
        bitmap.contains(6) && !bitmap.contains(4) && !bitmap.is_empty() && Bitmap::new().is_empty()
    );
    assert_eq!(bitmap.iter().collect::<Vec<_>>(), [5, 6, 9]);
    assert_eq!(
        (bitmap.len(), bitmap.last(), Bitmap::new().last()),
        (3, Some(9), None)
    );

    assert_eq!(to_json(&MsVmGenid([7; 16])), json!(vec![7; 16]));
    assert_eq!(
        from_json::<MsVmGenid>(json!(vec![255; 16])),
        MsVmGenid([255; 16])
    );
    assert!(serde_json::from_value::<MsVmGenid>(json!([1, 2])).is_err());
    assert_ne!(MsVmGenid::generate(), MsVmGenid::generate());

    assert_eq!(
        to_json(&IomemRange {
            start: 1,
            number: 0,
            gfn: None
        }),
        json!({ "start": 1, "number": 0 })
    );

    let nil: CreateInfo = from_json(json!({ "uuid": "00000000-0000-0000-0000-000000000000" }));
    assert_eq!(nil.uuid, None);
}

#[test]
fn ethernet_addresses() {
    let mac = Mac([0, 0x16, 0x3e, 0xff, 1, 2]);
    assert_eq!("00:16:3E:ff:01:02".parse(), Ok(mac));
    assert_eq!(to_json(&mac), json!("00:16:3e:ff:01:02"));
    assert_eq!(from_json::<Mac>(json!("00:16:3E:FF:01:02")), mac);
    assert!(Mac::default().is_nil() && !mac.is_nil());
    assert_eq!(format!("{mac:?}"), "Mac(00:16:3e:ff:01:02)");
    for wrong in [
        "",
        "00:16:3e:00:01",
        "00:16:3e:00:01:02:03",
        "0:16:3e:0:1:2",
        "00:16:3e:00:01:0g",
        "00:16:3e:00:01:+2",
        "é:0",
    ] {
        let error = wrong.parse::<Mac>().unwrap_err();
        assert!(error.to_string().contains("Ethernet"), "{wrong}");
    }
}

#[test]
fn pci_addresses() {
    assert_eq!("07:00.1".parse(), Ok(Pci::new(0, 7, 0, 1)));
    assert_eq!("0000:ff:1F.7".parse(), Ok(Pci::new(0, 0xff, 0x1f, 7)));
    assert_eq!("abcd:1:2.3".parse(), Ok(Pci::new(0xabcd, 1, 2, 3)));
    let all = Pci {
        vfunc_mask: Some(Pci::ALL_FUNCTIONS),
        ..Pci::new(0, 1, 2, 0)
    };
    assert_eq!("0000:01:02.*".parse(), Ok(all));
    for wrong in [
        "",
        "07:00",
        "07.1",
        "0:0:07:00.1",
        "07:20.0",
        "07:00.8",
        "107:00.0",
        "12345:07:00.0",
        "07:00.",
        ":00.0",
        "+7:00.0",
        "07:00.**",
    ] {
        let error = wrong.parse::<Pci>().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{wrong:?} is no PCI address")),
            "{error}"
        );
    }
}

#[test]
fn unions() {
    let pty = Channel::pty("a");
    assert_eq!(to_json(&pty), json!({ "name": "a", "connection.pty": {} }));
    assert_eq!(from_json::<Channel>(to_json(&pty)), pty);
    let socket = ChannelConnection::Socket { path: None };
    assert_eq!(
        to_json(&Channel {
            connection: socket,
            ..pty
        }),
        json!({ "name": "a", "connection.socket": {} })
    );
    assert_eq!(
        to_json(&Guest::from(PvhInfo::default())),
        json!({ "type.pvh": {} })
    );
}
