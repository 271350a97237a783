/* push_bench.c - what a record costs on its way into the store, stage by stage, without sockets:
 *   decode  the request is checked and copied into a batch, as the collector does
 *   rows    checked bytes become chunks: rules, labels, metadata
 *   frame   the request becomes a frame of the write-ahead log
 *   push    all that the store does with an unchecked request: the two above, the log itself, rows into the head
 *   flush   the head is written to parts
 * Prints CPU time of the process (of all its threads) per record, the best of some rounds; each stage by itself, so push is more
 * than rows and frame by what the log and the head cost.
 * usage: push_bench [--payload FILE] [--records N] [--stage NAME] [--rounds N] [--durability MODE] [--dir DIR]
 * FILE as bench/gen.py writes it; without one the requests are made here. push_instructions.py counts instructions with it. */
#include "base/clock.h"
#include "base/endian.h"
#include "base/io.h"
#include "base/lock.h"
#include "otlp/request.h"
#include "otlp/write.h"
#include "store/ingest.h"
#include "store/store.h"
#include "store/wal.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 2048, UNDER_WAY_MAX = 16 };

static struct {
    const char *payload, *stage, *durability, *dir;
    size_t records;
    int rounds;
} args = {.durability = "always", .records = 100000, .rounds = 5};

static VEC(sv) bodies;
static VEC(struct batch *) batches;
static size_t n_records, n_bytes;
static struct store_config cfg;
static struct metrics *metrics;

