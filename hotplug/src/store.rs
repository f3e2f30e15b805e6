//! xenstore.

use libxl::xenstore::Xenstore;

use crate::failure::{Failure, Names};

/// The keys of xenstore, to read and to write.
pub(crate) trait Store {
    /// Returns the value of a key; `None` if there is no such key.
    fn get(&self, path: &str) -> Result<Option<String>, Failure>;

    /// Returns the names of the keys below a key; none if there is no such key.
    fn list(&self, path: &str) -> Result<Vec<String>, Failure>;

    fn write(&self, path: &str, value: &str) -> Result<(), Failure>;

    /// Returns the value of a key that must be there, and must not be empty.
    fn need(&self, path: &str) -> Result<String, Failure> {
        self.get(path)?
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Failure::new(format!("xenstore-read {path} failed.")))
    }

    /// Returns the value of a key, or `default` if there is no such key.
    fn get_or(&self, path: &str, default: &str) -> Result<String, Failure> {
        Ok(self.get(path)?.unwrap_or_else(|| default.to_owned()))
    }
}

/// xenstored of this host.
#[derive(Debug)]
pub(crate) struct Xen(Xenstore);

impl Xen {
    pub(crate) fn open() -> Result<Self, Failure> {
        Xenstore::open().map(Self).names("xenstored")
    }
}

impl Store for Xen {
    fn get(&self, path: &str) -> Result<Option<String>, Failure> {
        self.0.read(path).names(path)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Failure> {
        Ok(self.0.list(path).names(path)?.unwrap_or_default())
    }

    fn write(&self, path: &str, value: &str) -> Result<(), Failure> {
        self.0.write(path, value).names(path)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    /// A store in memory.
    #[derive(Debug, Default)]
    pub(crate) struct Memory(RefCell<BTreeMap<String, String>>);

    impl Memory {
        pub(crate) fn with<const N: usize>(values: [(&str, &str); N]) -> Self {
            let values = values.map(|(path, value)| (path.to_owned(), value.to_owned()));
            Self(RefCell::new(values.into()))
        }
    }

    impl Store for Memory {
        fn get(&self, path: &str) -> Result<Option<String>, Failure> {
            Ok(self.0.borrow().get(path).cloned())
        }

        fn list(&self, path: &str) -> Result<Vec<String>, Failure> {
            let values = self.0.borrow();
            let below = values
                .keys()
                .filter_map(|key| key.strip_prefix(path)?.strip_prefix('/'));
            let names: BTreeSet<&str> = below.filter_map(|rest| rest.split('/').next()).collect();
            Ok(names.into_iter().map(str::to_owned).collect())
        }

        fn write(&self, path: &str, value: &str) -> Result<(), Failure> {
            let mut values = self.0.borrow_mut();
            values.insert(path.to_owned(), value.to_owned());
            Ok(())
        }
    }
}
