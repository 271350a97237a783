/* detect.c - see detect.h.
 * (1) Severity of a plain line: marks that can only be one (<3>, glog, level=), then words where loggers put them, then how
 *     failures begin. A word in the middle of a sentence is no level: wrong is worse than none.
 * (2) Of an object, what became body, time, severity or trace is no attribute as well; what was not understood stays one.
 * (3) Only a text's first line is looked at, and of it the beginning: a long line costs no more than a short one. */
#include "cli/detect.h"
#include "api/params.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/json_out.h"
#include "cli/lines.h"
#include <math.h>
#include <stdlib.h>

#define WORDS_WITHIN 256 /* bytes of a line in which a level's word is looked for, and how many words of it */
#define WORDS_MAX 12
#define LOGFMT_WITHIN 1024
#define OBJECT_MEMORY (64u << 20) /* of one object's attributes */

struct detector {
    struct detect_config cfg;
    struct json_parser *json;
    struct arena arena;
    struct buf plain; /* text without escape sequences */
    struct buf body;  /* the same of an object's message */
    weir_attr *attrs, own[DETECT_SPARE];
    size_t n_spare;
    weir_trace_context trace;
};

#define STARTS(s, literal) sv_starts(s, SV(literal))

/* ---- names of levels ---- */

static const struct level {
    sv name;
    int severity;
    bool only_caps; /* in lower case it is an ordinary word */
} levels[] = {
    {SV("trace"), WEIR_SEVERITY_TRACE},        {SV("trc"), WEIR_SEVERITY_TRACE},
    {SV("trce"), WEIR_SEVERITY_TRACE},         {SV("verbose"), WEIR_SEVERITY_TRACE, true},
    {SV("finest"), WEIR_SEVERITY_TRACE, true}, {SV("finer"), WEIR_SEVERITY_TRACE, true},
    {SV("debug"), WEIR_SEVERITY_DEBUG},        {SV("dbg"), WEIR_SEVERITY_DEBUG},
    {SV("dbug"), WEIR_SEVERITY_DEBUG},         {SV("fine"), WEIR_SEVERITY_DEBUG, true},
    {SV("info"), WEIR_SEVERITY_INFO},          {SV("inf"), WEIR_SEVERITY_INFO},
    {SV("information"), WEIR_SEVERITY_INFO},   {SV("informational"), WEIR_SEVERITY_INFO},
    {SV("notice"), WEIR_SEVERITY_INFO2},       {SV("note"), WEIR_SEVERITY_INFO2, true},
    {SV("warn"), WEIR_SEVERITY_WARN},          {SV("warning"), WEIR_SEVERITY_WARN},
    {SV("wrn"), WEIR_SEVERITY_WARN},           {SV("error"), WEIR_SEVERITY_ERROR},
    {SV("err"), WEIR_SEVERITY_ERROR},          {SV("fail"), WEIR_SEVERITY_ERROR},
    {SV("severe"), WEIR_SEVERITY_ERROR},       {SV("critical"), WEIR_SEVERITY_FATAL},
    {SV("crit"), WEIR_SEVERITY_FATAL},         {SV("fatal"), WEIR_SEVERITY_FATAL},
    {SV("panic"), WEIR_SEVERITY_FATAL},        {SV("alert"), WEIR_SEVERITY_FATAL},
    {SV("emerg"), WEIR_SEVERITY_FATAL},        {SV("emergency"), WEIR_SEVERITY_FATAL},
};

static const struct level *find_level(sv word)
{
    for (size_t i = 0; word.n >= 3 && word.n <= 13 && i < ARRAY_LEN(levels); i++)
        if ((word.p[0] | 32) == levels[i].name.p[0] && sv_eq_nocase(levels[i].name, word))
            return &levels[i];
    return NULL;
}

int detect_level_word(sv word)
{
    const struct level *l = find_level(word);
    return l ? l->severity : 0;
}

