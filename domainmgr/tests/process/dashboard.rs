//! The dashboard for Grafana asks for figures that there are.

use std::{collections::BTreeSet, fs, path::Path};

/// Words of figures in `text`.
fn figures(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("domainmgr_"))
        .collect()
}

#[test]
fn it_asks_for_figures_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dashboard = fs::read_to_string(root.join("../packaging/grafana/domainmgr.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&dashboard).unwrap();
    let code = fs::read_to_string(root.join("src/frontends/metrics/exposition.rs")).unwrap();
    let asked = figures(&dashboard);
    assert!(asked.len() > 8, "{asked:?}");
    for figure in asked {
        let device = figure
            .strip_prefix("domainmgr_domain_")
            .and_then(|rest| rest.strip_suffix("_total"));
        let there = code.contains(&format!("\"{figure}\""))
            || device.is_some_and(|what| code.contains(&format!("\"{what}\"")));
        assert!(there, "{figure}");
    }
}
