//! Every word of every enumeration.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::config::{
    ActionOnShutdown, Altp2mMode, ArmSciType, BiosType, DeviceModelVersion, DiskBackend,
    DiskFormat, DiskSpecification, DiskTransport, GfxPassthruKind, GicVersion, Hdtype, NicType,
    P9Type, Passthrough, RdmReservePolicy, RdmReserveStrategy, Scheduler, SmbiosType, SveType,
    TeeType, TimerMode, TscMode, UnknownWord, UsbctrlType, VendorDevice, VgaInterfaceType,
    ViridianEnlightenment, VirtioTransport, VkbBackend, VsndPcmFormat, VsndStreamType, VuartType,
};

fn check<T>(known: &[T], word: impl Fn(&T) -> String, other: impl Fn(String) -> T)
where
    T: Clone
        + Debug
        + Display
        + DeserializeOwned
        + FromStr<Err = UnknownWord>
        + PartialEq
        + Serialize,
{
    for value in known {
        let word = word(value);
        assert_eq!(word, word.to_lowercase(), "libxl prints lower case");
        assert_eq!(serde_json::to_value(value).unwrap(), json!(word));
        assert_eq!(serde_json::from_value::<T>(json!(word)).unwrap(), *value);
        assert_eq!(
            serde_json::from_value::<T>(json!(word.to_uppercase())).unwrap(),
            *value
        );
        assert_eq!(
            serde_json::from_reader::<_, T>(format!("\"{word}\"").as_bytes()).unwrap(),
            *value
        );
        assert_eq!(&word.parse::<T>().unwrap(), value);
        assert_eq!(&value.to_string().parse::<T>().unwrap(), value);
    }
    let new = other("new_word".to_owned());
    assert_eq!(serde_json::from_value::<T>(json!("new_word")).unwrap(), new);
    assert_eq!(serde_json::to_value(&new).unwrap(), json!("new_word"));
    assert_eq!(new.to_string(), "new_word");
    let error = "new_word".parse::<T>().unwrap_err();
    assert_eq!(error.expected().len(), known.len());
    assert!(
        error.to_string().starts_with("\"new_word\" is no "),
        "{error}"
    );
    assert!(serde_json::from_value::<T>(json!(1)).is_err());
}

macro_rules! check_all {
    ($($name:ident),* $(,)?) => { $( check($name::KNOWN, |value| value.word().to_owned(), $name::Other); )* };
}

#[test]
fn every_word_is_written_and_read() {
    check_all!(
        ActionOnShutdown,
        Altp2mMode,
        ArmSciType,
        BiosType,
        DeviceModelVersion,
        DiskBackend,
        DiskFormat,
        DiskSpecification,
        DiskTransport,
        GfxPassthruKind,
        GicVersion,
        Hdtype,
        NicType,
        P9Type,
        Passthrough,
        RdmReservePolicy,
        RdmReserveStrategy,
        Scheduler,
        SmbiosType,
        SveType,
        TeeType,
        TimerMode,
        TscMode,
        UsbctrlType,
        VendorDevice,
        VgaInterfaceType,
        ViridianEnlightenment,
        VirtioTransport,
        VkbBackend,
        VsndPcmFormat,
        VsndStreamType,
        VuartType,
    );
}

#[test]
fn actions_have_words_for_people() {
    for (word, action, in_json) in [
        ("destroy", ActionOnShutdown::Destroy, "destroy"),
        ("restart", ActionOnShutdown::Restart, "restart"),
        (
            "rename-restart",
            ActionOnShutdown::RenameRestart,
            "restart_rename",
        ),
        ("preserve", ActionOnShutdown::Preserve, "preserve"),
        (
            "coredump-destroy",
            ActionOnShutdown::CoredumpDestroy,
            "coredump_destroy",
        ),
        (
            "coredump-restart",
            ActionOnShutdown::CoredumpRestart,
            "coredump_restart",
        ),
        ("soft-reset", ActionOnShutdown::SoftReset, "soft_reset"),
    ] {
        assert_eq!(word.parse::<ActionOnShutdown>().unwrap(), action);
        assert_eq!(action.to_string(), word);
        assert_eq!(serde_json::to_value(&action).unwrap(), json!(in_json));
    }
    let error = "explode".parse::<ActionOnShutdown>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"explode\" is no ActionOnShutdown; known are destroy, restart, rename-restart, preserve, coredump-destroy, \
         coredump-restart, soft-reset",
    );
    assert_eq!(ActionOnShutdown::default(), ActionOnShutdown::Destroy);
}

#[test]
fn viridian_bits() {
    assert_eq!(ViridianEnlightenment::Base.bit(), Some(0));
    assert_eq!(ViridianEnlightenment::Synic.bit(), Some(7));
    assert_eq!(ViridianEnlightenment::CpuHotplug.bit(), Some(12));
    assert_eq!(ViridianEnlightenment::Other("new".to_owned()).bit(), None);
}
