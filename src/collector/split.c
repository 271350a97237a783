/* split.c - see split.h. The three levels of an ExportLogsServiceRequest have one shape: a repeated message with fields of
 * its own around another repeated message; so one function walks each level. Lengths are patched afterwards (write.h). */
#include "collector/split.h"
#include "base/varint.h"
#include "otlp/write.h"

enum { REQUEST_RESOURCE_LOGS = 1, RESOURCE_SCOPE_LOGS = 2, SCOPE_LOG_RECORDS = 2 };

struct cut {
    uint64_t skip, take; /* records still to pass over, then to copy */
};

/* One field at *at: its whole bytes, and for wire type 2 its content. The bytes were checked, yet nothing is trusted. */
static bool next_field(sv *rest, uint32_t *ret_field, sv *ret_whole, sv *ret_content)
{
    const uint8_t *p = (const uint8_t *)rest->p, *end = p + rest->n, *start = p;
    uint64_t tag, v;
    unsigned depth = 0;
    if (!rest->n || !varint_get(&p, end, &tag))
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

/* ScopeLogs (level 0) or ResourceLogs (level 1): false, and nothing written, when no record of the range is inside. */
static bool put_group(sv group, int level, uint32_t as_field, struct cut *cut, struct buf *out)
{
    uint32_t inner = level ? RESOURCE_SCOPE_LOGS : SCOPE_LOG_RECORDS, field;
    size_t before = out->n, mark = otlp_open(out, as_field);
    bool any = false;
    sv rest = group, whole, content;
    while (next_field(&rest, &field, &whole, &content)) {
        if (field != inner || !content.p) {
            buf_sv(out, whole);
        } else if (level) {
            any |= put_group(content, 0, RESOURCE_SCOPE_LOGS, cut, out);
        } else if (cut->skip) {
            cut->skip--;
        } else if (cut->take) {
            cut->take--;
            any = true;
            buf_sv(out, whole);
        }
    }
    if (any)
        otlp_close(out, mark);
    else if (!out->failed)
        out->n = before;
    return any;
}

void split_records(sv request, uint64_t from, uint64_t n, struct buf *out)
{
    struct cut cut = {from, n};
    uint32_t field;
    sv rest = request, whole, content;
    while (cut.take && next_field(&rest, &field, &whole, &content))
        if (field == REQUEST_RESOURCE_LOGS && content.p)
            put_group(content, 1, REQUEST_RESOURCE_LOGS, &cut, out);
}