/* syslog(3), by the OpenTelemetry data model. */
static int syslog_severity(unsigned level)
{
    static const int severities[] = {WEIR_SEVERITY_FATAL, WEIR_SEVERITY_ERROR3, WEIR_SEVERITY_ERROR2, WEIR_SEVERITY_ERROR,
                                     WEIR_SEVERITY_WARN,  WEIR_SEVERITY_INFO2,  WEIR_SEVERITY_INFO,   WEIR_SEVERITY_DEBUG};
    return severities[level & 7];
}

static int letter_severity(char c)
{
    switch (c) {
    case 'D':
        return WEIR_SEVERITY_DEBUG;
    case 'I':
        return WEIR_SEVERITY_INFO;
    case 'W':
        return WEIR_SEVERITY_WARN;
    case 'E':
        return WEIR_SEVERITY_ERROR;
    case 'C':
    case 'F':
        return WEIR_SEVERITY_FATAL;
    default:
        return 0;
    }
}

/* ---- marks ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}
static char at(sv s, size_t i)
{
    return i < s.n ? s.p[i] : '\0';
}

/* "<3>", "<30>": the low three bits are the level. Cuts it off. */
static int take_syslog_mark(sv *s)
{
    unsigned v = 0;
    size_t i = 1;
    for (; i <= 3 && is_digit(at(*s, i)); i++)
        v = v * 10 + (unsigned)(s->p[i] - '0');
    if (at(*s, 0) != '<' || i == 1 || at(*s, i) != '>' || v > 191)
        return 0;
    *s = sv_from(*s, i + 1);
    return syslog_severity(v);
}

/* Whether it looks like `shape`, in which 0 stands for any digit. */
static bool looks_like(sv s, const char *shape)
{
    size_t i = 0;
    for (; shape[i]; i++)
        if (i >= s.n || (shape[i] == '0' ? !is_digit(s.p[i]) : s.p[i] != shape[i]))
            return false;
    return true;
}

/* "E1128 12:00:00", and "[E 251128 12:00:00" of Tornado. */
static int glog_severity(sv s)
{
    if (looks_like(sv_from(s, 1), "0000 00:00:00"))
        return letter_severity(at(s, 0));
    return looks_like(sv_from(s, 2), " 000000 ") && at(s, 0) == '[' ? letter_severity(s.p[1]) : 0;
}

/* level=warn, lvl="warn" */
static int logfmt_severity(sv s)
{
    static const sv keys[] = {SV("level"), SV("lvl"), SV("severity"), SV("loglevel"), SV("log.level"), SV("log_level")};
    s = sv_sub(s, 0, LOGFMT_WITHIN);
    for (size_t from = 0, eq; (eq = sv_find_char(sv_from(s, from), '=')) != SV_NPOS; from += eq + 1) {
        size_t end = from + eq, start = end;
        while (start > from && !strchr(" \t,;{[|", s.p[start - 1]))
            start--;
        sv key = sv_sub(s, start, end - start), value = sv_from(s, end + 1);
        if (at(value, 0) == '"')
            value = sv_from(value, 1);
        size_t n = 0;
        while ((at(value, n) | 32) >= 'a' && (at(value, n) | 32) <= 'z')
            n++;
        for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
            int severity = sv_eq_nocase(keys[i], key) ? detect_level_word(sv_sub(value, 0, n)) : 0;
            if (severity)
                return severity;
        }
    }
    return 0;
}

/* ---- words ---- */

/* A word of a line, and what stands around it. */
struct word {
    sv text;
    char prev, next;    /* the bytes beside it; 0 at the ends */
    char before;        /* the last byte before it that is no blank; 0: it is the first thing */
    sv rest;            /* what follows */
    bool behind_time;   /* before it there is a time, and nothing else */
};

static bool is_word_char(char c)
{
    return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || (unsigned char)c >= 0x80;
}
static bool one_of(char c, const char *set)
{
    return !c || strchr(set, c);
}

