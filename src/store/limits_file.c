/* limits_file.c - the file of limits, `overrides: {tenant: {limit: value}}`. Values are read as settings are; durations may be
 * in days, weeks and years, too, as Loki's are. */
#include "store/limits_int.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/yaml.h"
#include <stdlib.h>

#define MEMORY_MAX (256u << 20)
#define RETENTION_MIN (24 * 3600 * NS_PER_S)

struct limits_table {
    int64_t shortest; /* retention period */
    struct arena a;
    struct map tenants; /* name -> tenant_limits */
};

struct file {
    const char *name;
    struct limits_table *t;
    const struct limits *defaults;
    uint32_t version;
    struct err *e;
};

static bool fail_at(const struct file *f, const struct yaml *y)
{
    return err_ctx(f->e, "%s:%u:%u", f->name, y->key.n ? y->key_line : y->line, y->key.n ? y->key_column : y->column);
}

static bool fail(const struct file *f, const struct yaml *y, const char *what)
{
    err_set(f->e, ERR_INVALID, "%s", what);
    return fail_at(f, y);
}

/* "30d", "1w2d", "1y", with what else a duration has behind them. */
static bool read_duration(sv text, int64_t *ret, struct err *e)
{
    static const struct {
        char unit;
        int64_t days;
    } units[] = {{'y', 365}, {'w', 7}, {'d', 1}};
    double days = 0;
    sv rest = text;
    int64_t ns = 0;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        size_t at = sv_find_char(rest, units[i].unit);
        uint64_t n;
        if (at == SV_NPOS || !sv_to_u64(sv_sub(rest, 0, at), &n))
            continue;
        days += (double)n * (double)units[i].days;
        rest = sv_from(rest, at + 1);
    }
    if ((rest.n || rest.p == text.p) && !parse_duration(rest, &ns, e))
        return false;
    if (days > 36500)
        return err_set(e, ERR_INVALID, "a duration of more than a hundred years");
    *ret = ns + (int64_t)days * 24 * 3600 * NS_PER_S;
    return true;
}

static bool read_rule(struct file *f, const struct yaml *y, struct retention_rule *r)
{
    const struct yaml *selector = yaml_get(y, SV("selector")), *period = yaml_get(y, SV("period")),
                      *priority = yaml_get(y, SV("priority"));
    if (!selector || selector->kind != YAML_SCALAR || !period || period->kind != YAML_SCALAR)
        return fail(f, y, "an entry of retention_stream has a selector, a period and a priority");
    for (const struct yaml *c = y->first; c; c = c->next)
        if (c != selector && c != period && c != priority)
            return fail(f, c, "an entry of retention_stream has a selector, a period and a priority, nothing else");
    if (priority && (priority->kind != YAML_SCALAR || !sv_to_i64(priority->text, &r->priority)))
        return fail(f, priority, "'priority': not a whole number");
    if (!read_duration(period->text, &r->period_ns, f->e))
        return fail_at(f, period);
    if (r->period_ns && r->period_ns < RETENTION_MIN)
        return fail(f, period, "'period' must be at least 24h, or 0 for ever");
    sv text = arena_sv(&f->t->a, selector->text); /* matchers point into it */
    if (!text.p)
        return err_nomem(f->e);
    return matchers_parse(text, &f->t->a, &r->matchers, &r->n_matchers, f->e) || fail_at(f, selector);
}

static bool read_rules(struct file *f, const struct yaml *y, struct tenant_limits *t)
{
    size_t n = 0;
    if (y->kind == YAML_NULL)
        return true;
    if (y->kind != YAML_LIST)
        return fail(f, y, "'retention_stream' is a list");
    for (const struct yaml *c = y->first; c; c = c->next)
        n++;
    t->rules = arena_array(&f->t->a, n + 1, sizeof *t->rules);
    if (!t->rules)
        return arena_err(&f->t->a, f->e, "limits");
    memset(t->rules, 0, (n + 1) * sizeof *t->rules);
    for (const struct yaml *c = y->first; c; c = c->next) {
        bool ok = read_rule(f, c, &t->rules[t->n_rules]);
        t->n_rules++; /* also one half read: its regexes are freed with the table */
        if (!ok)
            return false;
    }
    for (size_t i = 1; i < t->n_rules; i++) /* few, and equal ones must stay in order */
        for (size_t k = i; k > 0 && t->rules[k].priority > t->rules[k - 1].priority; k--) {
            struct retention_rule swap = t->rules[k];
            t->rules[k] = t->rules[k - 1];
            t->rules[k - 1] = swap;
        }
    return true;
}

static sv next_limit(void *ctx)
{
    const struct option **o = ctx;
    return (*o)->name ? sv_of((*o)++->name) : SV_NULL;
}

