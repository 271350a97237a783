/* template_time.c - times in templates: Go's layouts ("2006-01-02 15:04:05.000 MST"), epochs. __timestamp__ is in UTC,
 * `date` prints in the server's zone. */
#include "base/clock.h"
#include "logql/template_ast.h"
#include <stdio.h>
#include <time.h>

static struct value value_time(int64_t ns)
{
    return (struct value){.kind = VALUE_TIME, .i = ns};
}

static bool want_time(const struct value *v, struct err *e)
{
    return v->kind == VALUE_TIME
               ? true
               : err_set(e, ERR_INVALID, "wrong type for value; expected time.Time; got %s", value_type_name(v));
}

enum part {
    PART_TEXT,
    PART_LONG_MONTH,
    PART_MONTH,
    PART_NUM_MONTH,
    PART_ZERO_MONTH,
    PART_LONG_WEEKDAY,
    PART_WEEKDAY,
    PART_DAY,
    PART_UNDER_DAY,
    PART_ZERO_DAY,
    PART_UNDER_YEAR_DAY,
    PART_ZERO_YEAR_DAY,
    PART_HOUR,
    PART_HOUR12,
    PART_ZERO_HOUR12,
    PART_MINUTE,
    PART_ZERO_MINUTE,
    PART_SECOND,
    PART_ZERO_SECOND,
    PART_LONG_YEAR,
    PART_YEAR,
    PART_PM,
    PART_PM_LOWER,
    PART_ZONE,
    PART_OFFSET, /* -0700 and its kin; `text` says which */
    PART_FRACTION,
};

static bool lower_follows(sv s, size_t at)
{
    return at < s.n && s.p[at] >= 'a' && s.p[at] <= 'z';
}

/* ".000" or ".999": the length of the run behind the point, 0 when it is no fraction. */
static size_t fraction_length(sv s)
{
    size_t n = 1;
    if (s.n < 2 || (s.p[0] != '.' && s.p[0] != ',') || (s.p[1] != '0' && s.p[1] != '9'))
        return 0;
    while (n < s.n && s.p[n] == s.p[1])
        n++;
    return n < s.n && s.p[n] >= '0' && s.p[n] <= '9' ? 0 : n;
}

/* What the layout begins with and how long that is; PART_TEXT: one byte that stands for itself. */
static enum part next_part(sv s, size_t *n)
{
    static const struct {
        const char *text;
        enum part part;
    } parts[] = {
        {"January", PART_LONG_MONTH}, {"Jan", PART_MONTH},       {"Monday", PART_LONG_WEEKDAY}, {"Mon", PART_WEEKDAY},
        {"MST", PART_ZONE},           {"002", PART_ZERO_YEAR_DAY}, {"01", PART_ZERO_MONTH},    {"02", PART_ZERO_DAY},
        {"03", PART_ZERO_HOUR12},     {"04", PART_ZERO_MINUTE},  {"05", PART_ZERO_SECOND},      {"06", PART_YEAR},
        {"15", PART_HOUR},            {"1", PART_NUM_MONTH},     {"2006", PART_LONG_YEAR},      {"2", PART_DAY},
        {"_2006", PART_TEXT},         {"_2", PART_UNDER_DAY},    {"__2", PART_UNDER_YEAR_DAY},  {"3", PART_HOUR12},
        {"4", PART_MINUTE},           {"5", PART_SECOND},        {"PM", PART_PM},               {"pm", PART_PM_LOWER},
        {"-070000", PART_OFFSET},     {"-07:00:00", PART_OFFSET}, {"-0700", PART_OFFSET},       {"-07:00", PART_OFFSET},
        {"-07", PART_OFFSET},         {"Z070000", PART_OFFSET},  {"Z07:00:00", PART_OFFSET},    {"Z0700", PART_OFFSET},
        {"Z07:00", PART_OFFSET},      {"Z07", PART_OFFSET},
    };
    *n = fraction_length(s);
    if (*n)
        return PART_FRACTION;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (!sv_starts(s, sv_of(parts[i].text)))
            continue;
        *n = strlen(parts[i].text);
        if ((parts[i].part == PART_MONTH || parts[i].part == PART_WEEKDAY) && lower_follows(s, 3))
            continue; /* "Jane" is a name */
        if (parts[i].part == PART_TEXT)
            break;
        return parts[i].part;
    }
    *n = 1;
    return PART_TEXT;
}

static void put_offset(sv form, long seconds, struct buf *out)
{
    if (form.p[0] == 'Z' && !seconds) {
        buf_char(out, 'Z');
        return;
    }
    long s = seconds < 0 ? -seconds : seconds;
    bool colons = sv_find_char(form, ':') != SV_NPOS;
    size_t digits = 0;
    for (size_t i = 1; i < form.n; i++)
        digits += form.p[i] != ':';
    buf_fmt(out, "%c%02ld", seconds < 0 ? '-' : '+', s / 3600);
    if (digits >= 4)
        buf_fmt(out, "%s%02ld", colons ? ":" : "", s / 60 % 60);
    if (digits >= 6)
        buf_fmt(out, "%s%02ld", colons ? ":" : "", s % 60);
}

static void put_fraction(sv form, int64_t ns, struct buf *out)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%09lld", (long long)ns);
    size_t n = MIN(form.n - 1, (size_t)9);
    if (form.p[1] == '9')
        while (n && digits[n - 1] == '0')
            n--;
    if (n) {
        buf_char(out, form.p[0]);
        buf_put(out, digits, n);
    }
}