static bool all_caps(sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 'A' || s.p[i] > 'Z')
            return false;
    return true;
}

/* Part of a date or a time: has a digit in front, or names a month, a day, a zone. */
static bool is_time_word(sv w)
{
    static const char names[] = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec Mon Tue Wed Thu Fri Sat Sun UTC GMT CET CEST "
                                "EST EDT PST PDT AM PM T Z ";
    if (is_digit(at(w, 0)))
        return true;
    size_t i = w.n <= 4 ? sv_find(sv_of(names), w) : SV_NPOS;
    return i != SV_NPOS && names[i + w.n] == ' ' && (i == 0 || names[i - 1] == ' ');
}

static int word_severity(const struct word *w)
{
    sv text = w->text;
    if (text.n == 6 && sv_eq_nocase(sv_sub(text, 0, 5), SV("debug")) && is_digit(text.p[5]))
        text.n = 5; /* PostgreSQL's DEBUG1 */
    bool caps = all_caps(text);
    if (caps && sv_eq(text, SV("LOG")) && w->next == ':')
        return WEIR_SEVERITY_INFO; /* PostgreSQL */
    const struct level *l = find_level(text);
    if (!l)
        return 0;
    if (caps && one_of(w->prev, " \t[(<|:*/'\"-") && one_of(w->next, " \t])>|:,!['\"") && (w->prev != '/' || w->next == ']'))
        return l->severity;
    if (l->only_caps)
        return 0;
    if (one_of(w->next, "])>|") && w->next && ((w->prev && strchr("[<|", w->prev)) || (w->prev == ':' && w->next == ']')))
        return l->severity; /* [error], <warn>, [core:error] */
    bool colon = (w->next == ':' && one_of(at(w->rest, 1), " \t")) || (w->next == '[' && sv_find(w->rest, SV("]: ")) < 16) ||
                 (l->severity == WEIR_SEVERITY_FATAL && STARTS(w->rest, " error:"));
    if (colon && one_of(w->prev, " \t") && (one_of(w->before, ":])") || w->behind_time))
        return l->severity; /* error: …, prog: warning: …, error[E0308]: … */
    return w->behind_time && one_of(w->prev, " \t|") && one_of(w->next, " \t") ? l->severity : 0;
}

static int words_severity(sv line)
{
    sv s = sv_sub(line, 0, WORDS_WITHIN);
    bool only_time = true, clock = false; /* clock: 12:30 was seen */
    char before = 0;
    for (size_t i = 0, n_words = 0; i < s.n && n_words < WORDS_MAX;) {
        size_t end = i;
        while (end < s.n && is_word_char(s.p[end]))
            end++;
        if (end == i) {
            clock |= i && s.p[i] == ':' && is_digit(s.p[i - 1]) && is_digit(at(s, i + 1));
            before = is_blank(s.p[i]) ? before : s.p[i];
            i++;
            continue;
        }
        struct word w = {.text = sv_sub(s, i, end - i), .prev = i ? s.p[i - 1] : 0, .next = at(line, end), .before = before,
                         .rest = sv_from(line, end), .behind_time = only_time && clock};
        int severity = word_severity(&w);
        if (severity)
            return severity;
        only_time = only_time && is_time_word(w.text);
        before = s.p[end - 1];
        n_words++;
        i = end;
    }
    return 0;
}

/* ---- how failures begin ---- */

/* "ValueError: …", "java.lang.IllegalStateException", "TypeError [CODE]: …" */
static bool is_exception_name(sv s)
{
    size_t n = 0;
    while (n < s.n && (is_word_char(s.p[n]) || s.p[n] == '.' || s.p[n] == '$'))
        n++;
    sv name = sv_sub(s, 0, n);
    return (sv_ends(name, SV("Error")) || sv_ends(name, SV("Exception"))) && (n == s.n || s.p[n] == ':' || STARTS(sv_from(s, n), " ["));
}

