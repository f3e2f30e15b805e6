//! The lines of xl.cfg that a model may give instead of a PCI address.

use crate::spec::{IoPorts, Irqs};

/// Reads `irqs=[4]` and `ioports=['3f8-3ff']`. Several lines of one kind add up.
///
/// # Errors
/// The text contains anything else: text in a model never becomes other settings of a domain.
pub(super) fn xen_cfg(text: &str) -> Result<(Irqs, IoPorts), String> {
    let mut irqs = Irqs::new();
    let mut ports = IoPorts::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (key, value) = line
            .split_once('=')
            .map(|(k, v)| (k.trim(), v.trim()))
            .ok_or_else(|| format!("expected irqs=[…] or ioports=[…], found {line:?}"))?;
        let items = value
            .strip_prefix('[')
            .and_then(|v| v.strip_suffix(']'))
            .ok_or_else(|| format!("{key}: expected a list in brackets, found {value:?}"))?
            .split(',')
            .map(|item| item.trim().trim_matches(['\'', '"']))
            .filter(|item| !item.is_empty());
        for item in items {
            match key {
                "irqs" => {
                    let irq = item.parse().ok().filter(|irq| *irq < 1024);
                    irqs.push(irq.ok_or_else(|| {
                        format!("irqs: expected a number below 1024, found {item:?}")
                    })?);
                }
                "ioports" => ports.push(range(item).ok_or_else(|| {
                    format!("ioports: expected hexadecimal ports like 3f8-3ff, found {item:?}")
                })?),
                _ => return Err(format!("expected irqs or ioports, found {key:?}")),
            }
        }
    }
    Ok((irqs, ports))
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let hex = |s: &str| u16::from_str_radix(s.trim().trim_start_matches("0x"), 16).ok();
    let (first, last) = (hex(first)?, hex(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_add_up() {
        let text = "irqs=[4]\nioports=['3f8-3ff']\n\nirqs = [3, 5]\nioports=[\"2f8-2ff\",'60']\n";
        assert_eq!(
            xen_cfg(text),
            Ok((
                vec![4, 3, 5],
                vec![(0x3f8, 0x3ff), (0x2f8, 0x2ff), (0x60, 0x60)]
            ))
        );
        assert_eq!(xen_cfg(""), Ok((vec![], vec![])));
    }

    #[test]
    fn nothing_else_is_taken() {
        for (text, error) in [
            (
                "kernel='/x'",
                "kernel: expected a list in brackets, found \"'/x'\"",
            ),
            ("disk=['/x']", "expected irqs or ioports, found \"disk\""),
            (
                "irqs=[x]",
                "irqs: expected a number below 1024, found \"x\"",
            ),
            (
                "ioports=['3ff-3f8']",
                "ioports: expected hexadecimal ports like 3f8-3ff, found \"3ff-3f8\"",
            ),
            ("irqs", "expected irqs=[…] or ioports=[…], found \"irqs\""),
        ] {
            assert_eq!(xen_cfg(text).unwrap_err(), error);
        }
    }
}
