/* http.c - see http.h and message.h: what needs no connection. */
#include "net/message.h"
#include <stdlib.h>

enum { HEADER_OVERHEAD = 32, BODY_STEP = 1 << 20 };

sv http_header(const struct http_request *r, sv lower_case_name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (sv_eq(r->headers[i].name, lower_case_name))
            return r->headers[i].value;
    return SV_NULL;
}

static bool is_token_char(unsigned char c)
{
    if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
        return true;
    return c && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool http_is_token(sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_token_char((unsigned char)s.p[i]))
            return false;
    return s.n > 0;
}

bool http_is_field_value(sv s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool http_unescape(sv s, bool plus, struct arena *a, sv *ret)
{
    if (sv_find_char(s, '%') == SV_NPOS && !(plus && sv_find_char(s, '+') != SV_NPOS)) {
        *ret = s;
        return true;
    }
    char *to = arena_alloc(a, s.n);
    if (!to)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int hi = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1, lo = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return false;
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        to[n++] = c;
    }
    *ret = sv_make(to, n);
    return true;
}

bool http_parse_params(sv text, size_t max_params, struct arena *a, struct http_params *ret, struct err *e)
{
    struct http_params p = {0};
    size_t cap = 0;
    while (text.n) {
        sv one = sv_cut(&text, '&');
        if (!one.n)
            continue;
        if (p.n == max_params)
            return err_set(e, ERR_LIMIT, "more than %zu parameters", max_params);
        struct http_param *grown = arena_grow(a, p.at, p.n, &cap, sizeof *p.at);
        if (!grown)
            return arena_err(a, e, "parameters");
        p.at = grown;
        struct http_param *at = &p.at[p.n++];
        sv value = one, name = sv_cut(&value, '=');
        if (!http_unescape(name, true, a, &at->name) || !http_unescape(value, true, a, &at->value)) {
            if (a->failed)
                return arena_err(a, e, "parameters");
            return err_set(e, ERR_PARSE, "invalid URL escape in parameter '" SV_FMT "'",
                           SV_ARG(sv_sub(name, 0, 80)));
        }
        if (!at->value.p)
            at->value = SV("");
    }
    *ret = p;
    return true;
}

sv http_param(const struct http_params *p, sv name, size_t nth)
{
    for (size_t i = 0; i < p->n; i++)
        if (sv_eq(p->at[i].name, name) && nth-- == 0)
            return p->at[i].value;
    return SV_NULL;
}

const char *http_status_text(int status)
{
    switch (status) {
    case 100:
        return "Continue";
    case 101:
        return "Switching Protocols";
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 206:
        return "Partial Content";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 303:
        return "See Other";
    case 304:
        return "Not Modified";
    case 307:
        return "Temporary Redirect";
    case 308:
        return "Permanent Redirect";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 411:
        return "Length Required";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Content Too Large";
    case 414:
        return "URI Too Long";
    case 415:
        return "Unsupported Media Type";
    case 416:
        return "Range Not Satisfiable";
    case 417:
        return "Expectation Failed";
    case 421:
        return "Misdirected Request";
    case 422:
        return "Unprocessable Content";
    case 426:
        return "Upgrade Required";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 499:
        return "Client Closed Request";
    case 500:
        return "Internal Server Error";
    case 501:
        return "Not Implemented";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    case 505:
        return "HTTP Version Not Supported";
    case 507:
        return "Insufficient Storage";
    default:
        return "Unknown";
    }
}

struct http_message *http_message_new(const struct http_limits *lim)
{
    struct http_message *m = calloc(1, sizeof *m);
    if (!m)
        return NULL;
    arena_init(&m->arena, 0);
    m->req.arena = &m->arena;
    m->req.peer = "";
    m->budget = lim->budget;
    m->body.max = lim->max_body_bytes;
    return m;
}

void http_message_free(struct http_message *m)
{
    if (!m)
        return;
    if (m->budget)
        atomic_fetch_sub_explicit(&m->budget->used, m->charged, memory_order_relaxed);
    buf_done(&m->body);
    arena_done(&m->arena);
    free(m);
}

