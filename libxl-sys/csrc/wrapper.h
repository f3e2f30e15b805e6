/* Everything that the bindings cover. libxl_json.h is left out: it needs the headers of the JSON
 * library that libxl was built with, which its -dev package does not pull in. */
#include <libxl.h>
#include <libxl_utils.h>
#ifdef LIBXL_SYS_XLUTIL
#include <libxlutil.h>
#endif
#include <xencall.h>
#include <xenctrl.h>
#include <xenstore.h>
#include <xentoollog.h>

#include "loaded.h"
#include "logger.h"