static void die(const char *what, const struct err *e)
{
    fprintf(stderr, "push_bench: %s: %s\n", what, e->msg);
    exit(1);
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* ---- requests ---- */

static uint64_t rnd(uint64_t below)
{
    static uint64_t x = 0x9e3779b97f4a7c15u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x % below;
}

static int line_text(char *to, size_t max, size_t shape, const char *level)
{
    static const char *const plants[] = {"monstera", "ficus", "cactus", "orchid", "fern", "basil"};
    const char *plant = plants[rnd(6)];
    switch (shape) {
    case 0:
        return snprintf(to, max, "watered %s %u with %u ml, soil at %u.%u %%", plant, (unsigned)rnd(10000), (unsigned)rnd(900),
                        (unsigned)rnd(100), (unsigned)rnd(10));
    case 1:
        return snprintf(to, max, "Connection reset by peer 10.%u.%u.%u:%u, retry %u in %u ms", (unsigned)rnd(256), (unsigned)rnd(256),
                        (unsigned)rnd(256), (unsigned)rnd(65536), (unsigned)rnd(6), (unsigned)rnd(5000));
    case 2:
        return snprintf(to, max, "level=%s caller=worker.go:%u msg=\"job finished\" queue=mail took=%ums attempts=%u", level,
                        (unsigned)rnd(400), (unsigned)rnd(900), (unsigned)rnd(5));
    default:
        return snprintf(to, max, "{\"level\": \"%s\", \"msg\": \"request served\", \"path\": \"/api/v1/%s\", \"user_id\": %u, \"status\": %u}",
                        level, plant, (unsigned)rnd(100000), rnd(10) ? 200u : 500u);
    }
}

static void put_record(struct buf *out, uint64_t ts, size_t shape)
{
    static const struct { uint64_t number; const char *text, *low; } levels[] = {{9, "INFO", "info"}, {13, "WARN", "warn"}, {17, "ERROR", "error"}};
    size_t level = rnd(20) < 17 ? 0 : 1 + rnd(2);
    char line[256];
    size_t n = (size_t)line_text(line, sizeof line, shape, levels[level].low);
    size_t lr = otlp_open(out, 2);
    otlp_put_fixed64(out, 1, ts);
    otlp_put_varint(out, 2, levels[level].number);
    otlp_put_bytes(out, 3, sv_of(levels[level].text));
    size_t body = otlp_open(out, 5);
    otlp_put_bytes(out, 1, sv_make(line, n));
    otlp_close(out, body);
    otlp_put_attr_str(out, 6, SV("code.filepath"), SV("shop/plants.py"));
    otlp_put_attr_i64(out, 6, SV("code.lineno"), (int64_t)rnd(500));
    otlp_put_attr_str(out, 6, SV("code.function"), rnd(3) ? SV("handle") : SV("run"));
    if (rnd(5) == 0) {
        uint64_t id[3] = {rnd(UINT64_MAX), rnd(UINT64_MAX), rnd(UINT64_MAX)};
        otlp_put_bytes(out, 9, sv_make(id, 16));
        otlp_put_bytes(out, 10, sv_make(id + 2, 8));
    }
    otlp_put_fixed64(out, 11, ts + 1000 + rnd(1000));
    otlp_close(out, lr);
}

static void make_requests(void)
{
    uint64_t ts = 1700000000000000000u;
    for (size_t done = 0, shape = 0; done < args.records; shape = (shape + 1) % 4) {
        struct buf b = {0};
        char id[] = {(char)('1' + rnd(3))};
        static const sv names[] = {SV("plant_service"), SV("gateway"), SV("worker"), SV("api")};
        size_t rl = otlp_open(&b, 1), res = otlp_open(&b, 1);
        otlp_put_attr_str(&b, 1, SV("service.name"), names[shape]);
        otlp_put_attr_str(&b, 1, SV("service.instance.id"), sv_make(id, 1));
        otlp_put_attr_str(&b, 1, SV("telemetry.sdk.language"), SV("python"));
        otlp_close(&b, res);
        size_t sl = otlp_open(&b, 2), scope = otlp_open(&b, 1);
        otlp_put_bytes(&b, 1, SV("root"));
        otlp_close(&b, scope);
        for (size_t i = 0; i < BATCH && done < args.records; i++, done++, ts += 1800000)
            put_record(&b, ts, shape);
        otlp_close(&b, sl);
        otlp_close(&b, rl);
        size_t n;
        char *p = buf_take(&b, &n);
        *vec_push(&bodies) = sv_make(p, n);
    }
}

static void read_requests(void)
{
    struct err e = {0};
    static struct buf all;
    if (!io_read_file(AT_FDCWD, args.payload, &all, &e))
        die(args.payload, &e);
    size_t done = 0;
    struct otlp_counts counts;
    for (size_t at = 0; at + 4 <= all.n && done < args.records; done += counts.records) {
        sv body = sv_sub(buf_view(&all), at + 4, get_le32(all.p + at));
        if (!otlp_check(body, NULL, &counts, &e))
            die("payload", &e);
        *vec_push(&bodies) = body;
        at += 4 + body.n;
    }
}

static void decode_all(void)
{
    struct err e = {0};
    for (size_t i = 0; i < bodies.n; i++) {
        struct batch *b;
        if (!otlp_decode_request(OTLP_PROTOBUF, CODEC_NONE, bodies.at[i], 0, &(struct otlp_limits){0}, STORE_TENANT_SINGLE,
                                 1700000000000000000, &b, &e))
            die("decode", &e);
        *vec_push(&batches) = b;
    }
}

static void batches_drop(void)
{
    for (size_t i = 0; i < batches.n; i++)
        batch_unref(batches.at[i]);
    batches.n = 0;
}

/* ---- stages ---- */

static int64_t run_decode(void)
{
    batches_drop();
    int64_t start = cpu_ns();
    decode_all();
    return cpu_ns() - start;
}

static int64_t run_rows(void)
{
    struct err e = {0};
    struct registry *reg;
    struct tenant *t;
    struct ingest_pool *pool;
    if (!registry_new(cfg.streams_max_bytes, &reg, &e) || !ingest_pool_new(&pool, &e) || !registry_tenant(reg, STORE_TENANT_SINGLE, &t, &e))
        die("rows", &e);
    int64_t start = cpu_ns();
    for (size_t i = 0; i < batches.n; i++) {
        struct ingest_request rq = {.tenant = t, .bytes = batches.at[i]->bytes, .rules = rules_of_limits(&cfg.limits), .pool = pool,
                                    .arrived_wall_ns = 1, .limits = &cfg.limits, .now_wall_ns = 1};
        struct ingest_result r;
        if (!ingest(&rq, &r, &e))
            die("rows", &e);
        ingest_result_done(&r);
    }
    int64_t ns = cpu_ns() - start;
    ingest_pool_free(pool);
    registry_free(reg);
    return ns;
}

static size_t frame_bytes;

static int64_t run_frame(void)
{
    struct err e = {0};
    int64_t start = cpu_ns();
    frame_bytes = 0;
    for (size_t i = 0; i < batches.n; i++) {
        struct buf head = {0}, body = {0};
        struct wal_frame f = {.type = WAL_OTLP, .tenant = STORE_TENANT_SINGLE, .payload = batches.at[i]->bytes};
        sv stored;
        if (!wal_frame_write(&f, &head, &body, &stored, &e))
            die("frame", &e);
        frame_bytes += head.n + stored.n;
        buf_done(&head);
        buf_done(&body);
    }
    return cpu_ns() - start;
}

struct waiting {
    struct lock mu;
    struct cond cv;
    size_t under_way; /* under mu */
};

static void pushed(void *ctx, const struct push_result *r)
{
    struct waiting *w = ctx;
    if (r->code != PUSH_SENT || r->n_rejected)
        die("push", &r->err);
    LOCK_SCOPED(&w->mu);
    w->under_way--;
    cond_signal(&w->cv);
}

/* Until fewer than `below` pushes are under way; then there are `more` of them. */
static void wait_for(struct waiting *w, size_t below, size_t more)
{
    LOCK_SCOPED(&w->mu);
    while (w->under_way >= below)
        cond_wait(&w->cv, &w->mu);
    w->under_way += more;
}

/* `flush`: the time of the flush alone. */
static int64_t run_store(bool flush)
{
    struct err e = {0};
    struct store *st;
    struct waiting w = {0};
    static int n;
    char dir[4096];
    snprintf(dir, sizeof dir, "%s/%d", args.dir, n++);
    cfg.data_dir = dir;
    lock_init(&w.mu);
    cond_init(&w.cv);
    if (!store_open(&cfg, metrics, &st, &e))
        die("store", &e);
    int64_t start = cpu_ns();
    for (size_t i = 0; i < batches.n; i++) {
        wait_for(&w, UNDER_WAY_MAX, 1);
        store_push_request(st, &(struct store_request){.tenant = STORE_TENANT_SINGLE, .bytes = batches.at[i]->bytes, .arrived_wall_ns = 1},
                           pushed, &w);
    }
    wait_for(&w, 1, 0);
    if (flush) {
        start = cpu_ns();
        if (!store_flush(st, &e))
            die("flush", &e);
    }
    int64_t ns = cpu_ns() - start;
    store_close(st);
    cfg.data_dir = NULL;
    return ns;
}

static int64_t run_push(void)
{
    return run_store(false);
}
static int64_t run_flush(void)
{
    return run_store(true);
}

static void options(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const char *v = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--payload"))
            args.payload = v;
        else if (!strcmp(argv[i], "--records"))
            args.records = (size_t)strtoull(v, NULL, 10);
        else if (!strcmp(argv[i], "--rounds"))
            args.rounds = (int)strtol(v, NULL, 10);
        else if (!strcmp(argv[i], "--stage"))
            args.stage = v;
        else if (!strcmp(argv[i], "--durability"))
            args.durability = v;
        else if (!strcmp(argv[i], "--dir"))
            args.dir = v;
        else
            exit((fprintf(stderr, "push_bench: unknown option %s\n", argv[i]), 2));
    }
}

