/* ring.h - records of many threads in a ring of shared memory that outlives the process.
 * A ring is one block of memory, usually a mapped file: a header page, a dictionary of byte strings that many records refer to
 * (resource, scopes), and the data: frames, each a record. Any number of threads put, one consumer takes.
 * (1) A put takes no lock, makes no system call and allocates nothing: it reserves by one compare-and-swap, says how long the
 *     frame is, writes it, and publishes it by one release store of a word that holds length and checksum.
 * (2) Threads do not meet: each has a lane, a chunk of the ring that was handed to it at once, and puts into that; `head`, which all
 *     share, moves by chunks. So one thread's records keep their order; those of several are in order by chunk only.
 * (3) The consumer does not wait for a chunk to be full: it closes one that is in its way, and the lane takes another.
 * (4) Memory outside of frames is zero: the consumer clears what it gives back. So a word that is not zero where a frame may
 *     begin is a frame's first word, also when the put in front of it never got as far as saying its length.
 * (5) A frame counts only if its checksum matches, which covers its position: nothing stale, torn or overwritten passes.
 * (6) What a killed process leaves is in the page cache and as good as written: every put that returned is found again.
 * (7) The bytes are in the host's order and not meant to travel: an adopter of another byte order refuses them.
 * A reader treats the memory as hostile: it may come from anybody's file. Byte layout: docs/formats.md, "Ring".
 * Not here: files, locks, what a record means (backlog.c); when to export (sdk). */
#pragma once
#include "base/counter.h"
#include "base/err.h"
#include "base/sv.h"
#include <stdatomic.h>

#define RING_PAGE 4096u
#define RING_ALIGN 16u          /* frames begin at multiples of it */
#define RING_FRAME_BYTES 16u    /* in front of each record */
#define RING_RECORD_MAX (1u << 27)
#define RING_DATA_MIN (64u << 10)
#define RING_DATA_MAX (1ull << 30)
#define RING_DICT_MAX (16u << 20)
#define RING_CLOSED (1ull << 63) /* in `head`: no put succeeds any more */

/* The header page. The first line is written once; each group after it has a cache line of its own. */
struct ring_head {
    char magic[8];
    uint16_t major, minor;
    uint32_t features; /* must-know */
    uint32_t byte_order, pid;
    uint64_t data_bytes, dict_bytes;
    uint64_t created_wall_ns;
    uint32_t chunk;     /* bytes */
    uint32_t sum;       /* crc32c of the 52 bytes before it */
    _Alignas(64) _Atomic uint64_t head; /* position behind the last chunk handed out; written by putters */
    _Alignas(64) _Atomic uint64_t tail; /* everything below is free; written by the consumer */
    _Atomic uint64_t done;              /* everything below is done with, and being cleared; `tail` follows */
    _Alignas(64) _Atomic uint64_t dict_used;
};

/* What threads of one place (counter.h) put into. So far apart that no two share a cache line. */
struct ring_lane {
    _Atomic uint64_t at;    /* where its next frame begins, if it fits into the chunk; 0: it has none. RING_CLOSED */
    _Atomic uint64_t n_put; /* reservations */
    _Atomic uint64_t told;  /* of them in `n_told`, */
    _Atomic uint64_t next;  /* and how many there are to be when the others are told */
    char apart[96];
};

struct ring {
    struct ring_head *h; /* down to `lanes`: set when made, then read-only */
    uint8_t *dict, *data;
    uint64_t cap, dict_cap; /* bytes; cap is a power of two. Ours: what the memory says is not asked again */
    size_t map_bytes;
    uint32_t chunk;    /* bytes, a power of two; 0: made before there were chunks */
    bool live;         /* ring_init() made it: its lanes are those that put */
    uint64_t step_max; /* puts of a lane that the alarm may not know of yet; 1 unless ring_coarse() */

    struct ring_lane lanes[COUNTER_PLACES];

    _Atomic uint64_t n_told, n_lanes; /* puts that lanes told of; lanes that ever did */
    _Atomic uint64_t alarm_puts, alarm_used;
    char apart[64];

    uint64_t tail;   /* the consumer's own, as this is: see cap */
    uint64_t budget; /* bytes that may yet be checksummed in vain; grows with what is released */
};