static void put_part(enum part part, sv form, const struct tm *tm, int64_t ns, struct buf *out)
{
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    int hour12 = tm->tm_hour % 12 ? tm->tm_hour % 12 : 12;
    switch (part) {
    case PART_TEXT:
        buf_sv(out, form);
        break;
    case PART_LONG_MONTH:
        buf_sv(out, sv_of(months[tm->tm_mon]));
        break;
    case PART_MONTH:
        buf_put(out, months[tm->tm_mon], 3);
        break;
    case PART_LONG_WEEKDAY:
        buf_sv(out, sv_of(days[tm->tm_wday]));
        break;
    case PART_WEEKDAY:
        buf_put(out, days[tm->tm_wday], 3);
        break;
    case PART_NUM_MONTH:
    case PART_ZERO_MONTH:
        buf_fmt(out, part == PART_NUM_MONTH ? "%d" : "%02d", tm->tm_mon + 1);
        break;
    case PART_DAY:
        buf_fmt(out, "%d", tm->tm_mday);
        break;
    case PART_UNDER_DAY:
        buf_fmt(out, "%2d", tm->tm_mday);
        break;
    case PART_ZERO_DAY:
        buf_fmt(out, "%02d", tm->tm_mday);
        break;
    case PART_UNDER_YEAR_DAY:
    case PART_ZERO_YEAR_DAY:
        buf_fmt(out, part == PART_UNDER_YEAR_DAY ? "%3d" : "%03d", tm->tm_yday + 1);
        break;
    case PART_HOUR:
        buf_fmt(out, "%02d", tm->tm_hour);
        break;
    case PART_HOUR12:
    case PART_ZERO_HOUR12:
        buf_fmt(out, part == PART_HOUR12 ? "%d" : "%02d", hour12);
        break;
    case PART_MINUTE:
    case PART_ZERO_MINUTE:
        buf_fmt(out, part == PART_MINUTE ? "%d" : "%02d", tm->tm_min);
        break;
    case PART_SECOND:
    case PART_ZERO_SECOND:
        buf_fmt(out, part == PART_SECOND ? "%d" : "%02d", tm->tm_sec);
        break;
    case PART_LONG_YEAR:
        buf_fmt(out, "%04d", tm->tm_year + 1900);
        break;
    case PART_YEAR:
        buf_fmt(out, "%02d", (tm->tm_year + 1900) % 100);
        break;
    case PART_PM:
        buf_sv(out, tm->tm_hour >= 12 ? SV("PM") : SV("AM"));
        break;
    case PART_PM_LOWER:
        buf_sv(out, tm->tm_hour >= 12 ? SV("pm") : SV("am"));
        break;
    case PART_ZONE:
        buf_sv(out, sv_of(tm->tm_zone));
        break;
    case PART_OFFSET:
        put_offset(form, tm->tm_gmtoff, out);
        break;
    case PART_FRACTION:
        put_fraction(form, ns, out);
        break;
    }
}

void time_put(int64_t t_ns, sv layout, bool local, struct buf *out)
{
    int64_t s = t_ns / NS_PER_S, ns = t_ns % NS_PER_S;
    if (ns < 0) {
        s--;
        ns += NS_PER_S;
    }
    time_t seconds = (time_t)s;
    struct tm tm;
    if (!(local ? localtime_r(&seconds, &tm) : gmtime_r(&seconds, &tm)))
        return;
    if (!local)
        tm.tm_zone = "UTC";
    while (layout.n && !out->failed) {
        size_t n;
        enum part part = next_part(layout, &n);
        put_part(part, sv_sub(layout, 0, n), &tm, ns, out);
        layout = sv_from(layout, n);
    }
}

TMPL_FN(fn_timestamp)
{
    *ret = value_time(env->ts_ns);
    return true;
}
TMPL_FN(fn_date)
{
    if (!want_string(&v[0], e) || !want_time(&v[1], e))
        return false;
    SCOPED(buf_done) struct buf out = buf_capped(TMPL_MAX_VALUE);
    time_put(v[1].i, v[0].s, true, &out);
    return value_give(env, &out, ret, e);
}

static bool epoch(const struct template_env *env, const struct value *v, int64_t unit_ns, struct value *ret, struct err *e)
{
    if (!want_time(v, e))
        return false;
    SCOPED(buf_done) struct buf out = {0};
    int64_t q = v->i / unit_ns;
    buf_i64(&out, v->i % unit_ns < 0 ? q - 1 : q);
    return value_give(env, &out, ret, e);
}
TMPL_FN(fn_unixEpoch)
{
    return epoch(env, v, NS_PER_S, ret, e);
}
TMPL_FN(fn_unixEpochMillis)
{
    return epoch(env, v, NS_PER_MS, ret, e);
}
TMPL_FN(fn_unixEpochNanos)
{
    return epoch(env, v, 1, ret, e);
}
/* The number of digits tells the unit. */
TMPL_FN(fn_unixToTime)
{
    int64_t t;
    if (!want_string(&v[0], e))
        return false;
    sv s = v[0].s;
    if (!sv_to_i64(s, &t))
        return err_set(e, ERR_INVALID, "unable to parse time '%.*s'", (int)MIN(s.n, (size_t)40), s.p ? s.p : "");
    int64_t unit = s.n == 5    ? 86400 * NS_PER_S
                   : s.n == 10 ? NS_PER_S
                   : s.n == 13 ? NS_PER_MS
                   : s.n == 16 ? 1000
                   : s.n == 19 ? 1
                               : 0;
    if (!unit || __builtin_mul_overflow(t, unit, &t))
        return err_set(e, ERR_INVALID, "unable to parse time '%.*s'", (int)MIN(s.n, (size_t)40), s.p ? s.p : "");
    *ret = value_time(t);
    return true;
}
