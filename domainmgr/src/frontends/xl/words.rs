//! Errors of libxl in words for people who wrote a file.

/// Returns the text of an error without the name of libxl's function, which means nothing to them.
pub(super) fn words(e: &libxl::Error) -> String {
    let text = e.to_string();
    let function = format!("{}: ", e.function());
    text.strip_prefix(&function).unwrap_or(&text).to_owned()
}
