/* ints.c - see ints.h. */
#include "store/ints.h"
#include "base/varint.h"

static const int64_t unit[] = {1, 1000, 1000000, 1000000000};

void ints_put(struct buf *out, const uint64_t *v, size_t n)
{
    for (size_t from = 0; from < n; from += INTS_RUN) {
        size_t run = MIN(n - from, (size_t)INTS_RUN);
        uint64_t min = v[from], max = v[from];
        for (size_t i = 1; i < run; i++) {
            min = MIN(min, v[from + i]);
            max = MAX(max, v[from + i]);
        }
        buf_varint(out, min);
        buf_char(out, (char)bits_for(max - min));
        bits_pack(out, v + from, run, min, bits_for(max - min));
    }
}

/* The head of a run; the numbers behind it are there. */
static bool run_head(const uint8_t **at, const uint8_t *end, size_t run, uint64_t *ret_min, unsigned *ret_bits)
{
    if (!varint_get(at, end, ret_min) || *at == end || **at > 64)
        return false;
    *ret_bits = *(*at)++;
    return bits_bytes(run, *ret_bits) <= (uint64_t)(end - *at);
}

bool ints_get(const uint8_t **at, const uint8_t *end, uint64_t *v, size_t n)
{
    for (size_t from = 0; from < n; from += INTS_RUN) {
        size_t run = MIN(n - from, (size_t)INTS_RUN);
        uint64_t min;
        unsigned bits;
        if (!run_head(at, end, run, &min, &bits))
            return false;
        for (size_t i = 0; i < run; i++)
            v[from + i] = min + bits_get(*at, i, bits);
        *at += bits_bytes(run, bits);
    }
    return true;
}

void times_put(struct buf *out, const int64_t *ts, size_t n)
{
    uint64_t step[INTS_RUN];
    int k = 3;
    for (size_t i = 0; k > 0 && i < n; i++)
        while (k > 0 && ts[i] % unit[k])
            k--;
    int64_t last = n ? ts[0] / unit[k] : 0;
    buf_char(out, (char)(k * 3));
    buf_varint(out, zigzag(last));
    for (size_t from = 1; from < n; from += INTS_RUN) {
        size_t run = MIN(n - from, (size_t)INTS_RUN);
        int64_t min = INT64_MAX, max = INT64_MIN;
        for (size_t i = 0; i < run; i++) {
            int64_t t = ts[from + i] / unit[k], d = (int64_t)((uint64_t)t - (uint64_t)last);
            step[i] = (uint64_t)d;
            min = MIN(min, d);
            max = MAX(max, d);
            last = t;
        }
        unsigned bits = bits_for((uint64_t)max - (uint64_t)min);
        buf_varint(out, zigzag(min));
        buf_char(out, (char)bits);
        bits_pack(out, step, run, (uint64_t)min, bits);
    }
}

bool times_get(const uint8_t *at, const uint8_t *end, int64_t *ts, size_t n)
{
    uint64_t v;
    if (at == end || *at > 9 || *at % 3)
        return false;
    uint64_t scale = (uint64_t)unit[*at++ / 3];
    if (!n || !varint_get(&at, end, &v))
        return false;
    uint64_t t = (uint64_t)unzigzag(v) * scale;
    ts[0] = (int64_t)t;
    for (size_t from = 1; from < n; from += INTS_RUN) {
        size_t run = MIN(n - from, (size_t)INTS_RUN);
        uint64_t min;
        unsigned bits;
        if (!run_head(&at, end, run, &min, &bits))
            return false;
        min = (uint64_t)unzigzag(min);
        if (!bits)
            for (size_t i = 0; i < run; i++)
                ts[from + i] = (int64_t)(t += min * scale);
        else
            for (size_t i = 0; i < run; i++)
                ts[from + i] = (int64_t)(t += (min + bits_get(at, i, bits)) * scale);
        at += bits_bytes(run, bits);
    }
    return at == end;
}
