//! The CPUID leaves that the guest sees.

use std::ffi::{c_char, c_int};

use libxl_sys as sys;
use serde_json::Value as Json;

use super::reader::{Reader, Result};
use crate::{
    Context,
    config::CpuidPolicy,
    raw::{Owned, c_string},
    xlcfg::file::Value,
};

const KEY: &str = "cpuid";

/// Signature of the two functions of libxl that parse an item.
type Parse = unsafe extern "C" fn(*mut sys::libxl_cpuid_policy_list, *const c_char) -> c_int;

/// Reads the policy: a list of leaves in xend's form, or `host` and the features that differ. `xl`
/// goes on after an item that libxl does not understand.
pub(super) fn read(reader: &Reader<'_>) -> Result<CpuidPolicy> {
    let (items, parse): (Vec<String>, Parse) = match reader.value(KEY) {
        None => return Ok(CpuidPolicy::default()),
        Some(Value::List(list)) => (
            reader.leading_texts(KEY, list),
            sys::libxl_cpuid_parse_config_xend,
        ),
        Some(Value::String(text)) => {
            let mut parts = text.split(',').filter(|part| !part.is_empty());
            match parts.next() {
                None => return Ok(CpuidPolicy::default()),
                Some("host") => {}
                Some(other) => {
                    reader.warn(
                        KEY,
                        format!("ignored: it begins with {other:?}; write \"host,feature=0\""),
                    );
                    return Ok(CpuidPolicy::default());
                }
            }
            let items = parts.map(str::to_owned).collect();
            (items, sys::libxl_cpuid_parse_config)
        }
    };
    if items.is_empty() {
        return Ok(CpuidPolicy::default());
    }
    match &reader.host.context {
        Some(context) => policy(reader, context, &items, parse),
        None => reader.refuse(
            KEY,
            "the features are known to libxl only, which is not at hand; leave the key out, or read the file on a Xen host",
        ),
    }
}

fn policy(
    reader: &Reader<'_>,
    context: &Context,
    items: &[String],
    parse: Parse,
) -> Result<CpuidPolicy> {
    let config = Owned::<sys::libxl_domain_config>::new();
    for item in items {
        let Ok(text) = c_string("libxl_cpuid_parse_config", "item", item) else {
            return reader.refuse(KEY, format!("{item:?} has a NUL in it"));
        };
        let mut text = text.into_bytes_with_nul();
        // libxl reads the third character of a register's name before it has checked that there is
        // a second one.
        text.extend([0, 0]);
        // SAFETY: both functions read a NUL-terminated text, and no more than two bytes behind it,
        // and add to the policy of a structure that was initialised, which owns what they add.
        let rc = unsafe {
            parse(
                &raw mut (*config.as_ptr()).b_info.cpuid,
                text.as_ptr().cast(),
            )
        };
        if rc != 0 {
            reader.warn(
                KEY,
                format!("{item:?} is not understood; write feature=0, 1, x, k or s, or a leaf as \"1:edx=…\" with 32 characters"),
            );
        }
    }
    // A policy has a JSON form only within a configuration.
    let json: Json = match context.read_c(config.as_ptr()) {
        Ok(json) => json,
        Err(error) => return reader.refuse(KEY, error.to_string()),
    };
    let policy = json.pointer("/b_info/cpuid").cloned();
    let policy = policy.map_or_else(|| Ok(CpuidPolicy::default()), serde_json::from_value);
    policy.or_else(|error| reader.refuse(KEY, error.to_string()))
}
