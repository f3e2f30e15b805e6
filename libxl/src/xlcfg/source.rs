//! The text of a configuration: its origin, and the places of the keys in it.

use std::{ffi::c_char, fs, path::Path, ptr};

use libxl_sys as sys;

use super::XlConfig;
use crate::{Error, ErrorKind, Result, raw::c_string};

/// The origin of a configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    /// The name that libxlutil puts before the line in its complaints.
    pub(super) name: String,
    /// Words that may be keys, in their order and each once. libxlutil cannot list its keys, so these
    /// are found in the text, and libxlutil is asked about each.
    pub(super) candidates: Vec<String>,
    /// The line on which the first override stands, and the overrides.
    pub(super) overrides: Option<(usize, Vec<String>)>,
}

/// The place of a key: a line of the file, or an override.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A line of the file, counted from 1.
    Line(usize),
    /// An override that came after the file, as it was given.
    Override(String),
}

impl Source {
    pub(super) fn new(name: &str, text: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            candidates: candidates(text),
            overrides: None,
        }
    }

    /// The place that a line number of libxlutil's stands for.
    fn place(&self, line: usize) -> Place {
        let Some((first, overrides)) = &self.overrides else {
            return Place::Line(line);
        };
        let mut at = *first;
        if line < at {
            return Place::Line(line);
        }
        for one in overrides {
            at += one.matches('\n').count() + 1;
            if line < at {
                return Place::Override(one.clone());
            }
        }
        Place::Line(line)
    }
}

/// Joins a file and its overrides as `xl create` does: each override is a line of its own after the
/// file.
pub(super) fn join(file: &[u8], overrides: &[String]) -> (Vec<u8>, Option<(usize, Vec<String>)>) {
    let mut text = file.to_vec();
    if overrides.is_empty() {
        return (text, None);
    }
    let newlines = file.iter().filter(|&&byte| byte == b'\n').count();
    text.push(b'\n');
    for one in overrides {
        text.extend(one.as_bytes());
        text.push(b'\n');
    }
    text.push(b'\n');
    (text, Some((newlines + 2, overrides.to_vec())))
}

/// The words before an equals sign that are outside strings, comments and lists.
fn candidates(text: &[u8]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut depth = 0_usize;
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'#' => while bytes.next().is_some_and(|byte| byte != b'\n') {},
            b'\'' | b'"' => skip_string(&mut bytes, byte),
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' => {
                word.push(char::from(byte));
                continue;
            }
            b' ' | b'\t' | b'+' => continue,
            b'=' if depth == 0 && !word.is_empty() && !found.contains(&word) => {
                found.push(word.clone());
            }
            _ => {}
        }
        word.clear();
    }
    found
}

fn skip_string(bytes: &mut impl Iterator<Item = u8>, quote: u8) {
    while let Some(byte) = bytes.next() {
        if byte == quote {
            return;
        }
        if byte == b'\\' {
            bytes.next();
        }
    }
}

impl XlConfig {
    /// Reads a text and the lines after it that override its values, as the arguments `key=value` of
    /// `xl create` do.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] with the place of the mistake, or for an override without `=`.
    pub fn parse_with(text: &str, name: &str, overrides: &[String]) -> Result<Self> {
        Self::joined(text.as_bytes(), name, overrides)
    }

    /// Reads a file and the lines after it that override its values, as the arguments `key=value` of
    /// `xl create` do.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] when the file cannot be read, [`ErrorKind::Invalid`] with the place of the
    /// mistake, or for an override without `=`.
    pub fn read_with(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = fs::read(path).map_err(|e| {
            let message = format!("{}: {e}", path.display());
            Error::io("xlu_cfg_readdata", e).with_message(message)
        })?;
        Self::joined(&text, &path.display().to_string(), overrides)
    }

    fn joined(file: &[u8], name: &str, overrides: &[String]) -> Result<Self> {
        if let Some(wrong) = overrides.iter().find(|one| !one.contains('=')) {
            return Err(Error::new(ErrorKind::Invalid, "xlu_cfg_readdata").with_message(format!(
                "{wrong:?} overrides nothing: write key=value, with quotes around a value that is a text"
            )));
        }
        let (text, overrides) = join(file, overrides);
        let source = Source {
            overrides,
            ..Source::new(name, &text)
        };
        Self::parse_bytes(&text, source)
    }

    /// The name of the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.1.name
    }

    /// The keys of the file, in the order of their first appearance.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        let all = self.1.candidates.iter().map(String::as_str);
        all.filter(|key| self.place(key).is_some()).collect()
    }

    /// Returns the place of the last value of a key; `None` if the file does not have the key.
    ///
    /// For a value that spans several lines, the place is the line of its end.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<Place> {
        let (report, key) = (
            &self.0.report,
            c_string("xlu_cfg_get_list", "name", key).ok()?,
        );
        let mut text: *const c_char = ptr::null();
        let mut list = ptr::null_mut();
        report.take();
        // libxlutil reports the line only of a value of the wrong kind, so both kinds are
        // requested.
        // SAFETY: xlu_cfg_get_string reads the configuration and a NUL-terminated name, and stores
        // a pointer to its own string.
        let errno =
            unsafe { sys::xlu_cfg_get_string(self.0.as_ptr(), key.as_ptr(), &raw mut text, 0) };
        if errno == 0 {
            // SAFETY: xlu_cfg_get_list reads the same, stores a pointer to its own list, and takes
            // NULL for the count.
            unsafe {
                sys::xlu_cfg_get_list(
                    self.0.as_ptr(),
                    key.as_ptr(),
                    &raw mut list,
                    ptr::null_mut(),
                    0,
                )
            };
        }
        let said = report.take();
        let after = said.strip_prefix(self.name())?.strip_prefix(':')?;
        let digits = after.split(':').next()?;
        Some(self.1.place(digits.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_where_they_are() {
        let config = XlConfig::parse(
            "# no = 1\nname = 'a = b'\nmemory=5 ; vcpus += 2\nlist = [ 'x=1',\n  'y' ]\n",
            "a:b.cfg",
        )
        .unwrap();
        assert_eq!(config.keys(), ["name", "memory", "vcpus", "list"]);
        assert_eq!(config.place("name"), Some(Place::Line(2)));
        assert_eq!(config.place("vcpus"), Some(Place::Line(3)));
        assert_eq!(config.place("no"), None);
        assert!(config.place("list").is_some());
    }

    #[test]
    fn overrides_have_their_place() {
        let overrides = ["memory=7".to_owned(), "vcpus=3".to_owned()];
        let config = XlConfig::parse_with("name='a'\nvcpus=2\n", "a.cfg", &overrides).unwrap();
        assert_eq!(config.number("vcpus").unwrap(), Some(3));
        assert_eq!(config.place("name"), Some(Place::Line(1)));
        assert_eq!(
            config.place("memory"),
            Some(Place::Override("memory=7".into()))
        );
        assert_eq!(
            config.place("vcpus"),
            Some(Place::Override("vcpus=3".into()))
        );
    }
}
