/* delete_text.c - a request to delete as bytes, and back; docs/formats.md. The bytes say what is meant without LogQL, so that
 * no change of a language changes what is deleted. A reader treats them as hostile. */
#include "store/delete_int.h"
#include "base/varint.h"

enum { TEXT_VERSION = 1, FLAG_HIDE_ONLY = 1, TEST_POSITIVE = 1, TEST_REGEX = 2, TEXT_MAX = 1 << 20 };

static void put_text(struct buf *b, sv s)
{
    buf_varint(b, s.n);
    buf_sv(b, s);
}

bool delete_text(const struct delete_request *rq, struct catalog_text **ret, struct err *e)
{
    SCOPED(buf_done) struct buf b = buf_capped(TEXT_MAX);
    buf_varint(&b, TEXT_VERSION);
    buf_varint(&b, rq->hide_only ? FLAG_HIDE_ONLY : 0);
    put_text(&b, rq->tenant);
    put_text(&b, rq->query);
    buf_varint(&b, rq->n_matchers);
    for (size_t i = 0; i < rq->n_matchers; i++) {
        buf_varint(&b, rq->matchers[i].op);
        put_text(&b, rq->matchers[i].name);
        put_text(&b, rq->matchers[i].value);
    }
    buf_varint(&b, rq->n_filters);
    for (size_t i = 0; i < rq->n_filters; i++) {
        const struct delete_filter *f = &rq->filters[i];
        buf_varint(&b, (f->negative ? 0u : TEST_POSITIVE) | (f->regex ? TEST_REGEX : 0u));
        buf_varint(&b, f->n);
        for (size_t k = 0; k < f->n; k++)
            put_text(&b, f->texts[k]);
    }
    if (!buf_ok(&b, e))
        return err_ctx(e, "the request");
    *ret = catalog_text_new(buf_view(&b));
    return *ret || err_nomem(e);
}

struct reader {
    const uint8_t *at, *end;
    struct arena *a;
    struct err *e;
};

static bool corrupt(struct reader *r)
{
    return err_set(r->e, ERR_CORRUPT, "a request to delete that cannot be read");
}

static bool get_number(struct reader *r, uint64_t *ret)
{
    return varint_get(&r->at, r->end, ret) || corrupt(r);
}

/* A count of things that have a byte each at least. */
static bool get_count(struct reader *r, size_t *ret)
{
    uint64_t n = 0;
    if (!get_number(r, &n))
        return false;
    if (n > (uint64_t)(r->end - r->at))
        return corrupt(r);
    *ret = (size_t)n;
    return true;
}

static bool get_text(struct reader *r, sv *ret)
{
    size_t n = 0;
    if (!get_count(r, &n))
        return false;
    *ret = sv_make(r->at, n);
    r->at += n;
    return true;
}

static bool get_matchers(struct reader *r, struct tombstone *t)
{
    size_t n = 0;
    if (!get_count(r, &n))
        return false;
    t->matchers = arena_array(r->a, n + 1, sizeof *t->matchers);
    if (!t->matchers)
        return err_nomem(r->e);
    for (; t->n_matchers < n; t->n_matchers++) {
        struct matcher *m = &t->matchers[t->n_matchers];
        uint64_t op = 0;
        *m = (struct matcher){0};
        if (!get_number(r, &op) || !get_text(r, &m->name) || !get_text(r, &m->value))
            return false;
        if (op > MATCH_NRE)
            return corrupt(r);
        m->op = (enum match_op)op;
        if (op >= MATCH_RE && !regex_compile(m->value, REGEX_FULL, &m->re, r->e))
            return false;
    }
    return true;
}

static bool get_test(struct reader *r, struct line_test *x)
{
    uint64_t flags = 0;
    if (!get_number(r, &flags) || !get_count(r, &x->n))
        return false;
    if (flags > (TEST_POSITIVE | TEST_REGEX))
        return err_set(r->e, ERR_UNSUPPORTED, "a line filter of a newer release");
    x->negative = !(flags & TEST_POSITIVE);
    x->regex = flags & TEST_REGEX;
    x->texts = arena_array(r->a, x->n + 1, sizeof *x->texts);
    x->re = arena_array(r->a, x->n + 1, sizeof *x->re);
    if (!x->texts || !x->re)
        return err_nomem(r->e);
    memset(x->re, 0, (x->n + 1) * sizeof *x->re);
    for (size_t i = 0; i < x->n; i++)
        if (!get_text(r, &x->texts[i]) || (x->regex && !regex_compile(x->texts[i], 0, &x->re[i], r->e)))
            return false;
    return true;
}

static bool get_tests(struct reader *r, struct tombstone *t)
{
    size_t n = 0;
    if (!get_count(r, &n))
        return false;
    t->tests = arena_array(r->a, n + 1, sizeof *t->tests);
    if (!t->tests)
        return err_nomem(r->e);
    while (t->n_tests < n) {
        struct line_test *x = &t->tests[t->n_tests];
        *x = (struct line_test){0};
        bool ok = get_test(r, x);
        t->n_tests += x->re != NULL;
        if (!ok)
            return false;
    }
    return true;
}

bool tombstone_new(const struct catalog_delete *row, struct tombstone **ret, struct err *e)
{
    SCOPED(tombstone_unref) struct tombstone *t = calloc(1, sizeof *t);
    if (!t)
        return err_nomem(e);
    atomic_init(&t->refs, 1);
    arena_init(&t->a, 0);
    t->id = row->id;
    t->created_ns = row->created_ns;
    t->processed_ns = row->processed_ns;
    t->start_ns = row->start_ns;
    t->end_ns = row->end_ns;
    t->text = catalog_text_ref(row->text);
    sv text = catalog_text_sv(row->text);
    struct err why = {0};
    struct reader r = {.at = (const uint8_t *)text.p, .end = (const uint8_t *)text.p + text.n, .a = &t->a, .e = e ? e : &why};
    uint64_t version = 0, flags = 0;
    if (!get_number(&r, &version))
        return false;
    if (version != TEXT_VERSION)
        return err_set(e, ERR_UNSUPPORTED, "a request to delete of a newer release (version %llu)", (unsigned long long)version);
    if (!get_number(&r, &flags) || !get_text(&r, &t->tenant) || !get_text(&r, &t->query) || !get_matchers(&r, t) ||
        !get_tests(&r, t))
        return false;
    if (flags > FLAG_HIDE_ONLY || r.at != r.end)
        return corrupt(&r);
    t->hide_only = flags & FLAG_HIDE_ONLY;
    *ret = TAKE(t);
    return true;
}

struct tombstone *tombstone_ref(struct tombstone *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tombstone_unref(struct tombstone *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < t->n_matchers; i++)
        regex_free(t->matchers[i].re);
    for (size_t i = 0; i < t->n_tests; i++)
        for (size_t k = 0; k < t->tests[i].n; k++)
            regex_free(t->tests[i].re[k]);
    catalog_text_unref(t->text);
    arena_done(&t->a);
    free(t);
}
