/* gzip.c - see gzip.h. zlib is loaded by name; its header gives types and version, nothing is linked.
 * (1) zlib 1.x has kept its binary interface since 1995; another first digit is refused, and so is one that finds our
 *     z_stream of another size. (2) Both streams are made once, with all their memory, and reset before each use. */
#include "sdk/gzip.h"
#include <dlfcn.h>
#include <stdlib.h>
#define Z_SOLO /* keeps zlib's own compress() undeclared */
#include <zlib.h>

/* Log records repeat themselves: on batches of real ones the fastest level makes an eighth of them, zlib's usual one (6) a ninth in
 * more than twice the time. */
enum { LEVEL = 1, WINDOW_BITS = 15, GZIP_FORMAT = 16, MEM_LEVEL = 8, GROW = 16 << 10 };

struct gzip {
    void *library;
    int (*deflate)(z_stream *, int);
    int (*deflateReset)(z_stream *);
    int (*deflateEnd)(z_stream *);
    int (*inflate)(z_stream *, int);
    int (*inflateReset)(z_stream *);
    int (*inflateEnd)(z_stream *);
    z_stream out, in;
    bool out_open, in_open;
};

static const char *library_name = "libz.so.1";
void gzip_library_for_test(const char *name)
{
    library_name = name ? name : "libz.so.1";
}

/* ISO C has no conversion between object and function pointers; POSIX promises that the bytes can be taken over. */
static bool find(struct gzip *g, const char *name, void *to)
{
    void *p = dlsym(g->library, name);
    memcpy(to, &p, sizeof p);
    return p != NULL;
}

static void *take(void *ctx, uInt n, uInt size)
{
    return calloc(n, size);
}
static void give(void *ctx, void *p)
{
    free(p);
}

static bool streams_open(struct gzip *g, struct err *e)
{
    int (*deflate_init)(z_stream *, int, int, int, int, int, const char *, int);
    int (*inflate_init)(z_stream *, int, const char *, int);
    const char *(*version)(void);
    if (!find(g, "zlibVersion", &version) || !find(g, "deflateInit2_", &deflate_init) || !find(g, "deflate", &g->deflate) ||
        !find(g, "deflateReset", &g->deflateReset) || !find(g, "deflateEnd", &g->deflateEnd) ||
        !find(g, "inflateInit2_", &inflate_init) || !find(g, "inflate", &g->inflate) ||
        !find(g, "inflateReset", &g->inflateReset) || !find(g, "inflateEnd", &g->inflateEnd))
        return err_set(e, ERR_UNSUPPORTED, "%s is no zlib that is known here", library_name);
    if (version()[0] != ZLIB_VERSION[0])
        return err_set(e, ERR_UNSUPPORTED, "%s is zlib %s, this library knows %s", library_name, version(), ZLIB_VERSION);
    g->out.zalloc = g->in.zalloc = take;
    g->out.zfree = g->in.zfree = give;
    int rc = deflate_init(&g->out, LEVEL, Z_DEFLATED, WINDOW_BITS + GZIP_FORMAT, MEM_LEVEL, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
                          (int)sizeof g->out);
    g->out_open = rc == Z_OK;
    if (g->out_open)
        rc = inflate_init(&g->in, WINDOW_BITS + GZIP_FORMAT, ZLIB_VERSION, (int)sizeof g->in);
    g->in_open = g->out_open && rc == Z_OK;
    return g->in_open || (rc == Z_MEM_ERROR ? err_nomem(e) : err_set(e, ERR_UNSUPPORTED, "zlib %s does not start", version()));
}

bool gzip_open(struct gzip **ret, struct err *e)
{
    struct gzip *g = calloc(1, sizeof *g);
    if (!g)
        return err_nomem(e);
    g->library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    bool ok = g->library ? streams_open(g, e) : err_set(e, ERR_UNSUPPORTED, "there is no %s here", library_name);
    if (!ok) {
        gzip_close(g);
        return false;
    }
    *ret = g;
    return true;
}

void gzip_close(struct gzip *g)
{
    if (!g)
        return;
    if (g->out_open)
        g->deflateEnd(&g->out);
    if (g->in_open)
        g->inflateEnd(&g->in);
    if (g->library)
        dlclose(g->library);
    free(g);
}

static void feed(z_stream *z, sv *in)
{
    if (z->avail_in || !in->n)
        return;
    z->next_in = (Bytef *)(uintptr_t)in->p;
    z->avail_in = (uInt)MIN(in->n, (size_t)INT32_MAX);
    *in = sv_from(*in, z->avail_in);
}

bool gzip_put(struct gzip *g, sv in, struct buf *out)
{
    int rc = g->deflateReset(&g->out);
    g->out.avail_in = 0;
    while (rc == Z_OK) {
        feed(&g->out, &in);
        char *room = buf_reserve(out, GROW);
        if (!room)
            return false;
        g->out.next_out = (Bytef *)room;
        g->out.avail_out = GROW;
        rc = g->deflate(&g->out, in.n ? Z_NO_FLUSH : Z_FINISH);
        out->n += GROW - g->out.avail_out;
    }
    if (rc != Z_STREAM_END)
        out->failed = ERR_NOMEM;
    return rc == Z_STREAM_END;
}

bool gzip_get(struct gzip *g, sv in, struct buf *out, struct err *e)
{
    int rc = g->inflateReset(&g->in);
    g->in.avail_in = 0;
    while (rc == Z_OK) {
        feed(&g->in, &in);
        size_t left = out->max ? out->max - out->n : SIZE_MAX;
        char probe, *room = left ? buf_reserve(out, MIN(left, (size_t)GROW)) : &probe; /* full: it may still end here */
        if (!room)
            return buf_ok(out, e);
        uInt size = left ? (uInt)MIN(left, (size_t)GROW) : 1;
        g->in.next_out = (Bytef *)room;
        g->in.avail_out = size;
        rc = g->inflate(&g->in, Z_NO_FLUSH);
        if (left)
            out->n += size - g->in.avail_out;
        else if (g->in.avail_out == 0)
            return err_set(e, ERR_LIMIT, "gzip: more than %zu bytes after decompression", out->max);
    }
    if (rc == Z_MEM_ERROR)
        return err_nomem(e);
    if (rc != Z_STREAM_END)
        return err_set(e, ERR_PARSE, "gzip: %s", rc == Z_BUF_ERROR ? "cut short" : "damaged");
    return g->in.avail_in + in.n == 0 || err_set(e, ERR_PARSE, "gzip: bytes behind its end");
}