static void configure(void)
{
    struct err e = {0};
    if (!options_defaults(store_options, &cfg, &e) || !options_defaults(limits_options, &cfg.limits, &e) ||
        !option_set(options_find(store_options, SV("durability")), &cfg, sv_of(args.durability), &e))
        die("settings", &e);
    free(cfg.data_dir);
    cfg.data_dir = NULL;
    cfg.head_max_bytes = cfg.memory_max_bytes = 8ull << 30; /* flushing is a stage of its own */
    cfg.head_max_rows = UINT64_MAX;
    metrics = metrics_new();
}

static void remove_dir(const char *dir)
{
    char cmd[4200];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    if (system(cmd))
        fprintf(stderr, "push_bench: %s stays\n", dir);
}

int main(int argc, char **argv)
{
    static const struct { const char *name; int64_t (*run)(void); } stages[] = {
        {"decode", run_decode}, {"rows", run_rows}, {"frame", run_frame}, {"push", run_push}, {"flush", run_flush}};
    char dir[] = "/tmp/weir-push-bench-XXXXXX";
    options(argc, argv);
    configure();
    bool made = !args.dir;
    if (made && !(args.dir = mkdtemp(dir)))
        exit((perror("push_bench"), 1));
    if (args.payload)
        read_requests();
    else
        make_requests();
    decode_all();
    for (size_t i = 0; i < batches.n; i++) {
        n_records += batches.at[i]->n_records;
        n_bytes += batches.at[i]->bytes.n;
    }
    if (!args.stage)
        printf("%zu records, %zu bytes each, %zu requests, durability %s\n", n_records, n_bytes / n_records, batches.n, args.durability);
    for (size_t s = 0; s < ARRAY_LEN(stages); s++) {
        int64_t best = INT64_MAX;
        if (args.stage && strcmp(args.stage, stages[s].name) != 0)
            continue;
        for (int i = 0; i < args.rounds; i++)
            best = MIN(best, stages[s].run());
        printf("%-8s %7.1f ns per record", stages[s].name, (double)best / (double)n_records);
        printf(stages[s].run == run_frame ? ", %.1f bytes\n" : "\n", (double)frame_bytes / (double)n_records);
    }
    batches_drop();
    if (made)
        remove_dir(dir);
    return 0;
}
