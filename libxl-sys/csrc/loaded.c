#define _GNU_SOURCE
#include "loaded.h"

#include <libxl.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>

struct wanted {
    uintptr_t code;
    const char *soname;
};

/* The dynamic section is in the loaded image. Whether the linker has added the base address to the
 * addresses in it depends on the C library and the machine. */
static const char *name_in(const struct dl_phdr_info *info, const ElfW(Dyn) *entry)
{
    uintptr_t strings = 0;
    ptrdiff_t name = -1;

    for (; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_STRTAB)
            strings = (uintptr_t)entry->d_un.d_ptr;
        else if (entry->d_tag == DT_SONAME)
            name = (ptrdiff_t)entry->d_un.d_val;
    }
    if (!strings || name < 0)
        return NULL;
    if (strings < info->dlpi_addr)
        strings += info->dlpi_addr;
    return (const char *)strings + name;
}

static int look(struct dl_phdr_info *info, size_t size, void *data)
{
    struct wanted *wanted = data;
    const ElfW(Dyn) *dynamic = NULL;
    int here = 0;

    (void)size;
    for (int n = 0; n < info->dlpi_phnum; n++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[n];
        uintptr_t start = info->dlpi_addr + part->p_vaddr;

        if (part->p_type == PT_LOAD && wanted->code >= start
            && wanted->code - start < part->p_memsz)
            here = 1;
        else if (part->p_type == PT_DYNAMIC)
            dynamic = (const ElfW(Dyn) *)start;
    }
    if (!here)
        return 0;
    wanted->soname = dynamic ? name_in(info, dynamic) : NULL;
    return 1;
}

const char *libxl_sys_loaded_soname(void)
{
    struct wanted wanted = { .code = (uintptr_t)&libxl_ctx_alloc, .soname = NULL };

    dl_iterate_phdr(look, &wanted);
    return wanted.soname;
}
