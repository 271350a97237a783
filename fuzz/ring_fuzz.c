/* ring_fuzz.c - hostile bytes as a ring: attached, looked through as an adopter and as a look do, its dictionary read, released.
 * First byte: 1 the header is put right, with 2 its positions too; 4 the checksums of frames are, as far as their lengths lead;
 * 8 the dictionary's entries are, 16 a copy of it as a file is looked at too. */
#include "backlog/peek.h"
#include "base/endian.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DATA = 64 << 10, DICT = 4096, ALL = RING_PAGE + DICT + DATA, INPUT_HEAD = 128 };

static uint64_t sum; /* of all that was seen, so that it is read */

static void see(sv s)
{
    for (size_t i = 0; i < s.n; i++)
        sum += (unsigned char)s.p[i];
}
static void on_record(void *ctx, const struct ring_frame *f)
{
    const struct ring *r = ctx;
    ASSERT(f->next > f->pos && f->next - f->pos <= r->cap);
    ASSERT(!f->record.n || ((const uint8_t *)f->record.p >= r->data && (const uint8_t *)f->record.p + f->record.n <= r->data + r->cap));
    see(f->record);
    see(f->scope ? ring_defined(r, f->scope) : f->inline_scope);
}
static void on_gap(void *ctx, uint64_t pos, uint64_t next, bool unfinished)
{
    ASSERT(next > pos);
    sum += unfinished;
}

/* The input: 64 bytes of the header's first line, 64 of positions, then dictionary (a quarter, up to its size) and data. */
static void fill(uint8_t *map, const uint8_t *in, size_t n, unsigned mode)
{
    struct ring_head *h = (struct ring_head *)(void *)map;
    size_t dict = MIN((n - INPUT_HEAD) / 4, (size_t)DICT), rest = MIN(n - INPUT_HEAD - dict, (size_t)DATA);
    if (mode & 1) {
        struct ring r;
        ring_init(&r, map, DATA, DICT, 1);
        uint64_t tail = get_le64(in + 80), used = (get_le64(in + 64) & ~RING_CLOSED) - tail;
        if (mode & 2) { /* positions a sound ring could have */
            tail = tail % (1ull << 40) & ~(uint64_t)(RING_ALIGN - 1);
            used = used % (DATA + RING_ALIGN) & ~(uint64_t)(RING_ALIGN - 1);
        }
        atomic_store(&h->tail, tail);
        atomic_store(&h->head, tail + used);
    } else {
        memcpy(map, in, 64);
        atomic_store(&h->head, get_le64(in + 64));
        atomic_store(&h->tail, get_le64(in + 80));
    }
    atomic_store(&h->dict_used, get_le64(in + 88));
    memcpy(map + RING_PAGE, in + INPUT_HEAD, dict);
    memcpy(map + RING_PAGE + DICT, in + INPUT_HEAD + dict, rest);
}

/* Records with right checksums, by putting them anew: their lengths, scopes and bytes are the input's. */
static void put_frames(uint8_t *map, const uint8_t *in, size_t n)
{
    struct ring r;
    struct ring_slot slot;
    if (!ring_attach(&r, map, ALL, NULL) || !r.chunk)
        return;
    memset(r.data, 0, r.cap);
    atomic_store(&r.h->head, ring_tail(&r) % (1ull << 40) & ~(uint64_t)(r.chunk - 1));
    atomic_store(&r.h->tail, atomic_load(&r.h->head));
    while (n >= 8) {
        uint32_t len = MIN((uint32_t)get_le16(in), (uint32_t)(n - 8)), scope = in[2], scope_n = in[3];
        if (ring_reserve(&r, len, &slot) != RING_PUT)
            return;
        if (len)
            memcpy(slot.record, in + 8, len);
        if (in[4] & 1) { /* never finished */
            if (in[4] & 2)
                memset(slot.record - RING_FRAME_BYTES, 0, 8);
        } else {
            ASSERT(ring_publish(&r, &slot, scope, scope_n));
        }
        if (in[4] & 4)
            slot.record[-1 - in[5] % 16] ^= in[6];
        in += 8 + len;
        n -= 8 + len;
    }
}

static void define(uint8_t *map, const uint8_t *in, size_t n)
{
    struct ring r;
    if (!ring_attach(&r, map, ALL, NULL))
        return;
    atomic_store(&r.h->dict_used, RING_FIRST);
    for (size_t step; n >= 1 && ring_define(&r, sv_make(in + 1, MIN((size_t)in[0], n - 1))); in += step, n -= step)
        step = MIN((size_t)in[0] + 1, n);
}

static void look_through(uint8_t *map)
{
    static const struct ring_walk_fns fns = {on_record, on_gap};
    struct ring r;
    struct ring_walked w;
    if (!ring_attach(&r, map, ALL, NULL))
        return;
    ring_walk(&r, ring_tail(&r), &fns, &r, &w);
    see(ring_defined(&r, RING_FIRST));
    for (uint32_t ref = 0; ref < DICT + 64; ref += 4)
        see(ring_defined(&r, ref));
    (void)ring_record_max(&r);
}

static struct buf as_file(const uint8_t *map)
{
    struct buf b = {0};
    buf_put(&b, map, ALL);
    return b;
}

/* A copy of a file of these bytes sees what the memory does. */
static void copy(const uint8_t *map)
{
    struct ring_copy c;
    SCOPED(buf_done) struct buf b = as_file(map);
    int fd = memfd_create("ring", MFD_CLOEXEC);
    ASSERT(fd >= 0 && write(fd, b.p, b.n) == (ssize_t)b.n);
    if (ring_copy(fd, "ring", &c, NULL)) {
        look_through(c.map);
        ring_copy_done(&c);
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *map;
    if (size < 1 + INPUT_HEAD || size > 1 << 16)
        return 0;
    unsigned mode = data[0];
    if (!map)
        map = mmap(NULL, ALL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT(map != MAP_FAILED);
    memset(map, 0, ALL);
    fill(map, data + 1, size - 1, mode);
    if (mode & 8)
        define(map, data + 1 + INPUT_HEAD, size - 1 - INPUT_HEAD);
    if (mode & 4)
        put_frames(map, data + 1 + INPUT_HEAD, size - 1 - INPUT_HEAD);
    look_through(map);
    if (mode & 16)
        copy(map);
    return sum == UINT64_MAX;
}
