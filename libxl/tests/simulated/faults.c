/* Functions of libxl that corrupt memory, end the process or pass over what they are given, if they are
 * called with what they do not expect (4.14 to 4.22). They are preloaded with the stand-in and do what
 * libxl would do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libxl.h>
#include <libxl_utils.h>

#define CPUS 6
#define CORES 3 /* of a socket */

static int offline, cards, reached;

/* The last CPUs of the host that are offline. */
void fake_offline(int count) { offline = count; }
/* Number of sound cards of every domain. */
void fake_cards(int count) { cards = count; }
int fake_card_count(void) { return cards; }
/* Number of calls that no check has held back. */
int fake_reached(void) { return reached; }

static int passes_over(void)
{
    reached++;
    return 0;
}

/* The host. */

int libxl_get_max_cpus(libxl_ctx *ctx)
{
    (void)ctx;
    return CPUS;
}

int libxl_get_physinfo(libxl_ctx *ctx, libxl_physinfo *info)
{
    (void)ctx;
    libxl_physinfo_init(info);
    info->threads_per_core = 1;
    info->cores_per_socket = CORES;
    info->nr_cpus = CPUS - offline;
    return 0;
}

libxl_cputopology *libxl_get_cpu_topology(libxl_ctx *ctx, int *count)
{
    libxl_cputopology *list = calloc(CPUS, sizeof *list);
    (void)ctx;
    for (int cpu = 0; cpu < CPUS; cpu++) {
        list[cpu].core = list[cpu].socket = list[cpu].node = LIBXL_CPUTOPOLOGY_INVALID_ENTRY;
        if (cpu < CPUS - offline) {
            list[cpu].core = (uint32_t)(cpu % CORES);
            list[cpu].socket = (uint32_t)(cpu / CORES);
            list[cpu].node = 0;
        }
    }
    *count = CPUS;
    return list;
}

/* As many entries as libxl counts sockets, and one is written for each socket that is online. */
int libxl_psr_get_hw_info(libxl_ctx *ctx, libxl_psr_feat_type type, unsigned level, unsigned *count,
                          libxl_psr_hw_info **to)
{
    unsigned room = (unsigned)(CPUS - offline) / CORES, used = 0;
    (void)ctx, (void)type, (void)level;
    *to = calloc(room, sizeof **to);
    for (int cpu = 0; cpu < CPUS - offline; cpu += CORES) {
        if (used == room) {
            fprintf(stderr, "libxl would write behind its list of sockets\n");
            abort();
        }
        (*to)[used++].id = (uint32_t)(cpu / CORES);
    }
    *count = used;
    return 0;
}

/* What is beyond the host's own is passed over. */

int libxl_psr_set_val(libxl_ctx *ctx, uint32_t domid, libxl_psr_type type, libxl_bitmap *sockets,
                      uint64_t value)
{
    (void)ctx, (void)domid, (void)type, (void)sockets, (void)value;
    return passes_over();
}

int libxl_set_vcpuaffinity(libxl_ctx *ctx, uint32_t domid, uint32_t vcpu, const libxl_bitmap *hard,
                           const libxl_bitmap *soft)
{
    (void)ctx, (void)domid, (void)vcpu, (void)hard, (void)soft;
    return passes_over();
}

int libxl_domain_set_nodeaffinity(libxl_ctx *ctx, uint32_t domid, libxl_bitmap *nodes)
{
    (void)ctx, (void)domid, (void)nodes;
    return passes_over();
}

int libxl_domain_setmaxmem(libxl_ctx *ctx, uint32_t domid, uint64_t kib)
{
    (void)ctx, (void)domid, (void)kib;
    return passes_over();
}

int libxl_set_memory_target(libxl_ctx *ctx, uint32_t domid, int64_t kib, int relative, int enforce)
{
    (void)ctx, (void)domid, (void)kib, (void)relative, (void)enforce;
    return passes_over();
}

/* A number that is too large for them is none of the host's. */

int libxl_cpupool_cpuadd(libxl_ctx *ctx, uint32_t pool, int cpu)
{
    (void)ctx, (void)pool, (void)cpu;
    return passes_over();
}

int libxl_cpupool_cpuremove(libxl_ctx *ctx, uint32_t pool, int cpu)
{
    (void)ctx, (void)pool, (void)cpu;
    return passes_over();
}