static bool unknown(struct file *f, const struct yaml *y)
{
    const struct option *o = limits_options;
    sv near = nearest_name(y->key, next_limit, &o);
    if (near.n)
        err_set(f->e, ERR_INVALID, "there is no limit '" SV_FMT "'; did you mean '" SV_FMT "'?", SV_ARG(sv_sub(y->key, 0, 100)),
                SV_ARG(near));
    else
        err_set(f->e, ERR_INVALID, "there is no limit '" SV_FMT "' here; take it out of the file",
                SV_ARG(sv_sub(y->key, 0, 100)));
    return fail_at(f, y);
}

static bool read_limit(struct file *f, const struct yaml *y, struct tenant_limits *t)
{
    if (sv_eq(y->key, SV("retention_stream")))
        return read_rules(f, y, t);
    const struct option *o = options_find(limits_options, y->key);
    if (!o)
        return unknown(f, y);
    sv text = y->text;
    if (sv_eq(y->key, SV("discover_service_name")) && y->kind == YAML_LIST && !y->first)
        text = SV("false"); /* Loki's way to say it */
    else if (y->kind != YAML_SCALAR)
        return fail(f, y, "a limit wants a single value");
    if (o->kind == OPTION_DURATION)
        return read_duration(text, (int64_t *)((char *)&t->limits + o->offset), f->e) ||
               (err_ctx(f->e, "'%s'", o->name), fail_at(f, y));
    return option_set(o, &t->limits, text, f->e) || fail_at(f, y);
}

static void note_period(struct limits_table *t, int64_t period)
{
    if (period && (!t->shortest || period < t->shortest))
        t->shortest = period;
}

static bool read_tenant(struct file *f, const struct yaml *y)
{
    struct tenant_limits *t = ARENA_NEW(&f->t->a, struct tenant_limits);
    sv name = arena_sv(&f->t->a, y->key);
    struct map_slot *slot = t && name.p ? map_put(&f->t->tenants, name) : NULL;
    if (!slot)
        return err_nomem(f->e);
    *t = (struct tenant_limits){.limits = *f->defaults};
    t->limits.version = f->version;
    slot->value = t;
    if (y->kind == YAML_NULL)
        return true;
    if (y->kind != YAML_MAP)
        return fail(f, y, "a tenant has limits, as 'name: value'");
    for (const struct yaml *c = y->first; c; c = c->next)
        if (!read_limit(f, c, t))
            return false;
    if (t->limits.ingestion_rate_mb < 0 || t->limits.ingestion_burst_size_mb < 0)
        return fail(f, y, "ingestion_rate_mb and ingestion_burst_size_mb must not be negative");
    if (t->limits.retention_period < 0)
        return fail(f, y, "retention_period must not be negative");
    note_period(f->t, t->limits.retention_period);
    for (size_t i = 0; i < t->n_rules; i++)
        note_period(f->t, t->rules[i].period_ns);
    return true;
}

static bool read_file(struct file *f, const struct yaml *root)
{
    if (root->kind == YAML_NULL)
        return true;
    if (root->kind != YAML_MAP)
        return fail(f, root, "expected 'overrides:' and tenants under it");
    for (const struct yaml *y = root->first; y; y = y->next) {
        if (!sv_eq(y->key, SV("overrides")))
            return fail(f, y, "only 'overrides:' stands at the top");
        if (y->kind != YAML_MAP && y->kind != YAML_NULL)
            return fail(f, y, "'overrides' has tenants under it");
        for (const struct yaml *c = y->first; c; c = c->next)
            if (!read_tenant(f, c))
                return false;
    }
    return true;
}

bool limits_table_read(sv text, const char *file, const struct limits *defaults, struct limits_table **ret, struct err *e)
{
    struct arena a;
    struct yaml *root;
    struct limits_table *t = calloc(1, sizeof *t);
    if (!t)
        return err_nomem(e);
    arena_init(&t->a, MEMORY_MAX);
    arena_init(&a, MEMORY_MAX);
    struct err why = {0};
    static _Atomic uint32_t versions;
    uint32_t version = atomic_fetch_add(&versions, 1) + 1;
    struct file f = {file, t, defaults, version ? version : 1, &why};
    bool ok = yaml_parse(text, file, &a, &root, &why) && read_file(&f, root);
    arena_done(&a);
    if (ok) {
        *ret = t;
        return true;
    }
    limits_table_free(t);
    if (e)
        *e = why;
    return false;
}

void limits_table_free(struct limits_table *t)
{
    if (!t)
        return;
    for (struct map_slot *s = NULL; (s = map_next(&t->tenants, s));) {
        struct tenant_limits *tl = s->value;
        for (size_t i = 0; tl && i < tl->n_rules; i++)
            for (size_t k = 0; k < tl->rules[i].n_matchers; k++)
                regex_free(tl->rules[i].matchers[k].re);
    }
    map_done(&t->tenants);
    arena_done(&t->a);
    free(t);
}

int64_t limits_table_shortest(const struct limits_table *t)
{
    return t ? t->shortest : 0;
}

const struct tenant_limits *limits_table_get(const struct limits_table *t, sv tenant)
{
    return t ? map_get(&t->tenants, tenant) : NULL;
}
