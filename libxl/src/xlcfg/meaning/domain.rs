//! General settings of a domain: its kind, name, labels and rights.

use uuid::Uuid;

use super::ctext::{begins, unsigned};
use super::reader::{Reader, Result};
use crate::config::{
    BuildInfo, CreateInfo, DomainType, Guest, Passthrough, PvhInfo, XsQuotaItem, XsQuotaList,
};

/// Reads the kind of the domain. `xl` takes any prefix of a word, the empty text included.
pub(super) fn kind(reader: &Reader<'_>) -> Result<DomainType> {
    let of = |text: &str, words: &[(&str, DomainType)]| {
        let word = words.iter().find(|(word, _)| begins(word, text));
        word.map(|(_, kind)| *kind)
    };
    let kind = match reader.text("type") {
        None => None,
        Some(text) => {
            let words = [
                ("hvm", DomainType::Hvm),
                ("pv", DomainType::Pv),
                ("pvh", DomainType::Pvh),
            ];
            match of(&text, &words) {
                None => {
                    let message = format!("{text:?} is no kind of domain; write pv, pvh or hvm");
                    return reader.refuse("type", message);
                }
                known => known,
            }
        }
    };
    let Some(text) = reader.text("builder") else {
        return Ok(
            kind.unwrap_or(if cfg!(any(target_arch = "arm", target_arch = "aarch64")) {
                DomainType::Pvh
            } else {
                DomainType::Pv
            }),
        );
    };
    reader.warn("builder", "an old key; write type");
    let words = [("hvm", DomainType::Hvm), ("generic", DomainType::Pv)];
    match (of(&text, &words), kind) {
        (None, _) => reader.refuse(
            "builder",
            format!("{text:?} is no builder; write type = \"pv\", \"pvh\" or \"hvm\" instead"),
        ),
        (Some(old), Some(kind)) if old != kind => reader.refuse(
            "builder",
            format!("{text:?} contradicts type, which says {kind}; leave builder out"),
        ),
        (Some(old), _) => Ok(old),
    }
}

/// Reads the settings that Xen needs to create the domain, without the labels.
pub(super) fn create_info(reader: &Reader<'_>) -> Result<CreateInfo> {
    let Some(name) = reader.text("name") else {
        return reader.refuse("name", "a domain needs a name; write name = \"…\"");
    };
    Ok(CreateInfo {
        name,
        uuid: Some(uuid(reader)?),
        hap: reader.flag("hap"),
        oos: reader.flag("oos"),
        pool_name: reader.text("pool"),
        run_hotplug_scripts: Some(reader.xl_conf.run_hotplug_scripts),
        driver_domain: reader.flag("driver_domain"),
        passthrough: reader.word::<Passthrough>("passthrough")?,
        xend_suspend_evtchn_compat: reader.flag("xend_suspend_evtchn_compat"),
        ..CreateInfo::default()
    })
}

fn uuid(reader: &Reader<'_>) -> Result<Uuid> {
    let Some(text) = reader.text("uuid") else {
        return Ok(Uuid::new_v4());
    };
    match parse_uuid(&text) {
        Some(uuid) => Ok(uuid),
        None => reader.refuse(
            "uuid",
            format!("{text:?} is no UUID; write 8-4-4-4-12 hexadecimal digits with hyphens"),
        ),
    }
}

/// Parses a UUID in the only form that libuuid takes. The crate `uuid` takes other forms as well.
pub(super) fn parse_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}

/// Reads the labels for XSM. With `init_seclabel`, which applies while the domain is built,
/// `seclabel` is the label of the built domain.
pub(super) fn labels(reader: &Reader<'_>, c_info: &mut CreateInfo, b_info: &mut BuildInfo) {
    c_info.ssid_label = reader.text("init_seclabel");
    let label = reader.text("seclabel");
    if c_info.ssid_label.is_some() {
        b_info.exec_ssid_label = label;
    } else {
        c_info.ssid_label = label;
    }
}

/// Reads the rights of the domain, and the keys that belong to no other module.
pub(super) fn build_info(reader: &Reader<'_>, b_info: &mut BuildInfo) -> Result<()> {
    b_info.claim_mode = Some(reader.xl_conf.claim_mode);
    b_info.blkdev_start.clone_from(&reader.xl_conf.blkdev_start);
    b_info.disable_migrate = reader.flag("nomigrate");
    b_info.acpi = reader.flag("acpi");
    b_info.nested_hvm = reader.flag("nestedhvm");
    b_info.vpmu = reader.flag("vpmu");
    b_info.xenstore_feature_mask = reader.cut_unsigned("xenstore_feature_mask");
    b_info.xenstore_quota = quota(reader)?;
    b_info.arch_x86.msr_relaxed = reader.flag("msr_relaxed");
    if b_info.arch_x86.msr_relaxed.is_some() {
        reader.warn(
            "msr_relaxed",
            "a future Xen will not have this key; tell xen-devel@lists.xenproject.org if you need it",
        );
    }
    match &mut b_info.guest {
        Guest::Pv(pv) => pv.e820_host = reader.flag("e820_host"),
        Guest::Pvh(pvh) => *pvh = shim(reader),
        Guest::Hvm(_) => {}
    }
    Ok(())
}

fn shim(reader: &Reader<'_>) -> PvhInfo {
    PvhInfo {
        pvshim: reader.flag("pvshim"),
        pvshim_path: reader.text("pvshim_path"),
        pvshim_cmdline: reader.text("pvshim_cmdline"),
        pvshim_extra: reader.text("pvshim_extra"),
    }
}

/// Reads the limits in xenstore, `name=number` each.
fn quota(reader: &Reader<'_>) -> Result<XsQuotaList> {
    const KEY: &str = "xenstore_quota";
    let mut quota = Vec::new();
    for item in reader.only_texts(KEY)?.unwrap_or_default() {
        let parsed = item.split_once('=').and_then(|(name, value)| {
            let (value, rest) = unsigned(value, 0).filter(|(value, _)| *value != u64::MAX)?;
            let value = u32::try_from(value).ok().filter(|_| rest.is_empty())?;
            Some((name, value))
        });
        let Some((name, val)) = parsed else {
            let message = format!("{item:?} is no limit; write \"name=number\", up to 32 bits");
            return reader.refuse(KEY, message);
        };
        quota.push(XsQuotaItem {
            name: Some(name.to_owned()),
            val,
        });
    }
    Ok(XsQuotaList { quota })
}
