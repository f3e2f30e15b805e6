//! Reads single fields.

use crate::base::field_error::FieldError;

pub(super) type Result<T> = std::result::Result<T, FieldError>;

/// Converts all items of a list, or returns the first error.
pub(super) fn each<T, U>(list: &[T], of: impl Fn(usize, &T) -> Result<U>) -> Result<Vec<U>> {
    let items = list.iter().enumerate();
    items.map(|(i, item)| of(i, item)).collect()
}

pub(super) fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