static int failure_severity(sv s)
{
    if (STARTS(s, "fatal error: ") || STARTS(s, "PHP Fatal error: ") || STARTS(s, "Fatal error: "))
        return WEIR_SEVERITY_FATAL;
    bool rust = STARTS(s, "thread '") && sv_find(s, SV("panicked at ")) != SV_NPOS;
    bool ruby = (sv_ends(s, SV("Error)")) || sv_ends(s, SV("Exception)"))) && sv_find(s, SV(":in ")) != SV_NPOS;
    bool python = sv_find(sv_sub(s, 0, 64), SV("Traceback (most recent call last):")) != SV_NPOS; /* a group's is indented */
    if (rust || ruby || python || is_exception_name(s) ||
        STARTS(s, "Exception in thread ") || STARTS(s, "Unhandled exception") || STARTS(s, "Unhandled Exception") ||
        STARTS(s, "Uncaught "))
        return WEIR_SEVERITY_ERROR;
    return 0;
}

static int line_severity(sv text)
{
    sv line = sv_sub(text, 0, MIN(sv_find_char(text, '\n'), text.n));
    sv head = sv_sub(line, 0, LOGFMT_WITHIN);
    int severity = glog_severity(head);
    if (!severity)
        severity = logfmt_severity(head);
    if (!severity)
        severity = words_severity(head);
    return severity ? severity : failure_severity(head);
}

/* ---- escape sequences ---- */

/* `s` without them; itself when there are none or memory is short. */
static sv without_escapes(sv s, struct buf *keep)
{
    size_t esc = sv_find_char(s, '\033');
    if (esc == SV_NPOS)
        return s;
    buf_reset(keep);
    for (sv rest = s; rest.n; esc = sv_find_char(rest, '\033')) {
        sv text = sv_sub(rest, 0, MIN(esc, rest.n));
        buf_sv(keep, text);
        rest = sv_from(rest, text.n);
        rest = sv_from(rest, ansi_escape(rest));
    }
    return buf_ok(keep, NULL) ? buf_view(keep) : s;
}

/* ---- objects ---- */

enum role { ROLE_BODY, ROLE_TIME, ROLE_LEVEL, ROLE_NUMBER, ROLE_TRACE, ROLE_SPAN, ROLE_FLAGS, ROLES, NO_ROLE = ROLES };

/* Names of a role, the ones that count most first. */
static const struct {
    sv key;
    enum role role;
} members[] = {
    {SV("message"), ROLE_BODY},        {SV("msg"), ROLE_BODY},          {SV("log"), ROLE_BODY},
    {SV("event"), ROLE_BODY},          {SV("@timestamp"), ROLE_TIME},   {SV("timestamp"), ROLE_TIME},
    {SV("time"), ROLE_TIME},           {SV("ts"), ROLE_TIME},           {SV("level"), ROLE_LEVEL},
    {SV("severity"), ROLE_LEVEL},      {SV("lvl"), ROLE_LEVEL},         {SV("log.level"), ROLE_LEVEL},
    {SV("loglevel"), ROLE_LEVEL},      {SV("levelname"), ROLE_LEVEL},   {SV("severity_text"), ROLE_LEVEL},
    {SV("SeverityText"), ROLE_LEVEL},  {SV("severity_number"), ROLE_NUMBER}, {SV("SeverityNumber"), ROLE_NUMBER},
    {SV("trace_id"), ROLE_TRACE},      {SV("traceId"), ROLE_TRACE},     {SV("trace.id"), ROLE_TRACE},
    {SV("span_id"), ROLE_SPAN},        {SV("spanId"), ROLE_SPAN},       {SV("span.id"), ROLE_SPAN},
    {SV("trace_flags"), ROLE_FLAGS},
};

