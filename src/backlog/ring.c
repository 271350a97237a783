/* ring.c - see ring.h. */
#include "backlog/ring.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include <inttypes.h>
#include <string.h>

#define MAGIC "WEIRRING"
#define MAJOR 1
#define MINOR 1 /* 0: without chunks */
#define BYTE_ORDER_MARK 0x01020304u

/* frame, 16 bytes: 0 word u64 | 8 scope reference u32 | 12 bytes of inline scope u32.
 * The word: length of the record in its low 28 bits, state in the four above, checksum in the high half. */
struct frame {
    _Atomic uint64_t word;
    uint32_t scope, scope_n;
};
enum { STATE_SHIFT = 28, RESERVED = 1, RECORD = 2, FILLER = 3 };
#define LENGTH_MASK ((1u << STATE_SHIFT) - 1)

#define CHUNK_MIN 1024u /* bytes */
#define CHUNK_MAX 8192u
#define CHUNKS 512u /* of a ring that is neither very small nor very large */

/* dictionary entry: 0 length u32 | 4 complement of the bytes' crc32c u32, so that zeros are no entry | bytes, padded to 8 */
enum { ENTRY_BYTES = 8 };

static uint64_t word_of(uint32_t state, uint32_t n, uint32_t sum)
{
    return (uint64_t)sum << 32 | state << STATE_SHIFT | n;
}
static uint32_t state_of(uint64_t word)
{
    return (uint32_t)word >> STATE_SHIFT;
}
static uint32_t length_of(uint64_t word)
{
    return (uint32_t)word & LENGTH_MASK;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}
static uint64_t frame_size(uint64_t n)
{
    return RING_FRAME_BYTES + round_up(n, RING_ALIGN);
}

static struct frame *frame_at(const struct ring *r, uint64_t pos)
{
    return (struct frame *)(void *)(r->data + (pos & (r->cap - 1)));
}
static uint64_t to_end(const struct ring *r, uint64_t pos) /* of the block */
{
    return r->cap - (pos & (r->cap - 1));
}

static uint64_t to_chunk_end(const struct ring *r, uint64_t pos) /* 0: one begins here */
{
    return -pos & (r->chunk - 1u);
}

static uint32_t checksum(uint64_t pos, uint32_t scope, uint32_t scope_n, const uint8_t *record, uint32_t n)
{
    return crc32c_lanes(pos ^ (uint64_t)n << 36, (uint64_t)scope << 32 | scope_n, record, round_up(n, RING_ALIGN));
}

/* A filler leads from `pos` to where the next frame may begin; without records, so its checksum is over that. Before there were chunks
 * it had none, and led to the end of the data. */
static uint64_t filler_of(uint64_t pos, uint64_t size)
{
    uint32_t n = (uint32_t)(size - RING_FRAME_BYTES);
    return word_of(FILLER, n, checksum(pos, UINT32_MAX, n, NULL, 0));
}
static bool is_filler(const struct ring *r, uint64_t pos, uint64_t word)
{
    uint64_t size = (uint64_t)length_of(word) + RING_FRAME_BYTES;
    return state_of(word) == FILLER && size <= to_end(r, pos) && size % RING_ALIGN == 0 &&
           (word == filler_of(pos, size) || (!r->chunk && word >> 32 == 0 && size == to_end(r, pos)));
}
static void fill(struct ring *r, uint64_t pos, uint64_t size)
{
    if (size)
        atomic_store_explicit(&frame_at(r, pos)->word, filler_of(pos, size), memory_order_release);
}

/* ---- making ---- */

size_t ring_size(uint64_t *data_bytes, uint64_t *dict_bytes)
{
    uint64_t want = MIN(MAX(*data_bytes, (uint64_t)RING_DATA_MIN), (uint64_t)RING_DATA_MAX), data = RING_DATA_MIN;
    while (data < want)
        data *= 2;
    *data_bytes = data;
    *dict_bytes = MIN(round_up(MAX(*dict_bytes, (uint64_t)RING_PAGE), RING_PAGE), (uint64_t)RING_DICT_MAX);
    return (size_t)(RING_PAGE + *dict_bytes + data);
}