/* Bytes of memory that a ring of these capacities needs; rounds both up (data to a power of two) within the limits above. */
size_t ring_size(uint64_t *data_bytes, uint64_t *dict_bytes);
/* Makes a ring of zeroed, page-aligned memory of ring_size() bytes. */
void ring_init(struct ring *r, void *map, uint64_t data_bytes, uint64_t dict_bytes, uint32_t pid);
/* Takes a ring that somebody else made, and left. Positions that no ring can have are put right. ERR_CORRUPT, ERR_UNSUPPORTED: it is
 * none of ours to read. */
MUST_USE bool ring_attach(struct ring *r, void *map, size_t n, struct err *e);

/* ---- putting: any thread ---- */

enum ring_put { RING_PUT, RING_FULL, RING_IS_CLOSED };
struct ring_slot {
    uint8_t *record; /* room for `n` bytes, zeroed up to the next multiple of 16 */
    uint64_t pos;
    uint32_t n;
    bool alarm; /* ring_alarm(): it is so far */
};

/* A put is about to come: the lines it will write, which another core looked at last, are asked for early, while the record is
 * still being thought about. */
static inline void ring_foresee(const struct ring *r)
{
    uint64_t at = atomic_load_explicit(&r->lanes[counter_place()].at, memory_order_relaxed);
    for (unsigned i = 0; i < 6; i++)
        __builtin_prefetch(r->data + ((at + 64 * i) & (r->cap - 1)), 1);
}
/* `n` up to r->record_max. What is reserved must be published. */
enum ring_put ring_reserve(struct ring *r, uint32_t n, struct ring_slot *ret);
/* `scope`: what ring_define() gave; 0: the record's first `scope_n` bytes are the scope. False: it took so long that the consumer
 * gave it up; the record is not there. */
MUST_USE bool ring_publish(struct ring *r, const struct ring_slot *slot, uint32_t scope, uint32_t scope_n);
uint32_t ring_record_max(const struct ring *r);
/* Puts by now, at most one less than there are for each put under way. Any thread. */
uint64_t ring_puts(const struct ring *r);
/* Asks for slot.alarm from when there have been `puts` puts, or more than `used` bytes are in use. By default exactly then; with
 * ring_coarse(), up to `step_max - 1` puts of each lane late, where the alarm was moved to within so many puts of now. */
void ring_alarm(struct ring *r, uint64_t puts, uint64_t used);
void ring_coarse(struct ring *r, uint64_t step_max); /* before the first put */

/* Adds a byte string to the dictionary; one thread at a time. 0: no room. The first one is found at RING_FIRST. */
#define RING_FIRST 8u
uint32_t ring_define(struct ring *r, sv bytes);
/* What was defined; SV_NULL when there is no such entry or it is damaged. */
sv ring_defined(const struct ring *r, uint32_t ref);

/* ---- taking: one thread ---- */

struct ring_frame {
    uint64_t pos, next; /* next: where the following frame may begin */
    uint32_t scope;     /* reference, or 0 and inline_scope */
    sv inline_scope, record;
};
enum ring_got {
    RING_RECORD,  /* *ret is filled; views into the ring */
    RING_TORN,    /* no record up to ret->next: damaged, or never finished */
    RING_PENDING, /* the put at ret->pos is still under way, if anybody is there to finish it; ret->next: where it ends, if
                     that is known, else 0 */
    RING_END      /* nothing more; ret->pos: where it would be */
};
/* The frame at or behind `pos`; looks no further than `end` (a position). Where hostile bytes have cost more checksums than damage ever would,
 * the rest counts as torn. */
enum ring_got ring_look(struct ring *r, uint64_t pos, uint64_t end, struct ring_frame *ret);
/* Passes over the put that is pending at `pos`: where the next frame may begin, `end` when none does. For when nobody is there to
 * finish it. */
uint64_t ring_pass(const struct ring *r, uint64_t pos, uint64_t end);
/* Gives [tail, below) back to the putters. */
void ring_release(struct ring *r, uint64_t below);
/* No put after this succeeds; those that reserved before may still publish. Any thread. */
void ring_close(struct ring *r);

static inline uint64_t ring_tail(const struct ring *r) /* the consumer's thread */
{
    return r->tail;
}
static inline uint64_t ring_end(const struct ring *r) /* without the closed bit */
{
    return atomic_load_explicit(&r->h->head, memory_order_acquire) & ~RING_CLOSED;
}
/* Nothing is behind the tail, not even a put under way. */
bool ring_is_empty(const struct ring *r);
