/* params.c - see params.h. */
#include "api/params.h"
#include "store/limits.h"
#include "base/clock.h"
#include "logql/units.h"
#include <math.h>
#include <stdio.h>
#include <time.h>

#define PARAMS_MAX 1000
#define SINCE_DEFAULT (3600 * NS_PER_S)
#define LIMIT_DEFAULT 100
#define STEPS_DEFAULT 250   /* points a query without `step` aims at */
#define STEPS_MAX 11000
#define QUOTED_MAX 100

void put_quoted(struct buf *out, sv s)
{
    s = sv_sub(s, 0, QUOTED_MAX);
    buf_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\')
            buf_fmt(out, "\\%c", c);
        else if (c == '\n')
            buf_sv(out, SV("\\n"));
        else if (c < 0x20 || c == 0x7f)
            buf_fmt(out, "\\x%02x", c);
        else
            buf_char(out, (char)c);
    }
    buf_char(out, '"');
}

/* "<before>"text"<after>" as an error. */
static bool err_quoted(struct err *e, const char *before, sv text, const char *after)
{
    SCOPED(buf_done) struct buf q = {0};
    put_quoted(&q, text);
    return err_set(e, ERR_INVALID, "%s" SV_FMT "%s", before, SV_ARG(buf_view(&q)), after);
}

bool params_read(const struct http_request *r, struct arena *a, struct params *ret, struct err *e)
{
    *ret = (struct params){0};
    sv type = http_header(r, SV("content-type"));
    sv media = sv_trim(sv_cut(&type, ';'));
    if (sv_eq(r->method, SV("POST")) && sv_eq_nocase(media, SV("application/x-www-form-urlencoded")) &&
        !http_parse_params(r->body, PARAMS_MAX, a, &ret->body, e))
        return false;
    return http_parse_params(r->query, PARAMS_MAX, a, &ret->url, e);
}

sv params_nth(const struct params *p, sv name, size_t nth)
{
    const struct http_params *const both[] = {&p->body, &p->url};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < both[k]->n; i++)
            if (sv_eq(both[k]->at[i].name, name) && nth-- == 0)
                return both[k]->at[i].value;
    return SV_NULL;
}

sv params_get(const struct params *p, sv name)
{
    return params_nth(p, name, 0);
}

/* ---- times ---- */

static int64_t ns_of(int64_t seconds, int64_t ns)
{
    int64_t v;
    if (__builtin_mul_overflow(seconds, NS_PER_S, &v) || __builtin_add_overflow(v, ns, &v))
        return seconds < 0 ? INT64_MIN : INT64_MAX;
    return v;
}

/* Exactly n digits at the front of *s. */
static bool take_digits(sv *s, size_t n, int lo, int hi, int *ret)
{
    uint64_t v;
    sv digits = sv_sub(*s, 0, n);
    if (digits.n != n || !sv_to_u64(digits, &v) || (int)v < lo || (int)v > hi)
        return false;
    *s = sv_from(*s, n);
    *ret = (int)v;
    return true;
}
static bool take_char(sv *s, char c)
{
    if (!s->n || *s->p != c)
        return false;
    *s = sv_from(*s, 1);
    return true;
}

/* ".5" to nanoseconds; digits beyond the ninth are dropped. */
static bool take_fraction(sv *s, int64_t *ret)
{
    int64_t scale = NS_PER_S;
    size_t n = 0;
    for (*ret = 0; n < s->n && s->p[n] >= '0' && s->p[n] <= '9'; n++) {
        scale /= 10;
        *ret += (s->p[n] - '0') * scale;
    }
    *s = sv_from(*s, n);
    return n > 0;
}

