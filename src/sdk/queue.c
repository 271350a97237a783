/* queue.c - see queue.h. Frames are a header, then the record, padded to the header's size. A frame does not wrap: where it
 * would, a filler up to the end of the block stands before it. */
#include "sdk/queue.h"
#include <sys/mman.h>

struct header {
    struct weir_logger *logger; /* NULL: filler */
    uint64_t n;                 /* bytes of the record */
};

static struct header *header_at(const struct queue *q, size_t at)
{
    return (struct header *)(void *)(q->mem + at);
}
static size_t frame_size(size_t n)
{
    return sizeof(struct header) + (n + sizeof(struct header) - 1) / sizeof(struct header) * sizeof(struct header);
}

bool queue_init(struct queue *q, uint32_t max_records, uint64_t max_bytes, struct err *e)
{
    size_t cap = (size_t)MAX(max_bytes, (uint64_t)4096) / 4096 * 4096;
    void *mem = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED)
        return err_sys(e, "cannot reserve %zu bytes for the queue", cap);
    *q = (struct queue){.mem = mem, .cap = cap, .max_n = max_records};
    return true;
}

void queue_done(struct queue *q)
{
    if (q->mem)
        munmap(q->mem, q->cap);
    *q = (struct queue){0};
}

void queue_clear(struct queue *q)
{
    q->head = q->tail = q->used = 0;
    q->n = 0;
}

size_t queue_max_record(const struct queue *q)
{
    return q->cap / 4;
}

bool queue_push(struct queue *q, struct weir_logger *logger, sv record)
{
    size_t need = frame_size(record.n), to_end = q->cap - q->tail;
    size_t filler = need > to_end ? to_end : 0;
    if (q->n == q->max_n || q->used + filler + need > q->cap)
        return false;
    if (filler) {
        *header_at(q, q->tail) = (struct header){NULL, filler - sizeof(struct header)};
        q->used += filler;
        q->tail = 0;
    }
    *header_at(q, q->tail) = (struct header){logger, record.n};
    if (record.n)
        memcpy(q->mem + q->tail + sizeof(struct header), record.p, record.n);
    q->tail = (q->tail + need) % q->cap;
    q->used += need;
    q->n++;
    return true;
}

/* The place of the frame at or, over a filler, behind `at`. */
static size_t skip_filler(const struct queue *q, size_t at)
{
    return header_at(q, at)->logger ? at : 0;
}

void queue_drop(struct queue *q)
{
    ASSERT(q->n > 0);
    size_t at = skip_filler(q, q->head);
    if (at != q->head)
        q->used -= q->cap - q->head;
    size_t size = frame_size(header_at(q, at)->n);
    q->head = (at + size) % q->cap;
    q->used -= size;
    if (--q->n == 0)
        queue_clear(q);
}

bool queue_next(const struct queue *q, size_t *at, struct queue_frame *ret)
{
    size_t here = q->head;
    if (q->n == 0)
        return false;
    if (*at != SIZE_MAX) {
        here = (*at + frame_size(header_at(q, *at)->n)) % q->cap;
        if (here == q->tail)
            return false;
    }
    here = skip_filler(q, here);
    struct header *h = header_at(q, here);
    *ret = (struct queue_frame){h->logger, sv_make(h + 1, h->n)};
    *at = here;
    return true;
}
