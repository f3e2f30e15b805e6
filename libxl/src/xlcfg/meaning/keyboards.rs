//! Paravirtual keyboards, pointers and touch screens.

use super::ctext::{loose, low_u32, parts};
use super::devid::devid;
use super::reader::{Reader, Result};
use crate::config::{Vkb, VkbBackend};

const KEY: &str = "vkb";

/// Reads the keyboards of the key `vkb`, which are numbered after the `before` keyboards of the
/// screens.
pub(super) fn keyboards(reader: &Reader<'_>, before: usize) -> Result<Vec<Vkb>> {
    let mut all = Vec::new();
    for (index, text) in reader.texts(KEY).unwrap_or_default().iter().enumerate() {
        let mut vkb = Vkb {
            devid: devid(before + index),
            ..Vkb::default()
        };
        for part in parts(text) {
            let known = match part.split_once('=') {
                Some((name, value)) => set(reader, &mut vkb, name, value)?,
                None => false,
            };
            if !known {
                return reader.refuse(KEY, format!("{part:?}: a keyboard does not have it"));
            }
        }
        check(reader, &mut vkb)?;
        all.push(vkb);
    }
    Ok(all)
}

/// Sets a parameter. Returns false if no parameter has this name.
fn set(reader: &Reader<'_>, vkb: &mut Vkb, name: &str, value: &str) -> Result<bool> {
    let flag = loose(value) != 0;
    let number = Some(low_u32(loose(value))).filter(|&number| number != 0);
    match name {
        "backend" => vkb.backend_domname = Some(value.to_owned()),
        "backend-type" => {
            vkb.backend_type = reader.parse_word::<VkbBackend>(KEY, "backend-type=", value)?;
        }
        "unique-id" => vkb.unique_id = Some(value.to_owned()),
        "feature-disable-keyboard" => vkb.feature_disable_keyboard = flag,
        "feature-disable-pointer" => vkb.feature_disable_pointer = flag,
        "feature-abs-pointer" => vkb.feature_abs_pointer = flag,
        "feature-raw-pointer" => vkb.feature_raw_pointer = flag,
        "feature-multi-touch" => vkb.feature_multi_touch = flag,
        "multi-touch-width" => vkb.multi_touch_width = number,
        "multi-touch-height" => vkb.multi_touch_height = number,
        "multi-touch-num-contacts" => vkb.multi_touch_num_contacts = number,
        "width" => vkb.width = number,
        "height" => vkb.height = number,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Checks the required parameters: the backend type, and the size of a touch screen.
fn check(reader: &Reader<'_>, vkb: &mut Vkb) -> Result<()> {
    if vkb.backend_type.is_none() {
        return reader.refuse(
            KEY,
            "backend-type is missing; write backend-type=qemu or linux",
        );
    }
    let size = [
        vkb.multi_touch_width,
        vkb.multi_touch_height,
        vkb.multi_touch_num_contacts,
    ];
    if size.iter().any(Option::is_some) {
        vkb.feature_multi_touch = true;
    } else if vkb.feature_multi_touch {
        return reader.refuse(
            KEY,
            "a touch screen without size; write multi-touch-width, multi-touch-height, multi-touch-num-contacts",
        );
    }
    Ok(())
}
