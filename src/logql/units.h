/* units.h - numbers with units, as LogQL reads and prints them. */
#pragma once
#include "base/buf.h"

/* Prometheus form: integers with y w d h m s ms, largest first ("1h30m"). ERR_PARSE has Prometheus' wording. */
MUST_USE bool duration_prometheus(sv text, int64_t *ret_ns, struct err *e);
/* Go form: signed decimals with h m s ms us ns ("-1.5h"). ERR_PARSE has Go's wording ("time: invalid duration …"). */
MUST_USE bool duration_go(sv text, int64_t *ret_ns, struct err *e);
/* "5MB", "1.5 KiB", "10": k is 1000, Ki 1024; case does not matter. ERR_PARSE. */
MUST_USE bool bytes_humanised(sv text, double *ret, struct err *e);
/* A decimal float as Go's ParseFloat takes it; ERR_PARSE: strconv.ParseFloat: parsing "x": invalid syntax. */
MUST_USE bool float_go(sv text, double *ret, struct err *e);

void print_duration_prometheus(int64_t ns, struct buf *out); /* whole milliseconds */
void print_duration_go(int64_t ns, struct buf *out);
void print_float(double v, struct buf *out); /* shortest decimal that reads back */
