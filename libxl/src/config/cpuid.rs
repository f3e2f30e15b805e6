//! The CPUID leaves and MSRs that the guest sees.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

config_struct! {
    /// The filter of one CPUID leaf.
    ///
    /// A register's filter is 32 characters, the first for bit 31: `1` and `0` force the bit, `x` takes Xen's safe
    /// choice, `k` takes the host's bit and keeps it over a migration.
    pub struct CpuidLeaf {
        /// Number of the leaf, as in EAX.
        pub leaf: Option<u32>,
        /// Number of the subleaf, as in ECX. Default: every subleaf.
        pub subleaf: Option<u32>,
        /// Filter of EAX.
        pub eax: Option<String>,
        /// Filter of EBX.
        pub ebx: Option<String>,
        /// Filter of ECX.
        pub ecx: Option<String>,
        /// Filter of EDX.
        pub edx: Option<String>,
    }
}

/// The filter of one model specific register. Since Xen 4.18, and 4.14.6, 4.15.5, 4.16.5 and 4.17.2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MsrPolicy {
    /// The register's number.
    pub index: u32,
    /// The filter: 64 characters, the first for bit 63, with the meanings given at [`CpuidLeaf`].
    pub policy: String,
}

/// The guest's view of CPUID and MSRs (`libxl_cpuid_policy_list`). x86.
///
/// libxl has two JSON forms. The old form is the array of leaves. The new form is an object with `cpuid` and `msr`. It
/// came with 4.14.6, 4.15.5, 4.16.5, 4.17.2 and 4.18, and these versions still read the old form. This crate writes the
/// array unless there are MSRs, and reads both forms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuidPolicy {
    /// The leaves that differ from Xen's default.
    pub cpuid: Vec<CpuidLeaf>,
    /// The registers that differ from Xen's default.
    pub msr: Vec<MsrPolicy>,
}

impl Serialize for CpuidPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Both<'a> {
            cpuid: &'a [CpuidLeaf],
            msr: &'a [MsrPolicy],
        }
        if self.msr.is_empty() {
            self.cpuid.serialize(serializer)
        } else {
            Both {
                cpuid: &self.cpuid,
                msr: &self.msr,
            }
            .serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for CpuidPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Leaves(Vec<CpuidLeaf>),
            Both {
                #[serde(default)]
                cpuid: Vec<CpuidLeaf>,
                #[serde(default)]
                msr: Vec<MsrPolicy>,
            },
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Leaves(cpuid) => Self {
                cpuid,
                msr: Vec::new(),
            },
            Form::Both { cpuid, msr } => Self { cpuid, msr },
        })
    }
}
