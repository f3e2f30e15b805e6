//! Tries whether a computer can run guests of Xen that need the processor's virtualisation.

use anyhow::{Context, Result};

use super::{Hardware, Up};

/// Shell commands that start our small guest as a PVH domain and wait for its first line. Without a number of vCPUs, xl reserves too
/// little memory for the page tables of so small a guest.
const LINE: &str = r#"
printf 'name="trial"\ntype="pvh"\nkernel="/share/guest/tiny"\nmemory=16\nvcpus=1\n' >/tmp/trial.cfg
xl create -q /tmp/trial.cfg
for i in $(seq 300); do
    if grep -q 'lab guest: up' /var/log/xen/console/guest-trial.log 2>/dev/null; then
        xl destroy trial && rm /tmp/trial.cfg && exit
    fi
    sleep 0.1
done
echo "a PVH guest says nothing" >&2
exit 1
"#;

/// Fails with the reason why the computer is unusable.
pub(super) fn run(up: &Up, hardware: Hardware) -> Result<()> {
    up.output(LINE).context("starting a guest")?;
    if hardware == Hardware::Devices {
        up.output("xl info | grep -q '^virt_caps.* directio'")
            .context("Xen finds no IOMMU that it knows")?;
    }
    Ok(())
}