bool http_message_charge(struct http_message *m, uint64_t n)
{
    if (!m->budget)
        return true;
    uint64_t before = atomic_fetch_add_explicit(&m->budget->used, n, memory_order_relaxed);
    if (before > m->budget->max || n > m->budget->max - before) {
        atomic_fetch_sub_explicit(&m->budget->used, n, memory_order_relaxed);
        return false;
    }
    m->charged += n;
    return true;
}

void http_message_release_body(struct http_message *m)
{
    buf_done(&m->body);
    if (m->budget)
        atomic_fetch_sub_explicit(&m->budget->used, m->charged - m->charged_headers, memory_order_relaxed);
    m->charged = m->charged_headers;
}

enum http_refusal http_message_count_header(struct http_message *m, const struct http_limits *lim, size_t name_n,
                                            size_t value_n)
{
    uint64_t n = (uint64_t)name_n + value_n + HEADER_OVERHEAD;
    m->header_bytes += n;
    if (m->header_bytes > lim->max_header_bytes)
        return HTTP_HEADER_TOO_LARGE;
    if (!http_message_charge(m, n))
        return HTTP_BUDGET_EXHAUSTED;
    if (m->budget)
        m->charged_headers += n;
    return HTTP_FINE;
}

enum http_refusal http_message_add_header(struct http_message *m, const struct http_limits *lim, sv name,
                                          sv value)
{
    if (m->req.n_headers >= lim->max_headers)
        return HTTP_HEADER_TOO_LARGE;
    enum http_refusal why = http_message_count_header(m, lim, name.n, value.n);
    if (why)
        return why;
    struct http_header *at = arena_grow(&m->arena, (void *)(uintptr_t)m->req.headers, m->req.n_headers,
                                        &m->headers_cap, sizeof *at);
    char *bytes = arena_alloc(&m->arena, name.n + value.n);
    if (!at || !bytes)
        return HTTP_OUT_OF_MEMORY;
    for (size_t i = 0; i < name.n; i++)
        bytes[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 : name.p[i]);
    if (value.n)
        memcpy(bytes + name.n, value.p, value.n);
    at[m->req.n_headers++] = (struct http_header){sv_make(bytes, name.n), sv_make(bytes + name.n, value.n)};
    m->req.headers = at;
    return HTTP_FINE;
}

/* The buffer grows to what was announced while that is modest, then by doubling: a peer that announces 20 MiB
 * and sends three bytes costs 1 MiB of address space. */
enum http_refusal http_message_add_body(struct http_message *m, const struct http_limits *lim, sv bytes,
                                        uint64_t expected)
{
    if (bytes.n > lim->max_body_bytes - m->body.n)
        return HTTP_BODY_TOO_LARGE;
    if (!http_message_charge(m, bytes.n))
        return HTTP_BUDGET_EXHAUSTED;
    if (m->body.cap - m->body.n < bytes.n) {
        size_t want = MAX(MAX(bytes.n, m->body.n), (size_t)MIN(expected, (uint64_t)BODY_STEP));
        if (expected > m->body.n)
            want = MIN(want, MAX((size_t)(expected - m->body.n), bytes.n));
        want = MIN(want, (size_t)(lim->max_body_bytes - m->body.n));
        if (!buf_reserve(&m->body, want))
            return HTTP_OUT_OF_MEMORY;
    }
    buf_sv(&m->body, bytes);
    m->req.body = buf_view(&m->body);
    return HTTP_FINE;
}

bool http_message_set_target(struct http_message *m, sv target)
{
    if (sv_find_char(target, '#') != SV_NPOS)
        return false;
    sv query = target;
    m->req.raw_path = sv_cut(&query, '?');
    m->req.query = query;
    return http_unescape(m->req.raw_path, false, &m->arena, &m->req.path) &&
           sv_find_char(m->req.path, '\0') == SV_NPOS;
}