/* The member chosen for a role. */
struct choice {
    bool have;
    size_t rank, nth;
    struct json value;
};

static bool read_hex(struct json v, uint8_t *to, size_t n)
{
    uint8_t any = 0;
    if (json_kind(v) != JSON_STRING || !hex_get(json_string(v), to, n, NULL))
        return false;
    for (size_t i = 0; i < n; i++)
        any |= to[i];
    return any != 0;
}

/* A number of seconds, ms, µs or ns since 1970, told apart by their size; nothing before 1973. */
static bool time_of_integer(int64_t v, int64_t *ret)
{
    if (v < 100000000)
        return false;
    int64_t unit = v < 100000000000 ? NS_PER_S : v < 100000000000000 ? NS_PER_MS : v < 100000000000000000 ? 1000 : 1;
    return !__builtin_mul_overflow(v, unit, ret);
}
static bool time_of_double(double v, int64_t *ret)
{
    int64_t whole;
    if (!(v >= 1e8 && v < 9e18) || !time_of_integer((int64_t)v, &whole))
        return false;
    double part = v - floor(v); /* a double of seconds is good for microseconds */
    int64_t unit = whole / (int64_t)v;
    *ret = whole + llround(part * (double)unit / 1000) * 1000;
    return true;
}

/* RFC 3339, with the liberties that loggers take: a blank for the T, a comma, an offset without its colon. */
static bool time_of_text(sv s, int64_t *ret)
{
    char text[48];
    double seconds;
    int64_t v;
    if (sv_to_i64(s, &v))
        return time_of_integer(v, ret);
    if (sv_to_double(s, &seconds))
        return time_of_double(seconds, ret);
    if (s.n < 20 || s.n > sizeof text - 1)
        return false;
    memcpy(text, s.p, s.n);
    if (text[10] == ' ' || text[10] == 't')
        text[10] = 'T';
    if (text[19] == ',')
        text[19] = '.';
    if (text[s.n - 1] == 'z')
        text[s.n - 1] = 'Z';
    if ((text[s.n - 5] == '+' || text[s.n - 5] == '-') && s.n > 20) {
        memmove(text + s.n - 1, text + s.n - 2, 2);
        text[s.n - 2] = ':';
        s.n++;
    }
    return rfc3339_parse(sv_make(text, s.n), ret) && *ret > 0;
}

static bool read_time(struct json v, int64_t *ret)
{
    switch (json_kind(v)) {
    case JSON_STRING:
        return time_of_text(json_string(v), ret);
    case JSON_I64:
        return time_of_integer(json_i64(v), ret);
    case JSON_DOUBLE:
        return time_of_double(json_double(v), ret);
    default:
        return false;
    }
}

/* A word; a number of pino or bunyan (10 to 60) or syslog's (0 to 7). */
static int read_level(struct json v, sv *ret_text)
{
    int64_t n;
    if (json_kind(v) == JSON_STRING) {
        sv word = json_string(v);
        int severity = detect_level_word(word);
        if (severity)
            *ret_text = word;
        if (severity || !sv_to_i64(word, &n))
            return severity;
    } else if (json_kind(v) == JSON_I64) {
        n = json_i64(v);
    } else {
        return 0;
    }
    if (n >= 0 && n <= 7)
        return syslog_severity((unsigned)n);
    return n >= 10 && n < 70 ? (int)(n / 10 - 1) * 4 + 1 : 0;
}

static weir_string view(sv s)
{
    return (weir_string){s.p, s.n};
}

static bool convert(struct detector *d, struct json v, weir_value *ret);

static size_t count(struct json container)
{
    size_t n = 0;
    for (struct json_iter it = json_iter(container); json_next(&it);)
        n++;
    return n;
}

static bool convert_array(struct detector *d, struct json v, weir_value *ret)
{
    size_t n = 0;
    weir_value *items = arena_array(&d->arena, count(v), sizeof *items);
    if (!items)
        return false;
    for (struct json_iter it = json_iter(v); json_next(&it);)
        if (!convert(d, it.value, &items[n++]))
            return false;
    *ret = weir_value_array(items, n);
    return true;
}