int libxl_cpupool_cpuadd_node(libxl_ctx *ctx, uint32_t pool, int node, int *count)
{
    (void)ctx, (void)pool, (void)node;
    *count = 0;
    return passes_over();
}

int libxl_cpupool_cpuremove_node(libxl_ctx *ctx, uint32_t pool, int node, int *count)
{
    (void)ctx, (void)pool, (void)node;
    *count = 0;
    return passes_over();
}

int libxl_node_to_cpumap(libxl_ctx *ctx, int node, libxl_bitmap *cpus)
{
    (void)ctx, (void)node, (void)cpus;
    return passes_over();
}

int libxl_console_get_tty(libxl_ctx *ctx, uint32_t domid, int number, libxl_console_type type,
                          char **path)
{
    (void)ctx, (void)domid, (void)number, (void)type;
    *path = strdup("/dev/pts/0");
    return passes_over();
}

int libxl_vcpu_sched_params_get(libxl_ctx *ctx, uint32_t domid, libxl_vcpu_sched_params *params)
{
    (void)ctx, (void)domid, (void)params;
    return passes_over();
}

/* A CPU that is offline is one of socket 0xffffffff. */

int libxl_psr_cmt_get_l3_cache_size(libxl_ctx *ctx, uint32_t socket, uint32_t *kib)
{
    (void)ctx, (void)socket;
    *kib = 0;
    return passes_over();
}

int libxl_psr_cmt_get_cache_occupancy(libxl_ctx *ctx, uint32_t domid, uint32_t socket, uint32_t *kib)
{
    (void)ctx, (void)domid, (void)socket;
    *kib = 0;
    return passes_over();
}

/* Failures. */

/* Frees what the structure points to, and leaves the pointer. */
int libxl_device_disk_getinfo(libxl_ctx *ctx, uint32_t domid, const libxl_device_disk *disk,
                              libxl_diskinfo *info)
{
    (void)ctx, (void)domid, (void)disk;
    info->backend = strdup("/not/a/backend");
    free(info->backend);
    return ERROR_FAIL;
}

/* Has room for two devices, and has filled in none. */
int libxl_device_vsnd_getinfo(libxl_ctx *ctx, uint32_t domid, const libxl_device_vsnd *card,
                              libxl_vsndinfo *info)
{
    (void)ctx, (void)domid, (void)card;
    libxl_vsndinfo_init(info);
    info->num_vsnd_pcms = 2;
    info->pcms = malloc(2 * sizeof *info->pcms);
    memset(info->pcms, 0xa5, 2 * sizeof *info->pcms);
    return ERROR_FAIL;
}

libxl_device_usbctrl *libxl_device_usbctrl_list(libxl_ctx *ctx, uint32_t domid, int *count)
{
    libxl_device_usbctrl *list = calloc(1, sizeof *list);
    (void)ctx, (void)domid;
    libxl_device_usbctrl_init(list);
    list->type = LIBXL_USBCTRL_TYPE_QUSB;
    list->devid = 0;
    *count = 1;
    return list;
}

static int remove_usbctrl(const libxl_device_usbctrl *ctrl)
{
    if (ctrl->type == LIBXL_USBCTRL_TYPE_AUTO) {
        fprintf(stderr, "libxl would end the process: a controller of no kind\n");
        abort();
    }
    passes_over();
    return ERROR_FAIL;
}

int libxl_device_usbctrl_remove(libxl_ctx *ctx, uint32_t domid, libxl_device_usbctrl *ctrl,
                                const libxl_asyncop_how *how)
{
    (void)ctx, (void)domid, (void)how;
    return remove_usbctrl(ctrl);
}

int libxl_device_usbctrl_destroy(libxl_ctx *ctx, uint32_t domid, libxl_device_usbctrl *ctrl,
                                 const libxl_asyncop_how *how)
{
    (void)ctx, (void)domid, (void)how;
    return remove_usbctrl(ctrl);
}

/* libxl's own function for programs that it starts ends the process if it cannot. */
int libxl_vncviewer_exec(libxl_ctx *ctx, uint32_t domid, int autopass)
{
    const char *viewer = getenv("VNCVIEWER");
    (void)ctx, (void)domid, (void)autopass;
    if (viewer && access(viewer, X_OK)) {
        fprintf(stderr, "libxl: cannot execute %s\n", viewer);
        _exit(-1);
    }
    return ERROR_FAIL;
}
