//! Screens: the emulated card, paravirtual screens, VNC, SDL and SPICE.

use super::ctext::{atoi, parts};
use super::devid::devid;
use super::reader::{Reader, Result};
use crate::config::{
    DomainConfig, DomainType, GfxPassthruKind, Guest, HvmInfo, SdlInfo, Secret, SpiceInfo, Vfb,
    VgaInterfaceType, Vkb, VncInfo,
};

/// Reads the screens, and the keyboards that belong to paravirtual ones.
pub(super) fn read(reader: &Reader<'_>, config: &mut DomainConfig) -> Result<()> {
    if reader.number("vncviewer").is_some() {
        reader.warn("vncviewer", "ignored: a viewer is started by hand");
    }
    config.vfbs = screens(reader);
    let kind = config.domain_type();
    // For a PV guest the keys for VNC mean a paravirtual screen, unless the guest has one. For PVH
    // they are read and have no effect.
    let wanted = kind == DomainType::Pv && config.vfbs.is_empty();
    if wanted && reader.number("vnc").is_some_and(|number| number != 0) {
        config.vfbs.push(Vfb {
            devid: devid(0),
            vnc: vnc(reader),
            sdl: sdl(reader),
            keymap: reader.text("keymap"),
            ..Vfb::default()
        });
    }
    config.vkbs = (0..config.vfbs.len())
        .map(|index| Vkb {
            devid: devid(index),
            ..Vkb::default()
        })
        .collect();
    config.b_info.dm_restrict = reader.flag("dm_restrict");
    match &mut config.b_info.guest {
        Guest::Hvm(hvm) => emulated(reader, hvm),
        Guest::Pv(_) | Guest::Pvh(_) => Ok(()),
    }
}

/// Reads the VNC server from the keys outside `vfb`.
fn vnc(reader: &Reader<'_>) -> VncInfo {
    VncInfo {
        enable: reader.flag("vnc"),
        listen: reader.text("vnclisten"),
        passwd: reader.text("vncpasswd").map(Secret::from),
        display: reader
            .cut_unsigned("vncdisplay")
            .filter(|&number| number != 0),
        findunused: reader.flag("vncunused"),
    }
}

/// Reads the SDL window from the keys outside `vfb`.
fn sdl(reader: &Reader<'_>) -> SdlInfo {
    SdlInfo {
        enable: reader.flag("sdl"),
        opengl: reader.flag("opengl"),
        display: reader.text("display"),
        xauthority: reader.text("xauthority"),
    }
}

/// Reads the screens of the key `vfb`.
fn screens(reader: &Reader<'_>) -> Vec<Vfb> {
    const KEY: &str = "vfb";
    let texts = reader.texts(KEY).unwrap_or_default();
    let one = |(index, text): (usize, &String)| {
        let mut vfb = Vfb {
            devid: devid(index),
            ..Vfb::default()
        };
        for part in parts(text) {
            let Some((name, value)) = part.split_once('=') else {
                reader.warn(
                    KEY,
                    format!("{part:?} and the rest are ignored; write name=value"),
                );
                break;
            };
            if !set_screen(&mut vfb, name, value) {
                reader.warn(KEY, format!("{name}: ignored; a screen does not have it"));
            }
        }
        vfb
    };
    texts.iter().enumerate().map(one).collect()
}

/// Sets a parameter. Returns false if no parameter has this name.
fn set_screen(vfb: &mut Vfb, name: &str, value: &str) -> bool {
    let flag = Some(atoi(value) != 0);
    let text = Some(value.to_owned());
    match name {
        "vnc" => vfb.vnc.enable = flag,
        "vnclisten" => vfb.vnc.listen = text,
        "vncpasswd" => vfb.vnc.passwd = text.map(Secret::from),
        "vncdisplay" => {
            let number = u32::try_from(atoi(value)).ok();
            vfb.vnc.display = number.filter(|&number| number != 0);
        }
        "vncunused" => vfb.vnc.findunused = flag,
        "keymap" => vfb.keymap = text,
        "sdl" => vfb.sdl.enable = flag,
        "opengl" => vfb.sdl.opengl = flag,
        "display" => vfb.sdl.display = text,
        "xauthority" => vfb.sdl.xauthority = text,
        _ => return false,
    }
    true
}

/// Reads the emulated card of an HVM guest, and the ways to see it.
fn emulated(reader: &Reader<'_>, hvm: &mut HvmInfo) -> Result<()> {
    hvm.vnc = vnc(reader);
    hvm.sdl = sdl(reader);
    hvm.spice = spice(reader);
    hvm.keymap = reader.text("keymap");
    hvm.vga.kind = card(reader)?;
    hvm.nographic = reader.flag("nographic");
    if let Some(number) = reader.quiet_number("gfx_passthru") {
        hvm.gfx_passthru = Some(number != 0);
    } else if reader.text("gfx_passthru").is_some() {
        hvm.gfx_passthru_kind = reader.word::<GfxPassthruKind>("gfx_passthru")?;
        hvm.gfx_passthru = Some(true);
    }
    let listen = hvm.vnc.listen.as_deref().unwrap_or_default();
    if hvm.vnc.display.is_some() && listen.contains(':') {
        return reader.refuse(
            "vncdisplay",
            "vnclisten has a display as well; leave one of the two out",
        );
    }
    Ok(())
}

fn card(reader: &Reader<'_>) -> Result<Option<VgaInterfaceType>> {
    let Some(text) = reader.text("vga") else {
        return Ok(reader.number("stdvga").map(|number| match number {
            0 => VgaInterfaceType::Cirrus,
            _ => VgaInterfaceType::Std,
        }));
    };
    match text.as_str() {
        "stdvga" => Ok(Some(VgaInterfaceType::Std)),
        "cirrus" => Ok(Some(VgaInterfaceType::Cirrus)),
        "none" => Ok(Some(VgaInterfaceType::None)),
        "qxl" => Ok(Some(VgaInterfaceType::Qxl)),
        _ => reader.refuse(
            "vga",
            format!("{text:?} is no graphics card; write stdvga, cirrus, qxl or none"),
        ),
    }
}

fn spice(reader: &Reader<'_>) -> SpiceInfo {
    let number = |key| reader.cut_unsigned(key).filter(|&number| number != 0);
    SpiceInfo {
        enable: reader.flag("spice"),
        port: number("spiceport"),
        tls_port: number("spicetls_port"),
        host: reader.text("spicehost"),
        disable_ticketing: reader.flag("spicedisable_ticketing"),
        passwd: reader.text("spicepasswd").map(Secret::from),
        agent_mouse: reader.flag("spiceagent_mouse"),
        vdagent: reader.flag("spicevdagent"),
        clipboard_sharing: reader.flag("spice_clipboard_sharing"),
        usbredirection: number("spiceusbredirection"),
        image_compression: reader.text("spice_image_compression"),
        streaming_video: reader.text("spice_streaming_video"),
    }
}
