/* The libxl that the dynamic linker has loaded. */
#ifndef LIBXL_SYS_LOADED_H
#define LIBXL_SYS_LOADED_H

/* The SONAME of the library that libxl_ctx_alloc is in; NULL if it has none, as a program has none
 * that libxl is linked into. The string belongs to the library. */
const char *libxl_sys_loaded_soname(void);

#endif
