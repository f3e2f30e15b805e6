//! The keys of xenstored, as a program reads them.

use libxl::{ErrorKind, xenstore::Xenstore};

use crate::stand_in::{is_called, simulated};

#[test]
fn the_names_below_a_key_are_listed() {
    simulated("store::the_names_below_a_key_are_listed", || {
        let store = Xenstore::open().unwrap();
        let listed = || store.list("/local/domain").unwrap();
        assert_eq!(listed(), Some(Vec::new()));
        is_called(3, 1);
        is_called(42, 1);
        assert_eq!(listed(), Some(vec!["3".to_owned(), "42".to_owned()]));
        assert_eq!(store.list("/vm").unwrap(), None);
        let invalid = store.list("/local\0/domain").unwrap_err();
        assert_eq!(invalid.kind(), ErrorKind::Invalid, "{invalid}");
    });
}
