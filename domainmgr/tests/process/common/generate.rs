//! DomainConfigs of every kind, valid and slightly wrong.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

type Text = BoxedStrategy<String>;
type Json = BoxedStrategy<Value>;

/// Weight of an odd value against a hundred usual ones.
#[derive(Clone, Copy)]
struct Odd(u32);

impl Odd {
    fn text(self) -> Text {
        prop_oneof![
            100 => "[a-z][a-z0-9]{0,8}",
            self.0 => "\\PC{0,12}",
            self.0 => "[,;:'\"\\\\ $`=\\[\\]{}#%+@*/-]{1,6}",
            self.0 => "[a-z]{11,16}",
            self.0 => "a{120,130}",
            self.0 => "[a\u{200d}\u{61c}\u{2800} ]{1,3}",
        ]
        .boxed()
    }

    fn path(self) -> Text {
        prop_oneof![
            100 => self.text().prop_map(|t| format!("/k/{t}")),
            self.0 => self.text(),
        ]
        .boxed()
    }

    fn of(self, usual: &[Value], odd: &[Value]) -> Json {
        let [usual, odd] = [usual, odd].map(|values| proptest::sample::select(values.to_vec()));
        prop_oneof![100 => usual, self.0 => odd].boxed()
    }

    fn number(self, usual: std::ops::Range<i64>, odd: &[i64]) -> Json {
        let odd: Vec<Value> = odd.iter().map(|n| json!(n)).collect();
        prop_oneof![100 => usual.prop_map(Value::from), self.0 => proptest::sample::select(odd)]
            .boxed()
    }

    fn list(self, of: Json, most: usize) -> Json {
        prop_oneof![
            100 => proptest::collection::vec(of.clone(), 0..4),
            self.0 => proptest::collection::vec(of, 4..most),
        ]
        .prop_map(Value::from)
        .boxed()
    }

    fn disk(self) -> Json {
        let flag = || self.of(&[json!(true), json!(false)], &[json!("yes")]);
        object(vec![
            ("FileLocation", 0.999, texts(self.path())),
            (
                "ImageSha256",
                0.2,
                self.of(&[json!("ab12"), json!("")], &[json!("../x")]),
            ),
            (
                "Format",
                0.7,
                self.of(
                    &[
                        json!("raw"),
                        json!("qcow2"),
                        json!("VHD"),
                        json!("iso"),
                        json!(1),
                        json!(3),
                        json!(9),
                        json!(0),
                    ],
                    &[json!("vmdk"), json!(8), json!(12), json!([])],
                ),
            ),
            (
                "Devtype",
                0.2,
                self.of(&[json!(""), json!("hdd"), json!("cdrom")], &[json!("tape")]),
            ),
            ("ReadOnly", 0.1, flag()),
            ("Preserve", 0.2, flag()),
            ("Shared", 0.05, flag()),
            ("Maxsizebytes", 0.1, self.number(0..1 << 40, &[-1])),
        ])
    }

    fn vif(self) -> Json {
        object(vec![
            ("Bridge", 0.6, texts(self.text())),
            (
                "Vif",
                0.5,
                texts(
                    prop_oneof![
                        100 => self.text(),
                        self.0 => proptest::sample::select(vec!["all", "default", "eth0", "lo", "xenbr0"])
                            .prop_map(str::to_owned),
                    ]
                    .boxed(),
                ),
            ),
            (
                "Mac",
                0.5,
                self.of(
                    &[
                        json!("00:16:3e:00:00:01"),
                        json!("02:AB:00:00:00:02"),
                        json!("ABY+AAED"),
                        json!(""),
                    ],
                    &[
                        json!("01:00:00:00:00:00"),
                        json!("00:00:00:00:00:00"),
                        json!("nonsense"),
                        json!("ABY="),
                    ],
                ),
            ),
            (
                "Type",
                0.2,
                self.of(
                    &[json!("vif"), json!("")],
                    &[json!("ioemu"), json!("e1000")],
                ),
            ),
            (
                "MTU",
                0.3,
                self.of(
                    &[json!(0), json!(1400), json!(9000), json!(65_517)],
                    &[json!(67), json!(65_518), json!(-1)],
                ),
            ),
        ])
    }
}

fn texts(strategy: Text) -> Json {
    strategy.prop_map(Value::from).boxed()
}

/// Each field with a chance, or left out.
fn object(fields: Vec<(&'static str, f64, Json)>) -> Json {
    let each: Vec<_> = fields
        .into_iter()
        .map(|(name, chance, value)| {
            proptest::option::weighted(chance.min(0.999), value)
                .prop_map(move |v| v.map(|v| (name.to_owned(), v)))
        })
        .collect();
    each.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>()))
        .boxed()
}

/// A DomainConfig for the key: half of them as people write them, half of them stranger.
pub fn config(key: &str) -> BoxedStrategy<Value> {
    prop_oneof![of(Odd(1), key), of(Odd(8), key)].boxed()
}

