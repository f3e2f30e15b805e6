/* PV: the guest handles machine frames, which are others after a restore, and leaves its own frame numbers in their place. */
#include "hypercall.h"
#include "platform.h"

#define FRAME(address) ((uint64_t)(address) >> 12)
#define PRESENT_WRITABLE 0x67 /* with accessed, dirty, user */

static struct start_info *start_info;
/* Machine frame of each of our frames. The toolstack brings it up to date when it restores. */
static volatile uint64_t *machine_frame;
static uint64_t console_frame, xenstore_frame;

static void map_shared_info(uint64_t entry)
{
    hypercall(__HYPERVISOR_update_va_mapping, (uint64_t)&shared_info, entry, UVMF_INVLPG);
}

static void connect(void)
{
    map_shared_info(start_info->shared_info | PRESENT_WRITABLE);

    /* With these the toolstack finds `machine_frame`, without which it can neither save nor dump. */
    shared_info.arch.max_pfn = start_info->nr_pages;
    shared_info.arch.p2m_vaddr = start_info->mfn_list;
    shared_info.arch.p2m_cr3 = machine_frame[FRAME(start_info->pt_base)] << 12;

    start_info->console.domU.mfn = machine_frame[console_frame];
    start_info->store_mfn = machine_frame[xenstore_frame];
    platform.console_port = start_info->console.domU.evtchn;
    platform.xenstore_port = start_info->store_evtchn;
}

static uint64_t disconnect(void)
{
    /* Not a frame of ours, so the toolstack cannot save a reference to it. */
    map_shared_info(0);

    start_info->console.domU.mfn = console_frame;
    start_info->store_mfn = xenstore_frame;
    return machine_frame[FRAME(start_info)];
}

void pv_main(struct start_info *info)
{
    start_info = info;
    machine_frame = (volatile uint64_t *)info->mfn_list;
    console_frame = machine_to_phys_mapping[info->console.domU.mfn];
    xenstore_frame = machine_to_phys_mapping[info->store_mfn];

    platform = (struct platform){
        .name = "PV",
        .command_line = (const char *)info->cmd_line,
        .connect = connect,
        .disconnect = disconnect,
        .console = (void *)(console_frame << 12),
        .xenstore = (void *)(xenstore_frame << 12),
    };
    guest_main();
}
