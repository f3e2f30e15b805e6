//! Inputs of the fuzz targets that the repository keeps: `fuzz/kept/TARGET`, one input in each line, in base64.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::paths;

fn file(target: &str) -> PathBuf {
    paths::root().join("fuzz/kept").join(target)
}

/// Writes the inputs that are kept for this target into a directory, a file each.
pub(super) fn unpack(target: &str, directory: &Path) -> Result<()> {
    let file = file(target);
    let text = match fs::read_to_string(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        text => text.with_context(|| file.display().to_string())?,
    };
    for (line, number) in text.lines().zip(1..) {
        let input = decode(line).with_context(|| format!("{}, line {number}", file.display()))?;
        let path = directory.join(format!("kept-{number}"));
        fs::write(&path, input).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Keeps the files of a directory as the inputs of this target, and returns their number.
pub(super) fn pack(target: &str, directory: &Path) -> Result<usize> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(directory)? {
        lines.push(encode(&fs::read(entry?.path())?));
    }
    // An order that does not depend on the directory, so that versions can be compared.
    lines.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    let file = file(target);
    fs::create_dir_all(file.parent().context("no directory")?)?;
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&file, text).with_context(|| file.display().to_string())?;
    Ok(lines.len())
}

fn encode(input: &[u8]) -> String {
    BASE64_STANDARD.encode(input)
}

fn decode(line: &str) -> Result<Vec<u8>> {
    Ok(BASE64_STANDARD.decode(line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that somebody spoilt would be an error in the middle of an hour's run.
    #[test]
    fn all_that_is_kept_can_be_read() {
        let mut number = 0;
        for entry in fs::read_dir(paths::root().join("fuzz/kept")).unwrap() {
            let path = entry.unwrap().path();
            for line in fs::read_to_string(&path).unwrap().lines() {
                decode(line).unwrap_or_else(|error| panic!("{}: {line}: {error}", path.display()));
                number += 1;
            }
        }
        assert!(number > 0);
    }

    #[test]
    fn an_input_of_any_bytes_is_one_line() {
        let input: Vec<u8> = (0..=255).chain([b'\n', 0]).collect();
        let line = encode(&input);
        assert!(!line.contains('\n'));
        assert_eq!(decode(&line).unwrap(), input);
    }
}
