/* rows.c - see rows.h: a bottom-up natural merge sort. Logs arrive nearly in order, so the runs are long. */
#include "store/rows.h"
#include <string.h>

static size_t run_end(const struct row_key *at, size_t from, size_t n)
{
    size_t i = from + 1;
    while (i < n && row_key_cmp(&at[i - 1], &at[i]) <= 0)
        i++;
    return MIN(i, n);
}

static void merge(const struct row_key *a, size_t na, const struct row_key *b, size_t nb, struct row_key *to)
{
    size_t i = 0, k = 0;
    while (i < na && k < nb)
        *to++ = row_key_cmp(&b[k], &a[i]) < 0 ? b[k++] : a[i++];
    if (i < na)
        memcpy(to, a + i, (na - i) * sizeof *to);
    if (k < nb)
        memcpy(to, b + k, (nb - k) * sizeof *to);
}

void row_keys_sort(struct row_key *at, size_t n, struct row_key *spare)
{
    struct row_key *from = at, *to = spare;
    for (;;) {
        size_t runs = 0;
        for (size_t i = 0; i < n; runs++) {
            size_t mid = run_end(from, i, n), end = mid < n ? run_end(from, mid, n) : n;
            merge(from + i, mid - i, from + mid, end - mid, to + i);
            i = end;
        }
        if (runs <= 1) {
            if (n && to != at) /* one run at most: what was merged into `to` is the answer */
                memcpy(at, to, n * sizeof *at);
            return;
        }
        struct row_key *t = from;
        from = to;
        to = t;
    }
}
