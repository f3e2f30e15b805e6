//! Settings of Arm guests only. `xl` reads these keys on x86 as well.

use super::reader::{Reader, Result};
use crate::config::{ArmSciType, BuildInfo, GicVersion, SveType, TeeType, VuartType};

/// Reads the settings of Arm guests.
pub(super) fn read(reader: &Reader<'_>, b_info: &mut BuildInfo) -> Result<()> {
    b_info.arch_arm.vuart = reader.word::<VuartType>("vuart")?;
    b_info.arch_arm.gic_version = reader.word::<GicVersion>("gic_version")?;
    b_info.tee = reader.word::<TeeType>("tee")?;
    b_info.arch_arm.sve_vl = reader.word::<SveType>("sve")?;
    b_info.arch_arm.nr_spis = reader.cut_unsigned("nr_spis");
    b_info.trap_unmapped_accesses = reader.flag("trap_unmapped_accesses");
    if let Some(text) = reader.text("arm_sci") {
        // Parts other than the type are ignored.
        for value in text
            .split(',')
            .filter_map(|part| part.strip_prefix("type="))
        {
            b_info.arch_arm.arm_sci.r#type =
                reader.parse_word::<ArmSciType>("arm_sci", "type=", value)?;
        }
    }
    Ok(())
}
