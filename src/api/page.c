/* page.c - see page.h. */
#include "api/page.h"
#include "ui/ui.h"

/* "q=0", "q=0.000": refused (RFC 9110 section 12.4.2). */
static bool refused(sv params)
{
    while (params.n) {
        sv one = sv_trim(sv_cut(&params, ';'));
        if (!sv_starts(one, SV("q=0")) && !sv_starts(one, SV("Q=0")))
            continue;
        for (one = sv_from(one, 3); one.n && (*one.p == '.' || *one.p == '0');)
            one = sv_from(one, 1);
        return one.n == 0;
    }
    return false;
}

bool page_accepts(sv accept_encoding, sv coding)
{
    bool any = false;
    while (accept_encoding.n) {
        sv params = sv_cut(&accept_encoding, ',');
        sv name = sv_trim(sv_cut(&params, ';'));
        if (sv_eq_nocase(name, coding))
            return !refused(params);
        if (sv_eq(name, SV("*")))
            any = !refused(params);
    }
    return any;
}

static sv without_weak(sv etag)
{
    return sv_starts(etag, SV("W/")) ? sv_from(etag, 2) : etag;
}

bool page_has_etag(sv if_none_match, sv etag)
{
    if (sv_eq(sv_trim(if_none_match), SV("*")))
        return true;
    while (if_none_match.n) {
        sv one = sv_trim(sv_cut(&if_none_match, ','));
        if (sv_eq(without_weak(one), without_weak(etag)))
            return true;
    }
    return false;
}

bool page_reply(struct http_exchange *x)
{
    const struct http_request *r = http_request_of(x);
    if (!sv_eq(r->method, SV("GET")) && !sv_eq(r->method, SV("HEAD")))
        return false;
    const struct ui_file *f = ui_find(r->path.p, r->path.n);
    if (!f)
        return false;
    struct http_header headers[8];
    size_t n = 0;
    headers[n++] = (struct http_header){SV("etag"), sv_of(f->etag)};
    headers[n++] = (struct http_header){SV("cache-control"), sv_of(f->cache_control)};
    headers[n++] = (struct http_header){SV("vary"), SV("Accept-Encoding")};
    headers[n++] = (struct http_header){SV("x-content-type-options"), SV("nosniff")};
    headers[n++] = (struct http_header){SV("referrer-policy"), SV("no-referrer")};
    headers[n++] = (struct http_header){SV("content-security-policy"), SV(UI_CSP)};
    if (page_has_etag(http_header(r, SV("if-none-match")), sv_of(f->etag))) {
        http_reply_static(x, 304, headers, n, SV_NULL);
        return true;
    }
    bool gz = f->gz && page_accepts(http_header(r, SV("accept-encoding")), SV("gzip"));
    headers[n++] = (struct http_header){SV("content-type"), sv_of(f->content_type)};
    if (gz)
        headers[n++] = (struct http_header){SV("content-encoding"), SV("gzip")};
    http_reply_static(x, 200, headers, n, gz ? sv_make(f->gz, f->gz_size) : sv_make(f->data, f->size));
    return true;
}
