//! A file of keys and values, and the values of its keys.

use std::{
    ffi::{CStr, c_char, c_int, c_long},
    fmt, fs,
    path::Path,
    ptr,
};

use libxl_sys as sys;

use super::{
    libxlutil::Raw,
    source::{Place, Source, join, newlines},
};
use crate::{
    Error, ErrorKind, Result,
    raw::{c_string, copy_str},
};

/// A value in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A text or a number; the grammar does not distinguish the two.
    String(String),
    /// A list.
    List(Vec<Value>),
}

/// A file of keys and values that has been read.
#[doc(alias = "XLU_Config")]
#[doc(alias = "xlu_cfg_destroy")]
pub struct XlConfig(Raw, Source);

impl fmt::Debug for XlConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XlConfig")
            .field("name", &self.1.name)
            .finish_non_exhaustive()
    }
}

impl XlConfig {
    /// Parses a text; `name` stands for the file in complaints.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] with the place of the mistake.
    #[doc(alias = "xlu_cfg_init")]
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        Self::parse_bytes(text.as_bytes(), Source::new(name, text.as_bytes()))
    }

    #[doc(alias = "xlu_cfg_readdata")]
    fn parse_bytes(text: &[u8], source: Source) -> Result<Self> {
        const FUNCTION: &str = "xlu_cfg_readdata";
        let raw = Raw::new(FUNCTION, &source.name)?;
        // In a string, an assertion of libxlutil's would end the process.
        if let Some(at) = text.iter().position(|&byte| byte == 0) {
            let place = source.place(1 + newlines(&text[..at]));
            let place = place.within(&source.name);
            return Err(Error::new(ErrorKind::Invalid, FUNCTION)
                .with_message(format!("{place}: has a NUL byte, which no text may have")));
        }
        let length = c_int::try_from(text.len()).map_err(|_| {
            Error::new(ErrorKind::Invalid, FUNCTION).with_message(format!(
                "{}: {} bytes are too many",
                source.name,
                text.len()
            ))
        })?;
        // SAFETY: xlu_cfg_readdata copies `length` bytes into a configuration that is fresh.
        let errno = unsafe { sys::xlu_cfg_readdata(raw.as_ptr(), text.as_ptr().cast(), length) };
        raw.check(FUNCTION, errno)?;
        Self(raw, source).all_text()
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] when the file cannot be read, [`ErrorKind::Invalid`] with the place of the
    /// mistake.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_with(path, &[])
    }

    /// Returns the text of a key; `None` if the file does not have the key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a list.
    #[doc(alias = "xlu_cfg_get_string")]
    pub fn string(&self, name: &str) -> Result<Option<String>> {
        let mut value: *const c_char = ptr::null();
        let found = self.get("xlu_cfg_get_string", name, |cfg, name| {
            // SAFETY: a configuration that was read, a NUL-terminated name, a place.
            unsafe { sys::xlu_cfg_get_string(cfg, name, &raw mut value, 0) }
        })?;
        // SAFETY: on success a string of the configuration's.
        Ok(found.then(|| unsafe { copy_str(value) }).flatten())
    }

    /// Returns the number of a key; `None` if the file does not have the key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a value that is no number.
    #[doc(alias = "xlu_cfg_get_long")]
    pub fn number(&self, name: &str) -> Result<Option<i64>> {
        let mut value: c_long = 0;
        let found = self.get("xlu_cfg_get_long", name, |cfg, name| {
            // SAFETY: a configuration that was read, a NUL-terminated name, a place.
            unsafe { sys::xlu_cfg_get_long(cfg, name, &raw mut value, 0) }
        })?;
        #[allow(clippy::useless_conversion)] // c_long is not 64 bits wide everywhere.
        Ok(found.then(|| i64::from(value)))
    }

    /// As [`number`](Self::number), within bounds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a value that is no number, or out of bounds.
    #[doc(alias = "xlu_cfg_get_bounded_long")]
    pub fn number_within(&self, name: &str, min: i64, max: i64) -> Result<Option<i64>> {
        let mut value: c_long = 0;
        let bound = |bound: i64, limit| c_long::try_from(bound).unwrap_or(limit);
        let (min, max) = (bound(min, c_long::MIN), bound(max, c_long::MAX));
        let found = self.get("xlu_cfg_get_bounded_long", name, |cfg, name| {
            // SAFETY: a configuration that was read, a NUL-terminated name, a place.
            unsafe { sys::xlu_cfg_get_bounded_long(cfg, name, min, max, &raw mut value, 0) }
        })?;
        #[allow(clippy::useless_conversion)] // As above.
        Ok(found.then(|| i64::from(value)))
    }

    /// Returns the yes or no of a key, 1 or 0 in the file; `None` if the file does not have the
    /// key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for any other value.
    #[doc(alias = "xlu_cfg_get_defbool")]
    pub fn flag(&self, name: &str) -> Result<Option<bool>> {
        let mut value = sys::libxl_defbool { val: 0 };
        let found = self.get("xlu_cfg_get_defbool", name, |cfg, name| {
            // SAFETY: a configuration that was read, a NUL-terminated name, a place.
            unsafe { sys::xlu_cfg_get_defbool(cfg, name, &raw mut value, 0) }
        })?;
        // Positive is yes, negative no.
        Ok((found && value.val != 0).then_some(value.val > 0))
    }

    /// Returns the list of a key; `None` if the file does not have the key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a value that is no list.
    #[doc(alias = "xlu_cfg_get_list")]
    #[doc(alias = "xlu_cfg_get_listitem2")]
    #[doc(alias = "xlu_cfg_value_type")]
    #[doc(alias = "xlu_cfg_value_get_string")]
    #[doc(alias = "xlu_cfg_value_get_list")]
    pub fn list(&self, name: &str) -> Result<Option<Vec<Value>>> {
        let mut list = ptr::null_mut();
        let found = self.get("xlu_cfg_get_list", name, |cfg, name| {
            // SAFETY: a configuration that was read, a NUL-terminated name, a place for the list;
            // the length is not asked for.
            unsafe { sys::xlu_cfg_get_list(cfg, name, &raw mut list, ptr::null_mut(), 0) }
        })?;
        if !found {
            return Ok(None);
        }
        self.items(list).map(Some)
    }

    /// Returns the list of texts of a key; a single text stands for a list of one. `None` if the
    /// file does not have the key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] for a list with a list in it.
    #[doc(alias = "xlu_cfg_get_list_as_string_list")]
    pub fn strings(&self, name: &str) -> Result<Option<Vec<String>>> {
        if let Ok(Some(one)) = self.quietly_string(name) {
            return Ok(Some(vec![one]));
        }
        let mut list: sys::libxl_string_list = ptr::null_mut();
        let found = self.get("xlu_cfg_get_list_as_string_list", name, |cfg, name| {
            // SAFETY: a configuration that was read, a NUL-terminated name, a place.
            unsafe { sys::xlu_cfg_get_list_as_string_list(cfg, name, &raw mut list, 0) }
        })?;
        if !found {
            return Ok(None);
        }
        let mut strings = Vec::new();
        let mut at = list;
        // SAFETY: an array of strings with a NULL at its end, or NULL.
        while let Some(one) = unsafe { at.as_ref().and_then(|text| copy_str(*text)) } {
            strings.push(one);
            // SAFETY: not yet at the end.
            at = unsafe { at.add(1) };
        }
        // SAFETY: ours to free, once.
        unsafe { sys::libxl_string_list_dispose(&raw mut list) };
        // libxlutil ends the list at an inner list, and reports success.
        let whole = self.list(name)?.map_or(0, |list| list.len());
        if strings.len() != whole {
            return Err(
                Error::new(ErrorKind::Invalid, "xlu_cfg_get_list_as_string_list")
                    .with_message(format!("{name}: the list has a list in it")),
            );
        }
        Ok(Some(strings))
    }

    fn quietly_string(&self, name: &str) -> Result<Option<String>> {
        let mut value: *const c_char = ptr::null();
        let found = self.get("xlu_cfg_get_string", name, |cfg, name| {
            // SAFETY: a configuration that was read, a NUL-terminated name, a place.
            unsafe { sys::xlu_cfg_get_string(cfg, name, &raw mut value, 1) }
        })?;
        // SAFETY: on success a string of the configuration's.
        Ok(found.then(|| unsafe { copy_str(value) }).flatten())
    }

    fn items(&self, list: *mut sys::XLU_ConfigList) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        for index in 0.. {
            // SAFETY: a list of this configuration; beyond its end there is NULL.
            let item = unsafe { sys::xlu_cfg_get_listitem2(list, index) };
            if item.is_null() {
                break;
            }
            items.push(self.value(item)?);
        }
        Ok(items)
    }

    fn value(&self, value: *mut sys::XLU_ConfigValue) -> Result<Value> {
        let cfg = self.0.as_ptr();
        // SAFETY: a value of this configuration.
        if unsafe { sys::xlu_cfg_value_type(value) } == sys::XLU_ConfigValueType::XLU_LIST {
            let mut list = ptr::null_mut();
            // SAFETY: as above, and a place for the list.
            let errno = unsafe { sys::xlu_cfg_value_get_list(cfg, value, &raw mut list, 0) };
            self.0.check("xlu_cfg_value_get_list", errno)?;
            return Ok(Value::List(self.items(list)?));
        }
        let mut text = ptr::null_mut();
        // SAFETY: as above, and a place for the text, which stays the configuration's.
        let errno = unsafe { sys::xlu_cfg_value_get_string(cfg, value, &raw mut text, 0) };
        self.0.check("xlu_cfg_value_get_string", errno)?;
        // SAFETY: on success a string of the configuration's.
        Ok(Value::String(unsafe { copy_str(text) }.unwrap_or_default()))
    }

    /// Fails if a value is not UTF-8: the bytes could only be replaced, and a path with replaced
    /// bytes is another path.
    fn all_text(self) -> Result<Self> {
        for key in self.keys() {
            let mut text: *const c_char = ptr::null();
            let mut list = ptr::null_mut();
            let is_string = self.get("xlu_cfg_get_string", key, |cfg, key| {
                // SAFETY: a configuration that was read, a NUL-terminated name, a place.
                unsafe { sys::xlu_cfg_get_string(cfg, key, &raw mut text, 1) }
            });
            let good = if let Ok(true) = is_string {
                // SAFETY: on success a string of the configuration's.
                unsafe { is_text(text) }
            } else {
                let found = self.get("xlu_cfg_get_list", key, |cfg, key| {
                    // SAFETY: as above; the length is not asked for.
                    unsafe { sys::xlu_cfg_get_list(cfg, key, &raw mut list, ptr::null_mut(), 1) }
                });
                !matches!(found, Ok(true)) || self.is_list_of_text(list)
            };
            if !good {
                let place = match self.place(key) {
                    Some(place) => place.within(self.name()),
                    None => self.name().to_owned(),
                };
                return Err(Error::new(ErrorKind::Invalid, "xlu_cfg_readdata")
                    .with_message(format!("{place}: {key}: has bytes that are not UTF-8")));
            }
        }
        self.0.report.take();
        Ok(self)
    }

    fn is_list_of_text(&self, list: *mut sys::XLU_ConfigList) -> bool {
        let cfg = self.0.as_ptr();
        for index in 0.. {
            // SAFETY: a list of this configuration; beyond its end there is NULL.
            let item = unsafe { sys::xlu_cfg_get_listitem2(list, index) };
            if item.is_null() {
                break;
            }
            let (mut inner, mut text) = (ptr::null_mut(), ptr::null_mut());
            // SAFETY: a value of this configuration, and places for what is found in it, which stays
            // the configuration's.
            let good = unsafe {
                if sys::xlu_cfg_value_type(item) == sys::XLU_ConfigValueType::XLU_LIST {
                    sys::xlu_cfg_value_get_list(cfg, item, &raw mut inner, 1) != 0
                        || self.is_list_of_text(inner)
                } else {
                    sys::xlu_cfg_value_get_string(cfg, item, &raw mut text, 1) != 0 || is_text(text)
                }
            };
            if !good {
                return false;
            }
        }
        true
    }

    /// Returns true if the file has the name; passes on the errors of `get`.
    fn get(
        &self,
        function: &'static str,
        name: &str,
        get: impl FnOnce(*mut sys::XLU_Config, *const c_char) -> c_int,
    ) -> Result<bool> {
        let name = c_string(function, "name", name)?;
        match get(self.0.as_ptr(), name.as_ptr()) {
            libc::ESRCH => Ok(false),
            errno => self.0.check(function, errno).map(|()| true),
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

/// Returns true if a C string is NULL or UTF-8.
///
/// # Safety
///
/// `raw` is NULL, or NUL-terminated.
unsafe fn is_text(raw: *const c_char) -> bool {
    // SAFETY: as the caller promises.
    raw.is_null() || unsafe { CStr::from_ptr(raw) }.to_str().is_ok()
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
