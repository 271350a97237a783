/* Label sets as senders write them. What is accepted is sorted, and its canonical text reads back as the same set. */
#include "store/labels.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    SCOPED(arena_done) struct arena a;
    SCOPED(buf_done) struct buf text = {0};
    struct labels l, again;
    struct err e = {0};
    arena_init(&a, 0);
    if (!labels_parse(sv_make(data, n), &a, &l, &e))
        return 0;
    for (size_t i = 1; i < l.n; i++)
        if (sv_cmp(l.at[i - 1].name, l.at[i].name) >= 0)
            abort();
    labels_text(l, &text);
    if (!labels_parse(buf_view(&text), &a, &again, &e) || !labels_eq(l, again) || labels_hash(l) != labels_hash(again))
        abort();
    return 0;
}
