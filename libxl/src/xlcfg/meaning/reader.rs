//! Values and complaints: the values that `xl` takes, ignores with a warning, or refuses.

use std::cell::RefCell;
use std::fmt;

use super::{
    ctext::{cut_i32, cut_u32},
    host::Host,
    keys,
    release::Release,
    words::Word,
    xl_conf::XlConf,
};
use crate::{
    Error, ErrorKind,
    xlcfg::{
        file::{Value, XlConfig},
        source::Place,
    },
};

/// A complaint about a key of a file: a refusal, or a warning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Complaint {
    /// Name of the file.
    pub file: String,
    /// The place of the key; `None` for a key that the file does not have.
    pub place: Option<Place>,
    /// The key.
    pub key: String,
    /// The mistake, and what to write instead.
    pub message: String,
}

/// As compilers write it: `web.cfg:3: memory: …`.
impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        match &self.place {
            Some(Place::Line(line)) => write!(f, ":{line}")?,
            Some(Place::Override(text)) => write!(f, " with {text}")?,
            None => {}
        }
        write!(f, ": {}: {}", self.key, self.message)
    }
}

impl std::error::Error for Complaint {}

impl From<Complaint> for Error {
    fn from(complaint: Complaint) -> Self {
        Self::new(ErrorKind::Invalid, "xl.cfg").with_message(complaint.to_string())
    }
}

pub(super) type Result<T> = std::result::Result<T, Complaint>;

