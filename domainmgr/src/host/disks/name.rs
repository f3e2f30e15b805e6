//! Names of copies.

use uuid::Uuid;

use crate::spec::Format;

/// Returns EVE's name for the copy of an image that belongs to one domain: `<sha256>-<uuid>.<format>`.
///
/// The second, third … disk of a domain that is made from the same image has its number before the dot.
#[must_use]
pub fn of(sha256: &str, uuid: Uuid, nth: usize, format: Format) -> String {
    let format = format.word();
    match nth {
        0 => format!("{sha256}-{uuid}.{format}"),
        n => format!("{sha256}-{uuid}-{}.{format}", n + 1),
    }
}

/// Returns whether both name one copy. Earlier agents wrote the hash as the DomainConfig did, in capitals or not.
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    match (a.split_once('-'), b.split_once('-')) {
        (Some((hash, rest)), Some((other, others))) => {
            hash.eq_ignore_ascii_case(other) && rest == others
        }
        _ => a == b,
    }
}

/// Returns the name of a copy until it is whole. There is one for each copy, so that half-made files do not accumulate.
#[must_use]
pub fn temporary(name: &str) -> String {
    format!(".{name}.tmp")
}

/// Returns whether the name is that of a copy that is not whole.
#[must_use]
pub fn is_temporary(name: &str) -> bool {
    whole(name).is_some()
}

/// Returns the name that the copy gets once it is whole.
fn whole(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(".tmp")
}

/// Returns the key of the domain that a copy, whole or not, was made for; `None` if the agent does not give such names.
#[must_use]
pub fn owner(name: &str) -> Option<Uuid> {
    let name = whole(name).unwrap_or(name);
    let (stem, format) = name.rsplit_once('.')?;
    Format::ALL.iter().find(|f| f.word() == format)?;
    let (sha256, rest) = stem.split_once('-')?;
    is_hash(sha256).then_some(())?;
    let (uuid, number) = rest.split_at_checked(36)?;
    let numbered = number
        .strip_prefix('-')
        .is_some_and(|n| n.parse::<usize>().is_ok());
    if !number.is_empty() && !numbered {
        return None;
    }
    let owner: Uuid = uuid.parse().ok()?;
    // The agent writes a uuid in one form only.
    (owner.to_string() == uuid).then_some(owner)
}

/// Returns whether `text` can be the hash of an image. No other text becomes part of a path.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

    #[test]
    fn what_is_named_is_recognised() {
        let uuid: Uuid = KEY.parse().unwrap();
        for (nth, format, wanted) in [
            (0, Format::Raw, format!("AB12-{KEY}.raw")),
            (1, Format::Qcow2, format!("AB12-{KEY}-2.qcow2")),
        ] {
            let name = of("AB12", uuid, nth, format);
            assert_eq!(name, wanted);
            assert_eq!(owner(&name), Some(uuid));
            assert_eq!(owner(&temporary(&name)), Some(uuid));
            assert!(is_temporary(&temporary(&name)) && !is_temporary(&name));
        }
    }

    #[test]
    fn what_others_put_there_is_nobodys() {
        for name in [
            "notes.raw".to_owned(),
            format!("{KEY}.raw"),
            format!("ab-{KEY}.iso"),
            format!("ab-{KEY}"),
            format!("xyz-{KEY}.raw"),
            format!("ab-{KEY}-x.raw"),
            format!("ab-{KEY}x.raw"),
            format!("ab-{}.raw", KEY.to_uppercase()),
            ".tmp".to_owned(),
            "ab-é.raw".to_owned(),
        ] {
            assert_eq!(owner(&name), None, "{name}");
        }
    }

    #[test]
    fn the_case_of_a_hash_makes_no_other_copy() {
        assert!(same("AB12-x.raw", "ab12-x.raw"));
        for other in [
            "ab12-X.raw",
            "ab12-x.RAW",
            "ab12-x-2.raw",
            "ab1-x.raw",
            "ab12",
        ] {
            assert!(!same("AB12-x.raw", other), "{other}");
        }
    }

    #[test]
    fn a_hash_is_no_path() {
        assert!(is_hash("00ffAA"));
        for bad in ["", "..", "a/b", "x", "a b", &"a".repeat(129)] {
            assert!(!is_hash(bad), "{bad}");
        }
    }
}