fn of(odd: Odd, key: &str) -> Json {
    let key = json!({"UUID": key, "Version": "1"});
    let user_data = || {
        odd.of(
            &[json!("aGk="), json!(""), json!(null)],
            &[json!("aGk"), json!(7)],
        )
    };
    let flag = || odd.of(&[json!(true), json!(false)], &[json!(1)]);
    let actions = || {
        odd.of(
            &[
                "",
                "destroy",
                "restart",
                "preserve",
                "coredump-destroy",
                "soft-reset",
            ]
            .map(Value::from),
            &["rename_restart", "rename-restart", "explode"].map(Value::from),
        )
    };
    let mut fields = vec![
        ("UUIDandVersion", 1.0, Just(key).boxed()),
        ("DisplayName", 1.0, texts(odd.text())),
        ("AppNum", 0.7, odd.number(0..9, &[-1, 1 << 40])),
        ("Kernel", 1.0, texts(odd.path())),
        ("Ramdisk", 0.3, texts(odd.path())),
        ("DeviceTree", 0.1, texts(odd.path())),
        (
            "Memory",
            1.0,
            odd.number(
                12 << 10..1 << 22,
                &[0, -1, 1 << 41, 1, 1025, 3072, 4095, 8192, 9 << 10],
            ),
        ),
        ("MaxMem", 0.2, odd.number(1 << 22..1 << 23, &[0, 1])),
        (
            "VCpus",
            0.4,
            odd.number(0..9, &[128, 129, 512, 513, 1 << 32]),
        ),
        ("MaxCpus", 0.3, odd.number(9..20, &[1, 128, 129, 512, 513])),
        (
            "CPUs",
            0.2,
            odd.of(
                &[json!("0"), json!("0-3,5"), json!([1, 2]), json!("")],
                &[
                    json!("5-2"),
                    json!("4096"),
                    json!("4000-4095"),
                    json!(","),
                    json!(3),
                    json!([-1]),
                ],
            ),
        ),
        ("RootDev", 0.2, texts(odd.path())),
        (
            "ExtraArgs",
            0.4,
            texts(prop_oneof![100 => odd.text(), odd.0 => "[a-z ]{900,1100}"].boxed()),
        ),
        (
            "BootLoader",
            0.2,
            odd.of(
                &[json!("pygrub"), json!("/usr/lib/xen/bin/pygrub"), json!("")],
                &[
                    "\n",
                    "pygrub --debug",
                    "../pygrub",
                    "nosuch",
                    "/opt/mypygrub",
                ]
                .map(Value::from),
            ),
        ),
        (
            "VirtualizationMode",
            0.9,
            odd.of(
                &[
                    json!(0),
                    json!(1),
                    json!("PV"),
                    json!("HVM"),
                    json!("pvh"),
                    json!("PVH"),
                ],
                &[json!(3), json!("x"), json!(null)],
            ),
        ),
        ("EnableVnc", 0.3, flag()),
        ("VncDisplay", 0.3, odd.number(0..99, &[59_635, 59_636])),
        ("VncPasswd", 0.2, texts(odd.text())),
        (
            "VncListen",
            0.2,
            odd.of(
                &[json!(""), json!("0.0.0.0"), json!("::1"), json!("::")],
                &[
                    "here",
                    "224.0.0.1",
                    "255.255.255.255",
                    "ff02::1",
                    "192.0.2.7",
                ]
                .map(Value::from),
            ),
        ),
        ("DiskConfigList", 0.7, odd.list(odd.disk(), 28)),
        ("VifList", 0.6, odd.list(odd.vif(), 36)),
        (
            "IRQs",
            0.1,
            odd.of(
                &[json!([]), json!([5]), json!([5, 5, 7])],
                &[json!([-1]), json!([0]), json!([1024])],
            ),
        ),
        (
            "IOMem",
            0.1,
            odd.of(
                &[json!(["0xf7020,1"]), json!(["ffffffffff,1"]), json!([])],
                &[json!(["f7020,0"]), json!(["ffffffffff,2"])],
            ),
        ),
        ("DtDev", 0.05, odd.of(&[json!(["/a"])], &[json!(["a"])])),
        (
            "IoAdapterList",
            0.05,
            odd.of(
                &[json!([]), json!([{"Type": 1, "Name": "eth1"}])],
                &[json!([{"Type": 1}])],
            ),
        ),
        ("CloudInitUserData", 0.2, user_data()),
        ("pubsub-large-CloudInitUserData", 0.1, user_data()),
        ("CloudInitVersion", 0.1, odd.number(0..9, &[-1])),
        ("MetaDataType", 0.1, odd.number(0..2, &[2, 3, 9])),
        ("IsContainer", 0.05, odd.of(&[json!(false)], &[json!(true)])),
        ("GPUConfig", 0.05, odd.of(&[json!("")], &[json!("legacy")])),
        (
            "OnDeviceModelExit",
            0.1,
            odd.of(&[json!("keep"), json!("restart")], &[json!("x")]),
        ),
        ("Priority", 0.1, odd.number(-9..9, &[1 << 40])),
        (
            "After",
            0.1,
            odd.of(
                &[json!([]), json!(["db", "web"])],
                &[json!([""]), json!("db")],
            ),
        ),
        (
            "OnHostStop",
            0.1,
            odd.of(&[json!("save"), json!("shutdown")], &[json!("x")]),
        ),
    ];
    for field in [
        "OnPoweroff",
        "OnReboot",
        "OnCrash",
        "OnWatchdog",
        "OnSoftReset",
    ] {
        fields.push((field, 0.1, actions()));
    }
    object(fields)
}