static int days_in_month(int year, int month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

bool rfc3339_parse(sv s, int64_t *ret_ns)
{
    struct tm t = {0};
    int64_t fraction = 0, offset = 0;
    int year, month, hours, minutes;
    if (!take_digits(&s, 4, 0, 9999, &year) || !take_char(&s, '-') || !take_digits(&s, 2, 1, 12, &month) ||
        !take_char(&s, '-') || !take_digits(&s, 2, 1, days_in_month(year, month), &t.tm_mday) || !take_char(&s, 'T') ||
        !take_digits(&s, 2, 0, 23, &t.tm_hour) || !take_char(&s, ':') || !take_digits(&s, 2, 0, 59, &t.tm_min) ||
        !take_char(&s, ':') || !take_digits(&s, 2, 0, 59, &t.tm_sec))
        return false;
    if (take_char(&s, '.') && !take_fraction(&s, &fraction))
        return false;
    if (!take_char(&s, 'Z')) {
        int sign = take_char(&s, '+') ? 1 : take_char(&s, '-') ? -1 : 0;
        if (!sign || !take_digits(&s, 2, 0, 23, &hours) || !take_char(&s, ':') || !take_digits(&s, 2, 0, 59, &minutes))
            return false;
        offset = sign * (hours * 3600 + minutes * 60);
    }
    if (s.n)
        return false;
    t.tm_year = year - 1900;
    t.tm_mon = month - 1;
    *ret_ns = ns_of((int64_t)timegm(&t) - offset, fraction);
    return true;
}

/* Why `text` is no integer, in the words of Go's strconv. */
static bool err_not_integer(struct err *e, const char *func, sv text)
{
    sv digits = text;
    if (!take_char(&digits, '-') && !take_char(&digits, '+'))
        digits = text;
    bool number = digits.n > 0;
    for (size_t i = 0; i < digits.n; i++)
        number &= digits.p[i] >= '0' && digits.p[i] <= '9';
    char before[64];
    snprintf(before, sizeof before, "strconv.%s: parsing ", func);
    return err_quoted(e, before, text, number ? ": value out of range" : ": invalid syntax");
}

bool param_time(sv text, int64_t fallback, int64_t *ret_ns, struct err *e)
{
    double seconds;
    int64_t v;
    if (!text.n) {
        *ret_ns = fallback;
        return true;
    }
    if (sv_find_char(text, '.') != SV_NPOS && sv_to_double(text, &seconds) && isfinite(seconds)) {
        double whole, part = modf(seconds, &whole);
        part = round(part * 1000) / 1000;
        if (fabs(whole) > (double)INT64_MAX / NS_PER_S)
            *ret_ns = whole < 0 ? INT64_MIN : INT64_MAX;
        else
            *ret_ns = ns_of((int64_t)whole, llround(part * NS_PER_S));
        return true;
    }
    if (sv_to_i64(text, &v)) {
        *ret_ns = text.n <= 10 ? ns_of(v, 0) : v;
        return true;
    }
    return rfc3339_parse(text, ret_ns) || err_not_integer(e, "ParseInt", text);
}

bool param_duration(sv text, int64_t *ret_ns, struct err *e)
{
    double seconds;
    if (sv_to_double(text, &seconds)) {
        double ns = seconds * NS_PER_S;
        if (!(ns < (double)INT64_MAX && ns > (double)INT64_MIN))
            return err_quoted(e, "cannot parse ", text, " to a valid duration. It overflows int64");
        *ret_ns = (int64_t)ns;
        return true;
    }
    if (!duration_prometheus(text, ret_ns, NULL))
        return err_quoted(e, "cannot parse ", text, " to a valid duration ");
    return true;
}

/* ---- whole sets ---- */

/* start, end: what a query without them means by "now" and "the last hour". */
static bool read_bounds(const struct params *p, int64_t now_ns, int64_t *start, int64_t *end, struct err *e)
{
    int64_t since = SINCE_DEFAULT;
    sv text = params_get(p, SV("since"));
    if (text.n && !duration_prometheus(text, &since, e))
        return err_ctx(e, "could not parse 'since' parameter");
    if (!param_time(params_get(p, SV("end")), now_ns, end, e))
        return err_ctx(e, "could not parse 'end' parameter");
    int64_t from;
    if (__builtin_sub_overflow(MIN(*end, now_ns), since, &from))
        from = INT64_MIN;
    if (!param_time(params_get(p, SV("start")), from, start, e))
        return err_ctx(e, "could not parse 'start' parameter");
    return true;
}

/* end - start; the difference of any two times fits an unsigned number */
static uint64_t span(int64_t start, int64_t end)
{
    return (uint64_t)end - (uint64_t)start;
}

static bool gone(const struct limits *lim, struct err *e)
{
    SCOPED(buf_done) struct buf b = {0};
    print_duration_prometheus(lim->max_query_lookback, &b);
    return err_set(e, ERR_INVALID, "this data is no longer available, it is past now - max_query_lookback (" SV_FMT ")",
                   SV_ARG(buf_view(&b)));
}

/* Moves `start` up to where the tenant may look. */
static bool look_back(const struct limits *lim, int64_t now_ns, int64_t *start, int64_t end, struct err *e)
{
    int64_t first;
    if (lim->max_query_lookback <= 0 || __builtin_sub_overflow(now_ns, lim->max_query_lookback, &first))
        return true;
    *start = MAX(*start, first);
    return end >= first || gone(lim, e);
}

static bool check_length(const struct limits *lim, int64_t start, int64_t end, struct err *e)
{
    if (lim->max_query_length <= 0 || span(start, end) <= (uint64_t)lim->max_query_length)
        return true;
    SCOPED(buf_done) struct buf have = {0}, limit = {0};
    print_duration_go((int64_t)MIN(span(start, end), (uint64_t)INT64_MAX), &have);
    print_duration_prometheus(lim->max_query_length, &limit);
    return err_set(e, ERR_LIMIT, "the query time range exceeds the limit (query length: " SV_FMT ", limit: " SV_FMT ")",
                   SV_ARG(buf_view(&have)), SV_ARG(buf_view(&limit)));
}

bool params_bounds(const struct params *p, const struct limits *lim, int64_t now_ns, int64_t *ret_start,
                   int64_t *ret_end, struct err *e)
{
    int64_t start, end;
    if (!read_bounds(p, now_ns, &start, &end, e))
        return false;
    if (end < start)
        return gone(lim, e);
    if (!look_back(lim, now_ns, &start, end, e) || !check_length(lim, start, end, e))
        return false;
    *ret_start = start;
    *ret_end = end;
    return true;
}

static bool read_limit(const struct params *p, uint64_t *ret, struct err *e)
{
    int64_t v = LIMIT_DEFAULT;
    sv text = params_get(p, SV("limit"));
    if (text.n && !sv_to_i64(text, &v))
        return err_not_integer(e, "Atoi", text);
    if (v <= 0)
        return err_set(e, ERR_INVALID, "limit must be a positive value");
    *ret = (uint64_t)v;
    return true;
}

static bool read_direction(const struct params *p, bool *ret_backward, struct err *e)
{
    sv text = params_get(p, SV("direction"));
    *ret_backward = !sv_eq_nocase(text, SV("forward"));
    if (text.n && *ret_backward && !sv_eq_nocase(text, SV("backward")))
        return err_set(e, ERR_INVALID, "invalid direction '" SV_FMT "'", SV_ARG(sv_sub(text, 0, QUOTED_MAX)));
    return true;
}

static bool read_step(const struct params *p, struct query_params *q, struct err *e)
{
    uint64_t length = span(q->start_ns, q->end_ns);
    sv text = params_get(p, SV("step"));
    if (!text.n)
        q->step_ns = (int64_t)MAX(length / NS_PER_S / STEPS_DEFAULT, (uint64_t)1) * NS_PER_S;
    else if (!param_duration(text, &q->step_ns, e))
        return false;
    if (q->step_ns <= 0)
        return err_set(e, ERR_INVALID,
                       "zero or negative query resolution step widths are not accepted. Try a positive integer ");
    if (length / (uint64_t)q->step_ns > STEPS_MAX)
        return err_set(e, ERR_LIMIT,
                       "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the "
                       "step parameter ");
    return true;
}

bool params_range_query(const struct params *p, const struct limits *lim, int64_t now_ns, struct query_params *ret,
                        struct err *e)
{
    struct query_params q = {.query = params_get(p, SV("query"))};
    if (!read_bounds(p, now_ns, &q.start_ns, &q.end_ns, e))
        return false;
    if (q.end_ns < q.start_ns)
        return err_set(e, ERR_INVALID, "end timestamp must not be before or equal to start time");
    if (!read_limit(p, &q.limit, e) || !read_direction(p, &q.backward, e) || !read_step(p, &q, e))
        return false;
    sv interval = params_get(p, SV("interval"));
    if (interval.n && !param_duration(interval, &q.interval_ns, e))
        return false;
    if (q.interval_ns < 0)
        return err_set(e, ERR_INVALID, "interval must be >= 0");
    if (!look_back(lim, now_ns, &q.start_ns, q.end_ns, e) || !check_length(lim, q.start_ns, q.end_ns, e))
        return false;
    *ret = q;
    return true;
}

bool params_instant_query(const struct params *p, const struct limits *lim, int64_t now_ns, struct query_params *ret,
                          struct err *e)
{
    struct query_params q = {.query = params_get(p, SV("query"))};
    if (!param_time(params_get(p, SV("time")), now_ns, &q.start_ns, e) || !read_limit(p, &q.limit, e) ||
        !read_direction(p, &q.backward, e))
        return false;
    q.end_ns = q.start_ns;
    if (!look_back(lim, now_ns, &q.start_ns, q.end_ns, e))
        return false;
    *ret = q;
    return true;
}

void params_align(struct query_params *q)
{
    int64_t down = q->start_ns % q->step_ns, up = q->end_ns % q->step_ns, moved;
    down += down < 0 ? q->step_ns : 0;
    up = up ? (up < 0 ? 0 : q->step_ns) - up : 0;
    if (!__builtin_sub_overflow(q->start_ns, down, &moved))
        q->start_ns = moved;
    if (!__builtin_add_overflow(q->end_ns, up, &moved))
        q->end_ns = moved;
}
