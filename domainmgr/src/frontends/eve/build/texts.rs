//! Names, paths and command lines.

use uuid::Uuid;

use super::fields::Result;
use crate::base::field_error::FieldError;
use crate::frontends::eve::config::DomainConfig;
use crate::spec::limits;
use crate::spec::{Mode, Spec};

pub(super) fn name(c: &DomainConfig) -> Result<String> {
    let bad = |reason: String| Err(FieldError::new("DisplayName", reason));
    if c.display_name.is_empty() {
        return bad("missing".to_owned());
    }
    if c.display_name
        .chars()
        .all(|c| c.is_whitespace() || c == '\u{2800}')
    {
        return bad(format!("{:?} is blank", c.display_name));
    }
    // The name becomes part of paths in xenstore, of the names of log files, and of one of QEMU's options. There a comma
    // ends a value, and the text before a `=` is the name of one.
    let odd = |c: &char| {
        c.is_control() || is_invisible(*c) || matches!(c, '/' | '"' | '\'' | '\\' | ',' | '=')
    };
    if let Some(c) = c.display_name.chars().find(odd) {
        return bad(format!("{c:?} cannot be in the name of a domain"));
    }
    let name = format!("{}.{}", c.display_name, c.app_num);
    if name.len() > 128 {
        return bad(format!(
            "{} bytes, at most 128 with \".{}\"",
            name.len(),
            c.app_num
        ));
    }
    Ok(name)
}

/// Checks the paths and texts that do not depend on other fields.
pub(super) fn texts(c: &DomainConfig) -> Result<()> {
    for (field, text) in [
        ("Kernel", &c.kernel),
        ("Ramdisk", &c.ramdisk),
        ("DeviceTree", &c.device_tree),
    ] {
        path(field, text)?;
    }
    for (field, text) in [
        ("BootLoader", &c.boot_loader),
        ("RootDev", &c.root_dev),
        ("ExtraArgs", &c.extra_args),
        ("VncPasswd", &c.vnc_passwd.0),
    ] {
        plain(field, text)?;
    }
    // A blank begins another parameter of the kernel, and Linux takes `"` for the start of a quotation.
    if c.root_dev.contains(|c: char| c.is_whitespace() || c == '"') {
        return Err(FieldError::new(
            "RootDev",
            format!(
                "white space and \" cannot be part of it, found {:?}",
                c.root_dev
            ),
        ));
    }
    for (i, node) in c.dt_dev.iter().enumerate() {
        path(&format!("DtDev[{i}]"), node)?;
    }
    Ok(())
}

/// Returns whether `c` makes one name look like another.
///
/// These characters are Unicode's `Default_Ignorable_Code_Point`, which turn the direction of writing, join letters or take
/// no room, and the separators of lines.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Refuses control characters other than tabs: a NUL ends a string in C, and a line break ends one in xl.cfg.
pub(super) fn plain(field: &str, text: &str) -> Result<()> {
    match text.chars().find(|c| c.is_control() && *c != '\t') {
        None => Ok(()),
        Some(c) => Err(FieldError::new(
            field,
            format!("{c:?} cannot be part of it"),
        )),
    }
}

pub(super) fn path(field: &str, text: &str) -> Result<()> {
    plain(field, text)?;
    if text.is_empty() || text.starts_with('/') {
        Ok(())
    } else {
        Err(FieldError::new(
            field,
            format!("expected an absolute path, found {text:?}"),
        ))
    }
}

pub(super) fn extra(key: Uuid, c: &DomainConfig, mode: Mode) -> String {
    if mode == Mode::Pv {
        let text = format!("console=hvc0 appuuid={key} {}", c.extra_args);
        text.trim_end().to_owned()
    } else {
        c.extra_args.clone()
    }
}

/// Checks the length of the kernel's command line, which Xen would cut off.
pub(super) fn command_line(c: &DomainConfig, spec: &Spec) -> Result<()> {
    let most = match spec.mode {
        Mode::Pv => limits::PV_COMMAND_LINE,
        Mode::Hvm | Mode::Pvh => limits::COMMAND_LINE,
    };
    let length = spec.cmdline().len();
    if length <= most {
        return Ok(());
    }
    let field = if c.root_dev.len() > c.extra_args.len() {
        "RootDev"
    } else {
        "ExtraArgs"
    };
    Err(FieldError::new(
        field,
        format!(
            "the command line has {length} bytes, at most {most} for a {} domain",
            spec.mode.word()
        ),
    ))
}
