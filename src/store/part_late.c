/* part_late.c - columns of a block read late and in part: see part.h. */
#include "store/line_filter.h"
#include "store/part.h"

bool part_filter_lines(struct part_reader *r, uint32_t block, struct chunk *c, const struct scan_filter *f, size_t n,
                       uint8_t *pass, bool *ret_exact, struct err *e)
{
    if (!part_read_lines(r, block, c, e))
        return false;
    *ret_exact = true;
    return lines_pass(c, f, n, pass) || err_nomem(e);
}

bool part_read_key(struct part_reader *r, uint32_t block, struct chunk *c, sv name, struct key_column *ret, struct err *e)
{
    return part_read_metadata(r, block, c, e) && (chunk_key(c, name, ret) || err_nomem(e));
}
