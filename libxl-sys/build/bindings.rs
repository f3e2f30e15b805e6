//! The bindings, made by bindgen from the headers that are installed: libxl's structures change with
//! every Xen release and even within one, so bindings made elsewhere would corrupt memory.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bindgen::{
    EnumVariation, NonCopyUnionStyle, RustEdition,
    callbacks::{DeriveInfo, MacroParsingBehavior, ParseCallbacks, TypeKind},
};

/// Notes every `LIBXL_HAVE_*` macro, with a value or without: bindgen itself only reports those
/// that it can turn into a constant.
#[derive(Debug, Default)]
struct Features(Arc<Mutex<BTreeSet<String>>>);

impl ParseCallbacks for Features {
    /// Has cargo make new bindings when Xen's headers are upgraded.
    fn header_file(&self, filename: &str) {
        println!("cargo::rerun-if-changed={filename}");
    }

    fn include_file(&self, filename: &str) {
        println!("cargo::rerun-if-changed={filename}");
    }

    fn will_parse_macro(&self, name: &str) -> MacroParsingBehavior {
        if let Some(feature) = name.strip_prefix("LIBXL_HAVE_") {
            if let Ok(mut found) = self.0.lock() {
                found.insert(feature.to_ascii_lowercase());
            }
        }
        MacroParsingBehavior::Default
    }

    /// Enumerations are integers, and may be copied like them; structures may not.
    fn add_derives(&self, info: &DeriveInfo<'_>) -> Vec<String> {
        match info.kind {
            TypeKind::Enum => vec!["Copy".into(), "Clone".into(), "Debug".into()],
            _ => Vec::new(),
        }
    }
}

/// Writes the bindings to `to` and returns the features the headers declare.
pub(crate) fn generate(include_dirs: &[PathBuf], to: &Path) -> Result<Vec<String>, String> {
    let features = Features::default();
    let found = Arc::clone(&features.0);
    let rust_target = env!("CARGO_PKG_RUST_VERSION")
        .parse()
        .map_err(|e| format!("rust-version is no target of bindgen: {e}"))?;

    bindgen::builder()
        .header("csrc/wrapper.h")
        .clang_args(crate::find::has_xlutil().then_some("-DLIBXL_SYS_XLUTIL"))
        .clang_args(
            include_dirs
                .iter()
                .map(|dir| format!("-I{}", dir.display())),
        )
        .allowlist_file(r".*/(_?libxl[a-z_]*|libxlutil|xencall|xentoollog|logger|loaded)\.h")
        // Access to single values, where libxl has no function.
        .allowlist_function("xs_(open|close|read|directory|write|watch|unwatch|fileno|check_watch)")
        .allowlist_function("xs_transaction_(start|end)")
        // Domains without the names of their security labels, for which libxl asks Xen one by one.
        .allowlist_function("xc_interface_(open|close)|xc_domain_getinfolist")
        .allowlist_var("XEN_DOMINF_.*|XC_PAGE_SIZE")
        // No va_list crosses into Rust: its shape differs per architecture. The shim formats.
        .blocklist_function("xtl_logv")
        .blocklist_type("va_list|__va_list_tag|__builtin_va_list|__gnuc_va_list")
        .opaque_type("xentoollog_logger")
        // Open integers: a newer libxl, or a guest, may send values the headers do not know.
        .default_enum_style(EnumVariation::NewType {
            is_bitfield: false,
            is_global: false,
        })
        .prepend_enum_name(false)
        .generate_cstr(true)
        .use_core()
        .default_non_copy_union_style(NonCopyUnionStyle::ManuallyDrop)
        // The structures own memory: a derived copy would be freed twice.
        .derive_copy(false)
        .derive_debug(false)
        .derive_default(false)
        .layout_tests(true)
        .rust_target(rust_target)
        .rust_edition(RustEdition::Edition2024)
        .generate_comments(false)
        .formatter(bindgen::Formatter::None)
        .parse_callbacks(Box::new(features))
        .generate()
        .map_err(|e| format!("bindgen: {e}"))?
        .write_to_file(to)
        .map_err(|e| format!("{}: {e}", to.display()))?;

    let found = found.lock().map_err(|_| "bindgen panicked".to_owned())?;
    Ok(found.iter().cloned().collect())
}