static bool convert_map(struct detector *d, struct json v, weir_value *ret)
{
    size_t n = 0;
    weir_attr *items = arena_array(&d->arena, count(v), sizeof *items);
    if (!items)
        return false;
    for (struct json_iter it = json_iter(v); json_next(&it); n++) {
        items[n].key = view(it.key);
        if (!convert(d, it.value, &items[n].value))
            return false;
    }
    *ret = weir_value_map(items, n);
    return true;
}

static bool convert(struct detector *d, struct json v, weir_value *ret)
{
    switch (json_kind(v)) {
    case JSON_NULL:
        *ret = weir_value_empty();
        return true;
    case JSON_BOOL:
        *ret = weir_value_bool(json_bool(v));
        return true;
    case JSON_I64:
        *ret = weir_value_i64(json_i64(v));
        return true;
    case JSON_U64: { /* does not fit an integer of OTLP: its digits stay whole */
        SCOPED(buf_done) struct buf digits = {0};
        buf_u64(&digits, json_u64(v));
        sv kept = buf_ok(&digits, NULL) ? arena_sv(&d->arena, buf_view(&digits)) : SV_NULL;
        *ret = weir_value_strn(kept.p, kept.n);
        return kept.p != NULL;
    }
    case JSON_DOUBLE:
        *ret = weir_value_f64(json_double(v));
        return true;
    case JSON_STRING:
        *ret = weir_value_strn(json_string(v).p, json_string(v).n);
        return true;
    case JSON_ARRAY:
        return convert_array(d, v, ret);
    case JSON_OBJECT:
        return convert_map(d, v, ret);
    }
    return false;
}

/* The best member for each role. */
static void choose(struct json object, struct choice ret[static ROLES])
{
    size_t nth = 0;
    for (struct json_iter it = json_iter(object); json_next(&it); nth++)
        for (size_t rank = 0; it.key.n <= 16 && rank < ARRAY_LEN(members); rank++) {
            if (!sv_eq(members[rank].key, it.key))
                continue;
            struct choice *c = &ret[members[rank].role];
            bool fits = members[rank].role != ROLE_BODY || json_kind(it.value) == JSON_STRING;
            if (fits && (!c->have || rank < c->rank))
                *c = (struct choice){true, rank, nth, it.value};
        }
}

/* Reads the chosen members into the record; one that says nothing usable is given back to the attributes. */
static void apply(struct detector *d, struct choice c[static ROLES], struct json object, weir_log_record *r)
{
    int64_t ns;
    sv word = SV_NULL;
    if (c[ROLE_BODY].have) {
        sv body = json_string(c[ROLE_BODY].value);
        if (!d->cfg.keep_ansi)
            body = without_escapes(body, &d->body);
        r->body = weir_value_strn(body.p, body.n);
    }
    c[ROLE_TIME].have = c[ROLE_TIME].have && read_time(c[ROLE_TIME].value, &ns);
    if (c[ROLE_TIME].have)
        r->timestamp_ns = (uint64_t)ns;
    if (c[ROLE_LEVEL].have)
        r->severity_number = read_level(c[ROLE_LEVEL].value, &word);
    c[ROLE_LEVEL].have = r->severity_number != 0;
    struct json log, level;
    if (!r->severity_number && json_get(object, SV("log"), &log) && json_kind(log) == JSON_OBJECT &&
        json_get(log, SV("level"), &level)) /* Elastic Common Schema */
        r->severity_number = read_level(level, &word);
    struct choice *number = &c[ROLE_NUMBER];
    number->have = number->have && json_kind(number->value) == JSON_I64 && json_i64(number->value) >= 1 && json_i64(number->value) <= 24;
    if (number->have)
        r->severity_number = (int32_t)json_i64(number->value);
    r->severity_text = view(word);
    d->trace = (weir_trace_context){0};
    c[ROLE_TRACE].have = c[ROLE_TRACE].have && read_hex(c[ROLE_TRACE].value, d->trace.trace_id, 16);
    c[ROLE_SPAN].have = c[ROLE_TRACE].have && c[ROLE_SPAN].have && read_hex(c[ROLE_SPAN].value, d->trace.span_id, 8);
    c[ROLE_FLAGS].have = c[ROLE_TRACE].have && c[ROLE_FLAGS].have && read_hex(c[ROLE_FLAGS].value, &d->trace.flags, 1);
    if (!c[ROLE_SPAN].have)
        memset(d->trace.span_id, 0, sizeof d->trace.span_id);
    if (c[ROLE_TRACE].have)
        r->trace = &d->trace;
}

