/* PVH and HVM: memory is the guest's own, and what it shares with others is found by asking Xen. */
#include "hypercall.h"
#include "platform.h"

#include <xen/arch-x86/cpuid.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>

static uint64_t parameter(uint32_t index)
{
    struct xen_hvm_param param = { .domid = DOMID_SELF, .index = index };

    hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, (uint64_t)&param, 0);
    return param.value;
}

static void make_hypercall_page(void)
{
    uint32_t leaf = XEN_CPUID_FIRST_LEAF, highest, msr, ebx, ecx, edx;

    /* Behind another hypervisor's leaves if Xen shows those to the guest as well. */
    for (;; leaf += 0x100) {
        asm volatile("cpuid" : "=a"(highest), "=b"(ebx), "=c"(ecx), "=d"(edx) : "a"(leaf), "c"(0));
        if (ebx == XEN_CPUID_SIGNATURE_EBX)
            break;
    }
    asm volatile("cpuid" : "=a"(highest), "=b"(msr), "=c"(ecx), "=d"(edx) : "a"(leaf + 2), "c"(0));
    asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)(uintptr_t)hypercall_page), "d"(0) : "memory");
}

static void connect(void)
{
    struct xen_add_to_physmap map = {
        .domid = DOMID_SELF,
        .space = XENMAPSPACE_shared_info,
        .gpfn = (uint64_t)&shared_info >> 12,
    };
    /* Interrupts are off, so none is ever delivered; but the toolstack takes a guest that wants none for one that cannot suspend. */
    struct xen_hvm_param callback = {
        .domid = DOMID_SELF,
        .index = HVM_PARAM_CALLBACK_IRQ,
        .value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | 0x20,
    };

    /* Also makes Xen use the 64-bit layout of shared_info, and is therefore the first of all. */
    make_hypercall_page();
    hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, (uint64_t)&map, 0);
    hypercall(__HYPERVISOR_hvm_op, HVMOP_set_param, (uint64_t)&callback, 0);

    platform.console = (void *)(parameter(HVM_PARAM_CONSOLE_PFN) << 12);
    platform.xenstore = (void *)(parameter(HVM_PARAM_STORE_PFN) << 12);
    platform.console_port = parameter(HVM_PARAM_CONSOLE_EVTCHN);
    platform.xenstore_port = parameter(HVM_PARAM_STORE_EVTCHN);
}

static uint64_t disconnect(void)
{
    return 0;
}

static void start(const char *name, const char *command_line)
{
    platform = (struct platform){
        .name = name,
        .command_line = command_line,
        .connect = connect,
        .disconnect = disconnect,
    };
    guest_main();
}

void pvh_main(const struct hvm_start_info *info)
{
    start("PVH", (const char *)info->cmdline_paddr);
}

void hvm_main(const char *command_line)
{
    start("HVM", command_line);
}
