/* Any text parses or is refused; what parses prints, and the print parses to the same print. */
#include "logql/logql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED(arena_done) struct arena a;
    SCOPED(buf_done) struct buf once = {0}, twice = {0};
    struct logql_expr *x, *again;
    struct matcher *m;
    size_t n;
    struct err e;
    sv text = sv_make(data, size);
    arena_init(&a, 64 << 20);
    if (logql_parse_selector(text, true, &a, &m, &n, &e))
        logql_free_matchers(m, n);
    if (!logql_parse(text, &a, &x, &e))
        return 0;
    logql_print(x, &once);
    logql_free(x);
    bool fits = once.n < 131072; /* the canonical text may be longer than what may be asked */
    if (logql_parse(buf_view(&once), &a, &again, &e)) {
        logql_print(again, &twice);
        ASSERT(sv_eq(buf_view(&once), buf_view(&twice)));
        logql_free(again);
    } else {
        ASSERT(!fits || e.code == ERR_LIMIT || e.code == ERR_NOMEM);
    }
    return 0;
}
