/* ip.h - the argument of ip("…"): one address, a CIDR, or a range a-b; v4 or v6. */
#pragma once
#include "base/err.h"
#include "base/sv.h"

struct ip_range {
    bool v6;
    uint8_t from[16], to[16]; /* v4: the first four bytes */
};
/* ERR_PARSE: ip: invalid pattern: "zz". */
MUST_USE bool ip_range_parse(sv text, struct ip_range *ret, struct err *e);
bool ip_range_has(const struct ip_range *r, sv address); /* false, too, when it is no address */
bool ip_range_in_line(const struct ip_range *r, sv line); /* some address in the line is in the range */
