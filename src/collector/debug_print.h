/* debug_print.h - records as text for people, in the forms the Collector's debug exporter has. */
#pragma once
#include "base/buf.h"

void debug_print_normal(sv request, struct buf *out);   /* a line per record */
void debug_print_detailed(sv request, struct buf *out); /* everything there is */
