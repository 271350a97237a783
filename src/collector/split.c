/* split.c - see split.h. The three levels of an ExportLogsServiceRequest have one shape: a repeated message with fields of
 * its own around another repeated message. The own fields of a group are collected once, when it is entered, as they may
 * follow its records; every piece of it begins with them. Lengths are patched afterwards (write.h). */
#include "collector/split.h"
#include "base/varint.h"
#include "otlp/write.h"

static const uint32_t inner[] = {1, 2, 2}; /* resource_logs, scope_logs, log_records */

/* One field at *at: its whole bytes, and for wire type 2 its content. The bytes were checked, yet nothing is trusted. */
static bool next_field(sv *rest, uint32_t *ret_field, sv *ret_whole, sv *ret_content)
{
    if (!rest->n)
        return false;
    const uint8_t *p = (const uint8_t *)rest->p, *end = p + rest->n, *start = p;
    uint64_t tag, v;
    unsigned depth = 0;
    if (!varint_get(&p, end, &tag))
        return false;
    *ret_field = (uint32_t)(tag >> 3);
    *ret_content = SV_NULL;
    for (;;) { /* once; longer only inside a group */
        switch (tag & 7) {
        case 0:
            if (!varint_get(&p, end, &v))
                return false;
            break;
        case 1:
        case 5:
            if ((size_t)(end - p) < ((tag & 7) == 1 ? 8u : 4u))
                return false;
            p += (tag & 7) == 1 ? 8 : 4;
            break;
        case 2:
            if (!varint_get(&p, end, &v) || v > (uint64_t)(end - p))
                return false;
            if (!depth) /* what is inside a group is the group's */
                *ret_content = sv_make(p, (size_t)v);
            p += v;
            break;
        case 3:
            depth++;
            break;
        case 4:
            if (depth-- == 0)
                return false;
            break;
        default:
            return false;
        }
        if (!depth)
            break;
        if (!varint_get(&p, end, &tag))
            return false;
    }
    *ret_whole = sv_make(start, (size_t)(p - start));
    *rest = sv_make(p, (size_t)(end - p));
    return true;
}

/* The next field of this number that is a message; others are passed over. */
static bool next_message(sv *rest, uint32_t number, sv *ret_whole, sv *ret_content)
{
    uint32_t field;
    while (next_field(rest, &field, ret_whole, ret_content))
        if (field == number && ret_content->p)
            return true;
    return false;
}

/* Makes the next group of `level` (0: ResourceLogs, 1: ScopeLogs) the open one. */
static bool enter(struct split *sp, unsigned level)
{
    sv whole, content;
    uint32_t field;
    if (!next_message(&sp->rest[level], inner[level], &whole, &content))
        return false;
    sp->rest[level + 1] = content;
    buf_reset(&sp->own[level]);
    for (sv rest = content, part; next_field(&rest, &field, &whole, &part);)
        if (field != inner[level + 1] || !part.p)
            buf_sv(&sp->own[level], whole);
    return true;
}

void split_start(struct split *sp, sv request)
{
    sp->rest[0] = request;
    sp->rest[1] = sp->rest[2] = SV_NULL;
}

/* A piece being written: a group is begun with its first record, so that none is empty. */
struct piece {
    bool begun[2];
    size_t marks[2];
};

static void begin(struct piece *pc, const struct split *sp, unsigned level, struct buf *out)
{
    if (pc->begun[level])
        return;
    pc->begun[level] = true;
    pc->marks[level] = otlp_open(out, inner[level]);
    buf_sv(out, buf_view(&sp->own[level]));
    if (sp->own[level].failed && !out->failed)
        out->failed = sp->own[level].failed;
}

static void end(struct piece *pc, unsigned level, struct buf *out)
{
    if (pc->begun[level])
        otlp_close(out, pc->marks[level]);
    pc->begun[level] = false;
}

uint64_t split_take(struct split *sp, uint64_t n, struct buf *out)
{
    struct piece pc = {0};
    uint64_t given = 0;
    sv whole, content;
    while (given < n) {
        if (next_message(&sp->rest[2], inner[2], &whole, &content)) {
            begin(&pc, sp, 0, out);
            begin(&pc, sp, 1, out);
            buf_sv(out, whole);
            given++;
            continue;
        }
        end(&pc, 1, out);
        if (enter(sp, 1))
            continue;
        end(&pc, 0, out);
        if (!enter(sp, 0))
            break;
    }
    end(&pc, 1, out);
    end(&pc, 0, out);
    return given;
}

void split_done(struct split *sp)
{
    buf_done(&sp->own[0]);
    buf_done(&sp->own[1]);
}
