/* ip.c - see ip.h. */
#include "logql/ip.h"
#include <arpa/inet.h>

static bool parse_address(sv text, uint8_t out[16], bool *v6)
{
    char s[INET6_ADDRSTRLEN + 1];
    if (!text.n || text.n >= sizeof s)
        return false;
    memcpy(s, text.p, text.n);
    s[text.n] = 0;
    memset(out, 0, 16);
    *v6 = sv_find_char(text, ':') != SV_NPOS;
    return inet_pton(*v6 ? AF_INET6 : AF_INET, s, out) == 1;
}

static bool parse_cidr(sv address, sv bits_text, struct ip_range *r)
{
    uint64_t bits;
    if (!parse_address(address, r->from, &r->v6) || !sv_to_u64(bits_text, &bits) || bits > (r->v6 ? 128 : 32))
        return false;
    for (unsigned i = 0; i < 16; i++) {
        unsigned keep = bits >= 8 * (i + 1) ? 8 : bits <= 8 * i ? 0 : (unsigned)bits - 8 * i;
        uint8_t mask = (uint8_t)(0xff00u >> keep);
        r->from[i] &= mask;
        r->to[i] = r->from[i] | (uint8_t)~mask;
    }
    return true;
}

bool ip_range_parse(sv text, struct ip_range *ret, struct err *e)
{
    struct ip_range r = {0};
    size_t dash = sv_find_char(text, '-'), slash = sv_find_char(text, '/');
    bool ok, v6;
    if (dash != SV_NPOS) {
        ok = parse_address(sv_sub(text, 0, dash), r.from, &r.v6) && parse_address(sv_from(text, dash + 1), r.to, &v6) &&
             v6 == r.v6 && memcmp(r.from, r.to, 16) <= 0;
    } else if (slash != SV_NPOS) {
        ok = parse_cidr(sv_sub(text, 0, slash), sv_from(text, slash + 1), &r);
    } else {
        ok = parse_address(text, r.from, &r.v6);
        memcpy(r.to, r.from, 16);
    }
    if (!ok)
        return err_set(e, ERR_PARSE, "ip: invalid pattern: \"%.*s\"", (int)MIN(text.n, (size_t)80), text.p ? text.p : "");
    *ret = r;
    return true;
}

bool ip_range_has(const struct ip_range *r, sv address)
{
    uint8_t a[16];
    bool v6;
    if (!parse_address(address, a, &v6) || v6 != r->v6)
        return false;
    size_t n = v6 ? 16 : 4;
    return memcmp(a, r->from, n) >= 0 && memcmp(a, r->to, n) <= 0;
}

static bool is_address_char(char c, bool v6)
{
    return (c >= '0' && c <= '9') || c == '.' || (v6 && (c == ':' || ((c | 32) >= 'a' && (c | 32) <= 'f')));
}

bool ip_range_in_line(const struct ip_range *r, sv line)
{
    for (size_t i = 0; i < line.n;) {
        size_t n = 0;
        while (i + n < line.n && is_address_char(line.p[i + n], r->v6))
            n++;
        sv run = sv_sub(line, i, n);
        i += n + 1;
        if (ip_range_has(r, run))
            return true;
        /* "10.0.0.1." at the end of a sentence, "fe80::1:" in front of a text */
        if (n && (run.p[n - 1] == '.' || run.p[n - 1] == ':') && ip_range_has(r, sv_sub(run, 0, n - 1)))
            return true;
    }
    return false;
}