static uint32_t head_sum(const struct ring_head *h)
{
    return crc32c(0, h, offsetof(struct ring_head, sum));
}

#define BUDGET 16 /* bytes that may be checksummed in vain, for each byte of data */

static void place(struct ring *r, void *map, uint64_t data_bytes, uint64_t dict_bytes)
{
    *r = (struct ring){.h = map,
                       .dict = (uint8_t *)map + RING_PAGE,
                       .data = (uint8_t *)map + RING_PAGE + dict_bytes,
                       .cap = data_bytes,
                       .dict_cap = dict_bytes,
                       .map_bytes = (size_t)(RING_PAGE + dict_bytes + data_bytes),
                       .step_max = 1,
                       .alarm_puts = UINT64_MAX,
                       .alarm_used = UINT64_MAX,
                       .budget = BUDGET * data_bytes};
}

void ring_init(struct ring *r, void *map, uint64_t data_bytes, uint64_t dict_bytes, uint32_t pid)
{
    place(r, map, data_bytes, dict_bytes);
    r->live = true;
    r->chunk = (uint32_t)MIN(MAX(data_bytes / CHUNKS, (uint64_t)CHUNK_MIN), (uint64_t)CHUNK_MAX);
    struct ring_head *h = r->h;
    memcpy(h->magic, MAGIC, sizeof h->magic);
    h->major = MAJOR;
    h->minor = MINOR;
    h->features = 0;
    h->byte_order = BYTE_ORDER_MARK;
    h->pid = pid;
    h->data_bytes = data_bytes;
    h->dict_bytes = dict_bytes;
    h->created_wall_ns = (uint64_t)clock_wall_ns();
    h->chunk = r->chunk;
    h->sum = head_sum(h);
    atomic_store(&h->dict_used, RING_FIRST);
}

/* The positions change with each put, so no checksum covers them. Where they are none that a ring can have, all of the data is
 * looked through once: what is whole and where it belongs is found. */
static void mend_positions(struct ring *r)
{
    uint64_t head = atomic_load(&r->h->head), end = head & ~RING_CLOSED, tail = atomic_load(&r->h->tail);
    uint64_t done = atomic_load(&r->h->done);
    bool aligned = tail % RING_ALIGN == 0 && end % RING_ALIGN == 0;
    r->tail = tail;
    if (aligned && tail <= end && end - tail <= r->cap) {
        if (done % RING_ALIGN == 0 && done > tail && done <= end) /* the owner died while it cleared what was done with */
            ring_release(r, done);
        return;
    }
    bool behind = aligned && tail > end && tail - end <= r->cap; /* a power cut kept the tail, and not the head */
    tail = tail > RING_CLOSED / 2 ? 0 : tail & ~(uint64_t)(RING_ALIGN - 1);
    r->tail = tail;
    atomic_store(&r->h->tail, tail);
    atomic_store(&r->h->head, (behind ? tail : tail + r->cap) | (head & RING_CLOSED));
}

bool ring_attach(struct ring *r, void *map, size_t n, struct err *e)
{
    const struct ring_head *h = map;
    if (n < RING_PAGE || memcmp(h->magic, MAGIC, sizeof h->magic) != 0)
        return err_at(e, ERR_CORRUPT, 0, "no ring");
    if (h->byte_order != BYTE_ORDER_MARK)
        return err_at(e, ERR_UNSUPPORTED, 16, "a ring of a machine of another byte order");
    if (h->sum != head_sum(h))
        return err_at(e, ERR_CORRUPT, 52, "the ring's header fails its checksum");
    if (h->major != MAJOR)
        return err_at(e, ERR_UNSUPPORTED, 8, "ring version %u, this program reads %d", h->major, MAJOR);
    if (h->features)
        return err_at(e, ERR_UNSUPPORTED, 12, "the ring needs features 0x%x, which this program does not know", h->features);
    uint64_t data = h->data_bytes, dict = h->dict_bytes;
    if (ring_size(&data, &dict) != n || data != h->data_bytes || dict != h->dict_bytes)
        return err_at(e, ERR_CORRUPT, 24, "the ring's header does not fit its %zu bytes", n);
    uint32_t chunk = h->chunk;
    if (chunk & (chunk - 1) || chunk > data || (chunk && chunk < CHUNK_MIN))
        return err_at(e, ERR_CORRUPT, 48, "the ring's header says that a chunk has %" PRIu32 " bytes", chunk);
    place(r, map, data, dict);
    r->chunk = chunk;
    mend_positions(r);
    return true;
}

