//! The text of a configuration: its origin, and the places of the keys in it.

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

impl Place {
    /// The place in words, in the file of this name.
    pub(super) fn within(&self, name: &str) -> String {
        match self {
            Self::Line(line) => format!("{name}:{line}"),
            Self::Override(text) => format!("{text:?}"),
        }
    }
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
    pub(super) fn place(&self, line: usize) -> Place {
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

/// The number of line breaks in a text.
pub(super) fn newlines(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte == b'\n').count()
}

/// Joins a file and its overrides as `xl create` does: each override is a line of its own after the
/// file.
pub(super) fn join(file: &[u8], overrides: &[String]) -> (Vec<u8>, Option<(usize, Vec<String>)>) {
    let mut text = file.to_vec();
    if overrides.is_empty() {
        return (text, None);
    }
    let newlines = newlines(file);
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
