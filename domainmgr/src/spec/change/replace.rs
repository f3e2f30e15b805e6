//! A list in which each thing stands once.

/// Puts `item` in the place of the one that it replaces, or at the end.
pub(super) fn replace<T>(list: &mut Vec<T>, item: T, is_it: impl Fn(&T) -> bool) {
    match list.iter_mut().find(|old| is_it(old)) {
        Some(old) => *old = item,
        None => list.push(item),
    }
}