/* ---- putting ---- */

uint32_t ring_record_max(const struct ring *r)
{
    return (uint32_t)MIN(r->cap / 4 - RING_FRAME_BYTES, (uint64_t)RING_RECORD_MAX);
}

uint64_t ring_puts(const struct ring *r)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < COUNTER_PLACES; i++)
        n += atomic_load_explicit(&r->lanes[i].n_put, memory_order_acquire);
    return n;
}

void ring_alarm(struct ring *r, uint64_t puts, uint64_t used)
{
    atomic_store(&r->alarm_puts, puts);
    atomic_store(&r->alarm_used, used);
}

void ring_coarse(struct ring *r, uint64_t step_max)
{
    r->step_max = MAX(step_max, (uint64_t)1);
}

/* Tells of the lane's puts, which is what threads meet over, and says when to do so next: the nearer the alarm, the sooner. Has it
 * come? */
static bool tell(struct ring *r, struct ring_lane *l, uint64_t n_put)
{
    uint64_t told = atomic_exchange_explicit(&l->told, n_put, memory_order_relaxed);
    if (!told)
        atomic_fetch_add_explicit(&r->n_lanes, 1, memory_order_relaxed);
    uint64_t all = atomic_fetch_add(&r->n_told, n_put - told) + (n_put - told), alarm = atomic_load(&r->alarm_puts);
    uint64_t step = (alarm - MIN(all, alarm)) / MAX(atomic_load_explicit(&r->n_lanes, memory_order_relaxed), (uint64_t)1);
    atomic_store_explicit(&l->next, n_put + MIN(MAX(step, (uint64_t)1), r->step_max), memory_order_relaxed);
    return all >= alarm;
}

/* Takes as many chunks as `need` bytes do, for the lane, which was at `was`. A lane that was moved meanwhile, by another thread of
 * its place or by the consumer, is left as it is: the chunks are for this frame alone then. */
static enum ring_put take_chunks(struct ring *r, struct ring_lane *l, uint64_t was, uint64_t need, struct ring_slot *ret)
{
    uint64_t run = round_up(need, r->chunk), head = atomic_load_explicit(&r->h->head, memory_order_relaxed), rest, used;
    for (;;) {
        if (head & RING_CLOSED)
            return RING_IS_CLOSED;
        rest = run > to_end(r, head) ? to_end(r, head) : 0;
        used = head + rest + run - atomic_load_explicit(&r->h->tail, memory_order_acquire);
        if (used > r->cap) { /* full, or `head` is from a while ago and `tail` has passed it */
            uint64_t now = atomic_load_explicit(&r->h->head, memory_order_relaxed);
            if (now == head)
                return RING_FULL;
            head = now;
        } else if (atomic_compare_exchange_weak_explicit(&r->h->head, &head, head + rest + run, memory_order_acq_rel,
                                                         memory_order_relaxed)) {
            break;
        }
    }
    uint64_t pos = head + rest, end = pos + need, expected = was;
    fill(r, head, rest);
    if (!atomic_compare_exchange_strong_explicit(&l->at, &expected, end, memory_order_acq_rel, memory_order_relaxed))
        fill(r, end, to_chunk_end(r, end));
    else if (was)
        fill(r, was, to_chunk_end(r, was));
    ret->pos = pos;
    ret->alarm = used > atomic_load_explicit(&r->alarm_used, memory_order_relaxed);
    return RING_PUT;
}

