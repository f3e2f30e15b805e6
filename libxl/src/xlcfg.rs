//! The files of `xl`: their grammar, and their meaning.
//!
//! [`XlConfig`] reads a file of keys and values with `xl`'s own parser, libxlutil. The `parse_*`
//! functions read the small languages within some values: disks, PCI devices, rates.
//!
//! [`XlConfig::domain_config`] turns a file into the [`DomainConfig`](crate::DomainConfig) that
//! `xl create -n` prints for the same file. The rules are those of the `xl` that belongs to the
//! libxl this crate was built for: defaults, old spellings, warnings and refusals. [`KEYS`] lists
//! the keys; `docs/xl-cfg.md` in the repository describes where the two differ.
//!
//! ```
//! use libxl::xlcfg::{Host, XlConf, XlConfig};
//!
//! let text = r#"
//!     name = "web"
//!     type = "pvh"
//!     kernel = "/boot/vmlinuz-guest"
//!     memory = 512
//!     disk = [ "/dev/vg/web,raw,xvda,rw" ]
//! "#;
//! let file = XlConfig::parse(text, "web.cfg")?;
//! assert_eq!(file.number("memory")?, Some(512));
//!
//! let meaning = file.domain_config(&Host::new(4), &XlConf::default())?;
//! assert_eq!(meaning.config.b_info.max_memkb, Some(512 * 1024));
//! assert_eq!(meaning.config.disks[0].vdev.as_deref(), Some("xvda"));
//! assert!(meaning.warnings.is_empty());
//!
//! let wrong = XlConfig::parse("name = 'web'\ntype = 'qemu'", "wrong.cfg")?;
//! let refused = wrong.domain_config(&Host::new(4), &XlConf::default()).unwrap_err();
//! assert!(refused.to_string().starts_with("wrong.cfg:2: type: "), "{refused}");
//! # Ok::<(), libxl::Error>(())
//! ```

mod file;
mod libxlutil;
mod meaning;
mod pci_specs;
mod report;
mod source;
mod specs;

pub use self::{
    file::{Value, XlConfig},
    meaning::{Complaint, Host, KEYS, Key, Meaning, XlConf},
    pci_specs::{parse_pci, parse_pci_bdf},
    source::Place,
    specs::{parse_disk, parse_rdm, parse_vif_rate},
};

#[cfg(test)]
mod tests;
