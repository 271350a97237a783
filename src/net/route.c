/* route.c - http_route(): a handful of routes, matched one by one. */
#include "net/server.h"

static bool has_word(sv words, sv word)
{
    while (words.n)
        if (sv_eq(sv_cut(&words, ' '), word))
            return true;
    return false;
}

/* Segment by segment. "*" takes one non-empty segment, a last "**" whatever is left, also nothing. */
static bool path_matches(sv pattern, sv path)
{
    for (;;) {
        bool more_pattern = sv_find_char(pattern, '/') != SV_NPOS,
             more_path = sv_find_char(path, '/') != SV_NPOS;
        sv want = sv_cut(&pattern, '/'), have = sv_cut(&path, '/');
        if (sv_eq(want, SV("**")) && !more_pattern)
            return true;
        if (sv_eq(want, SV("*")) ? have.n == 0 : !sv_eq(want, have))
            return false;
        if (more_pattern != more_path)
            return false;
        if (!more_pattern)
            return true;
    }
}

static void answer_405(const struct http_route *r, struct http_exchange *x)
{
    struct buf allow = {0};
    for (sv words = sv_of(r->methods); words.n;) {
        buf_sv(&allow, allow.n ? SV(", ") : SV(""));
        buf_sv(&allow, sv_cut(&words, ' '));
    }
    struct buf body = {0};
    buf_fmt(&body, "405 method not allowed, supported: [" SV_FMT "]\n", SV_ARG(buf_view(&allow)));
    struct http_header headers[] = {{SV("allow"), buf_view(&allow)},
                                    {SV("content-type"), SV("text/plain; charset=utf-8")},
                                    {SV("x-content-type-options"), SV("nosniff")}};
    http_reply(x, 405, headers, ARRAY_LEN(headers), &body);
    buf_done(&allow);
}

void http_route(const struct http_route *table, void *ctx, struct http_exchange *x)
{
    const struct http_request *r = http_request_of(x);
    const struct http_route *wrong_method = NULL;
    for (; table->handler; table++) {
        if (!path_matches(sv_of(table->pattern), r->path))
            continue;
        sv methods = sv_of(table->methods);
        if (has_word(methods, r->method) || (sv_eq(r->method, SV("HEAD")) && has_word(methods, SV("GET")))) {
            table->handler(ctx, x);
            return;
        }
        wrong_method = table;
    }
    if (wrong_method)
        answer_405(wrong_method, x);
    else
        http_reply_text(x, 404, SV("404 page not found\n"));
}
