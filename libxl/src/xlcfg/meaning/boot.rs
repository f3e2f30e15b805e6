//! Boot settings: kernel, bootloader, firmware.

use super::ctext::{begins, split};
use super::reader::{Reader, Result};
use crate::{config::BuildInfo, xlcfg::file::Value};

/// Reads kernel and bootloader.
pub(super) fn read(reader: &Reader<'_>, b_info: &mut BuildInfo) -> Result<()> {
    b_info.kernel = reader.text("kernel");
    b_info.ramdisk = reader.text("ramdisk");
    b_info.device_tree = reader.text("device_tree");
    b_info.cmdline = cmdline(reader);
    b_info.bootloader = reader.text("bootloader");
    b_info.bootloader_args = bootloader_args(reader)?;
    if reader.release.has(18) {
        let own = reader.flag("bootloader_restrict");
        b_info.bootloader_restrict = own.or(reader.xl_conf.bootloader_restrict);
        b_info.bootloader_user = reader.text("bootloader_user");
    }
    Ok(())
}

/// Reads the kernel's command line. `root` and `extra` are old keys for parts of it.
fn cmdline(reader: &Reader<'_>) -> Option<String> {
    let (root, extra) = (reader.text("root"), reader.text("extra"));
    if let Some(cmdline) = reader.text("cmdline") {
        for (key, text) in [("root", &root), ("extra", &extra)] {
            if text.is_some() {
                reader.warn(key, "ignored: cmdline is there; write all of it there");
            }
        }
        return Some(cmdline);
    }
    match (root, extra) {
        (Some(root), Some(extra)) => Some(format!("root={root} {extra}")),
        (Some(root), None) => Some(format!("root={root}")),
        (None, extra) => extra,
    }
}

fn bootloader_args(reader: &Reader<'_>) -> Result<Vec<String>> {
    const KEY: &str = "bootloader_args";
    match reader.value(KEY) {
        None => Ok(Vec::new()),
        Some(Value::List(list)) => Ok(reader.leading_texts(KEY, list)),
        Some(Value::String(text)) => {
            reader.warn(
                KEY,
                "a single text is the old form; write a list of arguments",
            );
            match split(&text, &[' ', '\t', '\n']) {
                Some(args) => Ok(args.into_iter().map(str::to_owned).collect()),
                None => reader.refuse(KEY, "the text is blank; leave the key out"),
            }
        }
    }
}

/// Reads the firmware of a PV or PVH guest, which stands for a kernel, and checks that there is
/// something to start.
pub(super) fn firmware(reader: &Reader<'_>, b_info: &mut BuildInfo) -> Result<()> {
    const KEY: &str = "firmware";
    if let Some(text) = reader.text(KEY) {
        if b_info.kernel.is_some() {
            return reader.refuse(KEY, "there is a kernel as well; leave one of the two out");
        }
        if !["pvgrub32", "pvgrub64"]
            .iter()
            .any(|word| begins(word, &text))
        {
            return reader.refuse(
                KEY,
                format!("{text:?} is for HVM guests; write pvgrub32 or pvgrub64, or name a kernel"),
            );
        }
        b_info.kernel = Some(format!("{}/{text}.bin", reader.host.firmware_dir));
    }
    if b_info.kernel.is_none() && b_info.bootloader.is_none() {
        return reader.refuse(
            "kernel",
            "nothing to start; write kernel, bootloader or firmware",
        );
    }
    Ok(())
}