static bool is_chosen(const struct choice c[static ROLES], size_t nth)
{
    for (int i = 0; i < ROLES; i++)
        if (c[i].have && c[i].nth == nth)
            return true;
    return false;
}

/* False: it is no object, or memory is short. */
static bool read_object(struct detector *d, sv text, weir_log_record *r)
{
    struct json object;
    if (!json_parse(d->json, text, &object, NULL) || json_kind(object) != JSON_OBJECT)
        return false;
    size_t nth = 0, n = 0;
    weir_attr *attrs = arena_array(&d->arena, count(object) + DETECT_SPARE, sizeof *attrs);
    if (!attrs)
        return false;
    struct choice c[ROLES] = {0};
    weir_log_record own = weir_log_record_init();
    own.body = weir_value_strn(text.p, text.n);
    choose(object, c);
    apply(d, c, object, &own);
    for (struct json_iter it = json_iter(object); json_next(&it); nth++) {
        if (is_chosen(c, nth))
            continue;
        attrs[n].key = view(it.key);
        if (!convert(d, it.value, &attrs[n++].value))
            return false;
    }
    d->attrs = attrs;
    *r = own;
    r->attributes = attrs;
    r->n_attributes = n;
    return true;
}

void detect(struct detector *d, sv text, weir_log_record *ret)
{
    *ret = weir_log_record_init();
    arena_reset(&d->arena);
    d->attrs = d->own;
    d->n_spare = 0;
    sv trimmed = sv_trim(text);
    if (d->cfg.json && at(trimmed, 0) == '{' && sv_ends(trimmed, SV("}")) && read_object(d, trimmed, ret))
        return;
    sv plain = without_escapes(text, &d->plain), body = d->cfg.keep_ansi ? text : plain;
    int mark = take_syslog_mark(&plain);
    if (mark)
        take_syslog_mark(&body);
    ret->severity_number = mark ? mark : line_severity(plain);
    ret->body = weir_value_strn(body.p, body.n);
    ret->attributes = d->attrs;
}

void detect_add(struct detector *d, weir_log_record *r, weir_attr attribute)
{
    ASSERT(r->attributes == d->attrs && d->n_spare < DETECT_SPARE);
    d->n_spare++;
    d->attrs[r->n_attributes++] = attribute;
}

bool detector_new(const struct detect_config *cfg, struct detector **ret, struct err *e)
{
    SCOPED(detector_free) struct detector *d = calloc(1, sizeof *d);
    if (!d)
        return err_nomem(e);
    d->cfg = *cfg;
    arena_init(&d->arena, OBJECT_MEMORY);
    if (!json_parser_new(cfg->max_bytes, DETECT_DEPTH_MAX, &d->json, e))
        return false;
    *ret = TAKE(d);
    return true;
}

void detector_free(struct detector *d)
{
    if (!d)
        return;
    json_parser_free(d->json);
    arena_done(&d->arena);
    buf_done(&d->plain);
    buf_done(&d->body);
    free(d);
}