/// A file, the host and settings it is read for, and the warnings so far.
pub(super) struct Reader<'a> {
    config: &'a XlConfig,
    pub(super) host: &'a Host,
    pub(super) xl_conf: &'a XlConf,
    pub(super) release: Release,
    warnings: RefCell<Vec<Complaint>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(config: &'a XlConfig, host: &'a Host, xl_conf: &'a XlConf) -> Self {
        Self {
            config,
            host,
            xl_conf,
            release: Release::BUILT_FOR,
            warnings: RefCell::default(),
        }
    }

    fn complaint(&self, key: &str, message: impl Into<String>) -> Complaint {
        Complaint {
            file: self.config.name().to_owned(),
            place: self.config.place(key),
            key: key.to_owned(),
            message: message.into(),
        }
    }

    /// Refuses the file.
    pub(super) fn refuse<T>(&self, key: &str, message: impl Into<String>) -> Result<T> {
        Err(self.complaint(key, message))
    }

    pub(super) fn warn(&self, key: &str, message: impl Into<String>) {
        let complaint = self.complaint(key, message);
        let mut warnings = self.warnings.borrow_mut();
        // A key that is read twice is complained about once.
        if !warnings.contains(&complaint) {
            warnings.push(complaint);
        }
    }

    pub(super) fn into_warnings(self) -> Vec<Complaint> {
        self.warnings.into_inner()
    }

    /// Warns of keys that this `xl` does not read.
    pub(super) fn warn_of_strangers(&self) {
        for name in self.config.keys() {
            match keys::find(name) {
                Some(key) if self.release.has(key.since) => {}
                Some(key) => self.warn(
                    name,
                    format!(
                        "ignored: the key came with Xen 4.{}, and this is {}",
                        key.since, self.release
                    ),
                ),
                None => self.warn(name, "ignored: xl does not have this key"),
            }
        }
    }

    /// Returns true if this release reads the key. A key that is in no table is a bug.
    fn reads(&self, key: &str) -> bool {
        let known = keys::find(key);
        debug_assert!(known.is_some(), "{key} is not in KEYS");
        known.is_some_and(|known| self.release.has(known.since))
    }

    /// The value; `None` if the file does not have the key, or this `xl` does not read it.
    pub(super) fn value(&self, key: &str) -> Option<Value> {
        if !self.reads(key) {
            return None;
        }
        match self.config.list(key) {
            Ok(list) => list.map(Value::List),
            Err(_) => self.config.string(key).ok()?.map(Value::String),
        }
    }

    /// A text. A list is ignored without a warning.
    pub(super) fn quiet_text(&self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::String(text) => Some(text),
            Value::List(_) => None,
        }
    }

    /// A text. A list is ignored with a warning.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::String(text) => Some(text),
            Value::List(_) => {
                self.warn(key, "ignored: a list; write a single value");
                None
            }
        }
    }

    /// A number. Anything else is ignored without a warning.
    pub(super) fn quiet_number(&self, key: &str) -> Option<i64> {
        if !self.reads(key) {
            return None;
        }
        self.config.number(key).ok().flatten()
    }

    /// A number. Anything else is ignored with a warning.
    pub(super) fn number(&self, key: &str) -> Option<i64> {
        let text = self.text(key)?;
        match self.config.number(key) {
            Ok(number) => number,
            Err(_) => {
                self.warn(
                    key,
                    format!("ignored: {text:?}; write a number, without += and within 64 bits"),
                );
                None
            }
        }
    }

    /// A number that is cut to 32 bits, as by `xl`, which gives no warning.
    pub(super) fn cut_number(&self, key: &str) -> Option<i32> {
        let number = self.number(key)?;
        let cut = cut_i32(number);
        if i64::from(cut) != number {
            self.warn(key, format!("{number} is too large: it becomes {cut}"));
        }
        Some(cut)
    }

    /// As [`cut_number`](Self::cut_number), for a field without a sign.
    pub(super) fn cut_unsigned(&self, key: &str) -> Option<u32> {
        let number = self.number(key)?;
        let cut = cut_u32(number);
        if i64::from(cut) != number {
            self.warn(
                key,
                format!("{number} is not within 32 bits: it becomes {cut}"),
            );
        }
        Some(cut)
    }

    /// Yes or no: 1 or 0. Anything else than a number is ignored with a warning.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.number(key).map(|number| number != 0)
    }

    /// An amount in MiB, as KiB.
    pub(super) fn mebibytes(&self, key: &str) -> Option<u64> {
        let number = self.number(key)?;
        #[allow(clippy::cast_sign_loss)] // C's conversion of a long to an unsigned field.
        let kib = number.wrapping_mul(1024) as u64;
        if number < 0 || i64::try_from(kib).is_err() {
            self.warn(
                key,
                format!("{number} MiB is no amount of memory: it becomes {kib} KiB"),
            );
        }
        Some(kib)
    }

    /// A number from 0 to 2³¹−1. Anything else is refused.
    pub(super) fn limit(&self, key: &str) -> Result<Option<u32>> {
        if !self.reads(key) {
            return Ok(None);
        }
        match self.config.number_within(key, 0, i32::MAX.into()) {
            Ok(number) => Ok(number.and_then(|number| u32::try_from(number).ok())),
            Err(_) => self.refuse(key, "not a limit; write a number from 0 to 2147483647"),
        }
    }

    /// A list. A single value is ignored with a warning.
    pub(super) fn list(&self, key: &str) -> Option<Vec<Value>> {
        match self.value(key)? {
            Value::List(list) => Some(list),
            Value::String(_) => {
                self.warn(key, "ignored: a single value; write a list: [ … ]");
                None
            }
        }
    }

    /// The texts of a list, up to the first list within it, where `xl` stops.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<String>> {
        let list = self.list(key)?;
        Some(self.leading_texts(key, list))
    }

    /// The texts at the beginning of a list that has been read.
    pub(super) fn leading_texts(&self, key: &str, list: Vec<Value>) -> Vec<String> {
        let mut texts = Vec::new();
        for value in list {
            match value {
                Value::String(text) => texts.push(text),
                Value::List(_) => {
                    self.warn(key, "a list within the list: this and the rest are ignored");
                    break;
                }
            }
        }
        texts
    }

    /// The texts of a list. A list within it is refused.
    pub(super) fn only_texts(&self, key: &str) -> Result<Option<Vec<String>>> {
        match self.list(key) {
            Some(list) => self.all_texts(key, list).map(Some),
            None => Ok(None),
        }
    }

    /// The texts of a list that has been read. A list within it is refused.
    pub(super) fn all_texts(&self, key: &str, list: Vec<Value>) -> Result<Vec<String>> {
        list.into_iter()
            .map(|value| match value {
                Value::String(text) => Ok(text),
                Value::List(_) => {
                    self.refuse(key, "a list within the list; write single values in it")
                }
            })
            .collect()
    }

    /// A word of an enumeration; `None` if the file does not have the key, or for the word that
    /// stands for "not set".
    pub(super) fn word<T: Word>(&self, key: &str) -> Result<Option<T>> {
        match self.text(key) {
            Some(text) => self.parse_word(key, "", &text),
            None => Ok(None),
        }
    }

    /// The value for a word of libxl's; `None` for the word that stands for "not set".
    pub(super) fn parse_word<T: Word>(
        &self,
        key: &str,
        parameter: &str,
        text: &str,
    ) -> Result<Option<T>> {
        match T::parse(text) {
            Some(value) => Ok(value),
            None => self.refuse(
                key,
                format!(
                    "{parameter}{text:?} is not known; write one of {}",
                    T::known()
                ),
            ),
        }
    }
}
