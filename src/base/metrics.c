/* metrics.c - families in order of declaration, each with its series in a list; see metrics.h. */
#include "base/metrics.h"
#include "base/clock.h"
#include "base/lock.h"
#include "base/vec.h"
#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define SERIES_MAX 10000

struct metric_histogram {
    const double *bounds; /* the family's */
    size_t n_bounds;
    _Atomic uint64_t count;
    _Atomic double sum;
    _Atomic uint64_t buckets[]; /* n_bounds + 1 */
};

struct series {
    struct metric m;
    char *labels; /* printed form without braces: a="b",c="d" */
};

struct family {
    const char *name, *help;
    enum metric_kind kind;
    double *bounds;
    size_t n_bounds;
    VEC(struct series *) series;
};

struct collect_hook {
    void (*fn)(void *ctx);
    void *ctx;
};

struct metrics {
    struct lock mu;
    VEC(struct family *) families;     /* under mu */
    VEC(struct collect_hook) on_collect; /* under mu */
    struct metric spare;               /* for callers that can have no series of their own */
    int64_t started_wall_ns;
};

struct metrics *metrics_new(void)
{
    struct metrics *m = calloc(1, sizeof *m);
    if (m) {
        lock_init(&m->mu);
        m->started_wall_ns = clock_wall_ns();
    }
    return m;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->families.n; i++) {
        struct family *f = m->families.at[i];
        for (size_t k = 0; k < f->series.n; k++) {
            free(f->series.at[k]->m.histo);
            free(f->series.at[k]->labels);
            free(f->series.at[k]);
        }
        vec_done(&f->series);
        free(f->bounds);
        free(f);
    }
    vec_done(&m->families);
    vec_done(&m->on_collect);
    lock_done(&m->mu);
    free(m);
}

static void put_label_value(struct buf *out, const char *v)
{
    for (; *v; v++) {
        if (*v == '\\' || *v == '"')
            buf_char(out, '\\');
        if (*v == '\n')
            buf_sv(out, SV("\\n"));
        else
            buf_char(out, *v);
    }
}

static struct family *family_get(struct metrics *m, enum metric_kind kind, const char *name, const char *help,
                                 const double *bounds, size_t n_bounds)
{
    for (size_t i = 0; i < m->families.n; i++)
        if (strcmp(m->families.at[i]->name, name) == 0)
            return m->families.at[i]->kind == kind ? m->families.at[i] : NULL;
    struct family *f = calloc(1, sizeof *f);
    struct family **slot = f ? vec_push(&m->families) : NULL;
    double *copy = slot && n_bounds ? malloc(n_bounds * sizeof *bounds) : NULL;
    if (!slot || (n_bounds && !copy)) {
        if (slot)
            m->families.n--;
        free(f);
        return NULL;
    }
    if (n_bounds)
        memcpy(copy, bounds, n_bounds * sizeof *bounds);
    *f = (struct family){.name = name, .help = help, .kind = kind, .bounds = copy, .n_bounds = n_bounds};
    *slot = f;
    return f;
}

static struct series *series_new(struct family *f, const char *labels)
{
    struct series *s = calloc(1, sizeof *s);
    char *copy = strdup(labels);
    struct metric_histogram *h = NULL;
    if (f->kind == METRIC_HISTOGRAM) {
        h = calloc(1, sizeof *h + (f->n_bounds + 1) * sizeof h->buckets[0]);
        if (h) {
            h->bounds = f->bounds;
            h->n_bounds = f->n_bounds;
        }
    }
    struct series **slot = s && copy && (h || f->kind != METRIC_HISTOGRAM) ? vec_push(&f->series) : NULL;
    if (!slot) {
        free(s);
        free(copy);
        free(h);
        return NULL;
    }
    s->labels = copy;
    s->m.histo = h;
    return *slot = s;
}

static struct metric *get(struct metrics *m, enum metric_kind kind, const char *name, const char *help,
                          const char *const *labels, const double *bounds, size_t n_bounds)
{
    SCOPED(buf_done) struct buf text = {0};
    for (size_t i = 0; labels && labels[i]; i += 2) {
        buf_fmt(&text, "%s%s=\"", i ? "," : "", labels[i]);
        put_label_value(&text, labels[i + 1]);
        buf_char(&text, '"');
    }
    buf_char(&text, 0);
    LOCK_SCOPED(&m->mu);
    struct family *f = text.failed ? NULL : family_get(m, kind, name, help, bounds, n_bounds);
    if (!f)
        return &m->spare;
    for (size_t i = 0; i < f->series.n; i++)
        if (strcmp(f->series.at[i]->labels, text.p) == 0)
            return &f->series.at[i]->m;
    struct series *s = f->series.n < SERIES_MAX ? series_new(f, text.p) : NULL;
    return s ? &s->m : &m->spare;
}