enum ring_put ring_reserve(struct ring *r, uint32_t n, struct ring_slot *ret)
{
    unsigned place = counter_place();
    struct ring_lane *l = &r->lanes[place];
    uint64_t need = frame_size(n), at = atomic_load_explicit(&l->at, memory_order_acquire);
    ret->alarm = false;
    for (;;) {
        if (at & RING_CLOSED)
            return RING_IS_CLOSED;
        if (need > to_chunk_end(r, at)) {
            enum ring_put got = take_chunks(r, l, at, need, ret);
            if (got != RING_PUT)
                return got;
            break;
        }
        if (atomic_compare_exchange_weak_explicit(&l->at, &at, at + need, memory_order_acq_rel, memory_order_acquire)) {
            ret->pos = at;
            break;
        }
    }
    struct frame *f = frame_at(r, ret->pos);
    atomic_store_explicit(&f->word, word_of(RESERVED, n, 0), memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* the length comes before anything else of the frame: rule (4) */
    uint64_t n_put = counter_add_at(&l->n_put, place, 1); /* not before the position: see ring_is_empty()'s callers */
    if (n_put >= atomic_load_explicit(&l->next, memory_order_relaxed))
        ret->alarm |= tell(r, l, n_put);
    ret->record = (uint8_t *)f + RING_FRAME_BYTES;
    ret->n = n;
    return RING_PUT;
}

bool ring_publish(struct ring *r, const struct ring_slot *slot, uint32_t scope, uint32_t scope_n)
{
    struct frame *f = frame_at(r, slot->pos);
    if (atomic_load_explicit(&f->word, memory_order_relaxed) != word_of(RESERVED, slot->n, 0))
        return false;
    f->scope = scope;
    f->scope_n = scope_n;
    uint32_t sum = checksum(slot->pos, scope, scope_n, slot->record, slot->n);
    atomic_store_explicit(&f->word, word_of(RECORD, slot->n, sum), memory_order_release);
    return true;
}

void ring_close(struct ring *r)
{
    atomic_fetch_or(&r->h->head, RING_CLOSED);
    for (unsigned i = 0; i < COUNTER_PLACES; i++)
        atomic_fetch_or(&r->lanes[i].at, RING_CLOSED);
}

uint32_t ring_define(struct ring *r, sv bytes)
{
    uint64_t at = atomic_load_explicit(&r->h->dict_used, memory_order_relaxed);
    if (bytes.n > r->dict_cap || at > r->dict_cap || ENTRY_BYTES + round_up(bytes.n, 8) > r->dict_cap - at)
        return 0;
    uint8_t *p = r->dict + at;
    uint32_t words[2] = {(uint32_t)bytes.n, ~crc32c(0, bytes.p, bytes.n)};
    memcpy(p, words, sizeof words);
    if (bytes.n)
        memcpy(p + ENTRY_BYTES, bytes.p, bytes.n);
    atomic_store_explicit(&r->h->dict_used, at + ENTRY_BYTES + round_up(bytes.n, 8), memory_order_release);
    return (uint32_t)at;
}

sv ring_defined(const struct ring *r, uint32_t ref)
{
    uint32_t words[2];
    if (ref < RING_FIRST || ref % 8 || ref > r->dict_cap - ENTRY_BYTES)
        return SV_NULL;
    memcpy(words, r->dict + ref, sizeof words);
    if (words[0] > r->dict_cap - ENTRY_BYTES - ref)
        return SV_NULL;
    sv bytes = sv_make(r->dict + ref + ENTRY_BYTES, words[0]);
    return ~crc32c(0, bytes.p, bytes.n) == words[1] ? bytes : SV_NULL;
}

/* ---- taking ---- */

/* Is a whole, sound record at `pos`, ending by `end`? What is not costs the budget: bytes made for it could ask for the checksum of
 * all that follows at every place. */
static bool sound_at(struct ring *r, uint64_t pos, uint64_t end, uint64_t word, struct ring_frame *ret)
{
    const struct frame *f = frame_at(r, pos);
    uint32_t n = length_of(word);
    uint64_t size = frame_size(n);
    if (state_of(word) != RECORD || size > end - pos || size > to_end(r, pos) || !r->budget)
        return false;
    uint32_t scope = f->scope, scope_n = f->scope_n; /* once: the memory may be another's */
    if (scope_n > n || (scope && scope_n))
        return false;
    const uint8_t *record = (const uint8_t *)f + RING_FRAME_BYTES;
    if ((uint32_t)(word >> 32) != checksum(pos, scope, scope_n, record, n)) {
        r->budget -= MIN(r->budget, size);
        return false;
    }
    *ret = (struct ring_frame){.pos = pos, .next = pos + size, .scope = scope, .inline_scope = sv_make(record, scope_n),
                               .record = sv_make(record + scope_n, n - scope_n)};
    return true;
}

/* Where the first word is that is not zero; `end` when there is none. */
static uint64_t behind_zeros(const struct ring *r, uint64_t pos, uint64_t end)
{
    while (pos < end && !atomic_load_explicit(&frame_at(r, pos)->word, memory_order_acquire))
        pos += RING_ALIGN;
    return MIN(pos, end);
}

/* The lane whose next frame would begin at `pos`, in the middle of its chunk. */
static struct ring_lane *lane_at(struct ring *r, uint64_t pos)
{
    if (r->live && to_chunk_end(r, pos))
        for (unsigned i = 0; i < COUNTER_PLACES; i++)
            if ((atomic_load_explicit(&r->lanes[i].at, memory_order_acquire) & ~RING_CLOSED) == pos)
                return &r->lanes[i];
    return NULL;
}

bool ring_is_empty(const struct ring *r)
{
    uint64_t head = ring_end(r);
    return r->tail == head || (r->chunk && r->tail + to_chunk_end(r, r->tail) == head && lane_at((struct ring *)r, r->tail));
}

/* Takes the rest of the chunk at `pos` from its lane. False: the lane has moved on. */
static bool close_chunk(struct ring *r, struct ring_lane *l, uint64_t pos)
{
    uint64_t at = pos;
    if (!atomic_compare_exchange_strong_explicit(&l->at, &at, 0, memory_order_acq_rel, memory_order_acquire)) {
        at = pos | RING_CLOSED;
        if (!atomic_compare_exchange_strong_explicit(&l->at, &at, RING_CLOSED, memory_order_acq_rel, memory_order_acquire))
            return false;
    }
    fill(r, pos, to_chunk_end(r, pos));
    return true;
}

/* Nothing is at `pos` yet. Is it where a chunk was left open? Where to go on, if so: behind it, `pos` when there is nothing. */
static bool is_open_end(struct ring *r, uint64_t pos, uint64_t end, uint64_t *ret)
{
    uint64_t chunk_end = r->chunk ? pos + to_chunk_end(r, pos) : pos;
    *ret = pos;
    if (chunk_end == pos)
        return false;
    if (!r->live) { /* its owner is gone, and what is lost of a page is not just this */
        *ret = MIN(chunk_end, end);
        return behind_zeros(r, pos, *ret) == *ret;
    }
    struct ring_lane *l = lane_at(r, pos);
    if (l && chunk_end < ring_end(r) && close_chunk(r, l, pos))
        *ret = chunk_end;
    return l;
}

uint64_t ring_pass(const struct ring *r, uint64_t pos, uint64_t end)
{
    uint64_t word = pos < end ? atomic_load_explicit(&frame_at(r, pos)->word, memory_order_acquire) : 0;
    if (state_of(word) == RESERVED && frame_size(length_of(word)) <= MIN(end - pos, to_end(r, pos)))
        return pos + frame_size(length_of(word));
    pos += RING_ALIGN;
    return behind_zeros(r, pos, r->live ? MIN(end, pos + to_chunk_end(r, pos)) : end);
}

/* Does a frame begin at `pos`? A sound record, a put under way, a filler. */
static bool plausible_at(struct ring *r, uint64_t pos, uint64_t end)
{
    struct ring_frame ignored;
    uint64_t word = atomic_load_explicit(&frame_at(r, pos)->word, memory_order_acquire);
    if (sound_at(r, pos, end, word, &ignored))
        return true;
    uint64_t size = frame_size(length_of(word));
    return (state_of(word) == RESERVED && size <= MIN(end - pos, to_end(r, pos))) || is_filler(r, pos, word);
}

/* Where to go on behind damage at `pos`: where the damaged frame says that it ends, if that makes sense, so that no put under way
 * behind it is passed over; else at the next sound record. */
static uint64_t resync(struct ring *r, uint64_t pos, uint64_t end)
{
    struct ring_frame ignored;
    uint64_t word = atomic_load_explicit(&frame_at(r, pos)->word, memory_order_acquire);
    uint64_t next = pos + frame_size(length_of(word)), room = MIN(end - pos, to_end(r, pos));
    if (next <= pos + room && (next == end || plausible_at(r, next, end)))
        return next;
    while ((pos += RING_ALIGN) < end) {
        word = atomic_load_explicit(&frame_at(r, pos)->word, memory_order_acquire);
        if (word && sound_at(r, pos, end, word, &ignored))
            return pos;
    }
    return end;
}

enum ring_got ring_look(struct ring *r, uint64_t pos, uint64_t end, struct ring_frame *ret)
{
    for (;;) {
        *ret = (struct ring_frame){.pos = pos};
        if (pos >= end)
            return RING_END;
        uint64_t word = atomic_load_explicit(&frame_at(r, pos)->word, memory_order_acquire);
        uint64_t room = MIN(end - pos, to_end(r, pos));
        if (!word) {
            uint64_t next;
            if (!is_open_end(r, pos, end, &next))
                return RING_PENDING;
            if (next == pos) /* or what came meanwhile: the next look finds it */
                return RING_END;
            pos = next;
            continue;
        }
        if (sound_at(r, pos, end, word, ret))
            return RING_RECORD;
        if (is_filler(r, pos, word)) {
            pos += RING_FRAME_BYTES + length_of(word);
            continue;
        }
        if (state_of(word) == RESERVED && frame_size(length_of(word)) <= room) {
            ret->next = pos + frame_size(length_of(word));
            return RING_PENDING;
        }
        ret->next = resync(r, pos, end);
        return RING_TORN;
    }
}

/* Damage, or a put that was given up, may have led past an open chunk: nobody is to put behind our back. */
static void close_lanes(struct ring *r, uint64_t below)
{
    for (unsigned i = 0; r->live && i < COUNTER_PLACES; i++) {
        uint64_t at = atomic_load_explicit(&r->lanes[i].at, memory_order_acquire), pos = at & ~RING_CLOSED;
        while (pos < below && to_chunk_end(r, pos) &&
               !atomic_compare_exchange_weak_explicit(&r->lanes[i].at, &at, at & RING_CLOSED, memory_order_acq_rel, memory_order_acquire))
            pos = at & ~RING_CLOSED;
    }
}

/* `done` first: whoever takes the ring over in the middle of this clears on, and sends nothing twice. */
void ring_release(struct ring *r, uint64_t below)
{
    close_lanes(r, below);
    atomic_store_explicit(&r->h->done, below, memory_order_release);
    for (uint64_t at = r->tail; at < below;) {
        uint64_t n = MIN(below - at, to_end(r, at));
        memset(frame_at(r, at), 0, n);
        at += n;
    }
    if (below > r->tail)
        r->budget += MIN(BUDGET * MIN(below - r->tail, r->cap), BUDGET * r->cap - r->budget);
    r->tail = below;
    atomic_store_explicit(&r->h->tail, below, memory_order_release);
}