struct metric *metrics_get(struct metrics *m, enum metric_kind kind, const char *name, const char *help,
                           const char *const *labels)
{
    return get(m, kind, name, help, labels, NULL, 0);
}

struct metric *metrics_histogram(struct metrics *m, const char *name, const char *help, const char *const *labels,
                                 const double *bounds, size_t n_bounds)
{
    return get(m, METRIC_HISTOGRAM, name, help, labels, bounds, n_bounds);
}

void metric_observe(struct metric *x, double v)
{
    struct metric_histogram *h = x->histo;
    if (!h)
        return;
    size_t i = 0;
    while (i < h->n_bounds && v > h->bounds[i])
        i++;
    atomic_fetch_add_explicit(&h->buckets[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->count, 1, memory_order_relaxed);
    double was = atomic_load_explicit(&h->sum, memory_order_relaxed);
    while (!atomic_compare_exchange_weak(&h->sum, &was, was + v))
        ;
}

void metrics_on_collect(struct metrics *m, void (*fn)(void *ctx), void *ctx)
{
    LOCK_SCOPED(&m->mu);
    struct collect_hook *h = vec_push(&m->on_collect);
    if (h)
        *h = (struct collect_hook){fn, ctx};
}

static void print_histogram(const struct family *f, const struct series *s, struct buf *out)
{
    const struct metric_histogram *h = s->m.histo;
    const char *comma = *s->labels ? "," : "";
    uint64_t sum = 0;
    for (size_t i = 0; i < h->n_bounds; i++) {
        sum += atomic_load(&h->buckets[i]);
        buf_fmt(out, "%s_bucket{%s%sle=\"%g\"} %" PRIu64 "\n", f->name, s->labels, comma, h->bounds[i], sum);
    }
    sum += atomic_load(&h->buckets[h->n_bounds]);
    buf_fmt(out, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", f->name, s->labels, comma, sum);
    const char *open = *s->labels ? "{" : "", *close = *s->labels ? "}" : "";
    buf_fmt(out, "%s_sum%s%s%s %.9g\n", f->name, open, s->labels, close, atomic_load(&h->sum));
    buf_fmt(out, "%s_count%s%s%s %" PRIu64 "\n", f->name, open, s->labels, close, sum);
}

void metrics_print(struct metrics *m, struct buf *out)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    size_t n_hooks;
    {
        LOCK_SCOPED(&m->mu);
        n_hooks = m->on_collect.n;
    }
    for (size_t i = 0; i < n_hooks; i++) { /* outside the lock: a hook may ask for series */
        struct collect_hook h;
        {
            LOCK_SCOPED(&m->mu);
            h = m->on_collect.at[i];
        }
        h.fn(h.ctx);
    }
    LOCK_SCOPED(&m->mu);
    for (size_t i = 0; i < m->families.n; i++) {
        const struct family *f = m->families.at[i];
        buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, kinds[f->kind]);
        for (size_t k = 0; k < f->series.n; k++) {
            const struct series *s = f->series.at[k];
            if (f->kind == METRIC_HISTOGRAM) {
                print_histogram(f, s, out);
                continue;
            }
            const char *open = *s->labels ? "{" : "", *close = *s->labels ? "}" : "";
            buf_fmt(out, "%s%s%s%s %" PRId64 "\n", f->name, open, s->labels, close, metric_value(&s->m));
        }
    }
}

static void collect_process(void *ctx)
{
    struct metrics *m = ctx;
    struct rusage ru;
    getrusage(RUSAGE_SELF, &ru);
    metric_set(metrics_get(m, METRIC_COUNTER, "process_cpu_seconds_total", "User and system CPU time, in whole seconds.",
                           NULL),
               ru.ru_utime.tv_sec + ru.ru_stime.tv_sec);
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f) {
        if (fscanf(f, "%*s %ld", &pages) != 1)
            pages = 0;
        fclose(f);
    }
    metric_set(metrics_get(m, METRIC_GAUGE, "process_resident_memory_bytes", "Resident memory.", NULL),
               (int64_t)pages * sysconf(_SC_PAGESIZE));
    metric_set(metrics_get(m, METRIC_GAUGE, "process_start_time_seconds", "Start time, seconds since 1970.", NULL),
               m->started_wall_ns / NS_PER_S);
    int64_t fds = 0;
    DIR *d = opendir("/proc/self/fd");
    if (d) {
        while (readdir(d))
            fds++;
        closedir(d);
        fds -= 3; /* ".", ".." and this one */
    }
    metric_set(metrics_get(m, METRIC_GAUGE, "process_open_fds", "Open file descriptors.", NULL), fds);
}

void metrics_add_process(struct metrics *m)
{
    metrics_on_collect(m, collect_process, m);
}
