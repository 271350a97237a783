/* cursor.c - the consumer's position on disk: one small file, overwritten in place.
 * (1) Storing costs one write into the page cache, no sync: a crash of the process loses nothing, a power cut loses what
 *     was not synced yet, and then a little is delivered again.
 * (2) Synced before segments are removed and at close. A removed segment also says that the cursor is beyond it.
 * (3) Two slots in two sectors, used in turn: a torn write leaves the other one. The higher good one counts, as the
 *     cursor only grows.
 * Byte layout: docs/formats.md, "Spool cursor". */
#include "spool/spool_int.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"
#include <fcntl.h>

#define NAME CURSOR_NAME
#define MAGIC "WEIRCURS"
#define SLOT_BYTES 24
#define SLOT_STRIDE 512
#define FILE_BYTES (SLOT_STRIDE + SLOT_BYTES)
_Static_assert(FILE_BYTES == CURSOR_FILE_BYTES, "as the header says");

/* slot, 24 bytes LE: 0 magic | 8 version u16 | 10 zero u16 | 12 crc32c u32 of bytes 16..23, seeded with that of 0..11 |
 * 16 cursor u64 */
static void slot_put(char b[static SLOT_BYTES], uint64_t cursor)
{
    memcpy(b, MAGIC, 8);
    put_le16(b + 8, 1);
    put_le16(b + 10, 0);
    put_le64(b + 16, cursor);
    put_le32(b + 12, crc32c(crc32c(0, b, 12), b + 16, 8));
}

static bool slot_get(const char *b, uint64_t *ret)
{
    if (memcmp(b, MAGIC, 8) != 0 || get_le16(b + 8) != 1 || get_le32(b + 12) != crc32c(crc32c(0, b, 12), b + 16, 8))
        return false;
    *ret = get_le64(b + 16);
    return *ret < SEG_SEQ_MAX;
}

bool cursor_get(sv file, uint64_t *ret)
{
    uint64_t cursor, best = 0;
    bool good = false;
    for (int slot = 0; slot < 2 && file.n == FILE_BYTES; slot++)
        if (slot_get(file.p + slot * SLOT_STRIDE, &cursor)) {
            best = MAX(best, cursor);
            good = true;
        }
    if (good)
        *ret = best;
    return good;
}

bool cursor_open(struct spool *sp, uint64_t *ret, struct err *e)
{
    SCOPED(buf_done) struct buf file = buf_capped(FILE_BYTES);
    uint64_t best = 0;
    int good = 0;
    if (io_read_file(sp->dirfd, NAME, &file, NULL) && file.n == FILE_BYTES) {
        for (int slot = 0; slot < 2; slot++) {
            uint64_t cursor;
            if (!slot_get(file.p + slot * SLOT_STRIDE, &cursor))
                continue;
            sp->cursor_slot = cursor >= best ? !slot : sp->cursor_slot;
            best = MAX(best, cursor);
            good++;
        }
    }
    if (good < 2) { /* rewritten whole: both slots sound, and the space for later stores exists */
        char fresh[FILE_BYTES] = {0};
        slot_put(fresh, best);
        slot_put(fresh + SLOT_STRIDE, best);
        if (!io_replace_file(sp->dirfd, NAME, sv_make(fresh, sizeof fresh), e) && file.n != FILE_BYTES)
            return false; /* an old file will do on a full disk, no file will not */
    }
    if (!io_openat(sp->dirfd, NAME, O_WRONLY, 0, &sp->cursor_fd, e))
        return false;
    sp->cursor_stored = best;
    *ret = best;
    return true;
}

bool cursor_store(struct spool *sp, struct err *e)
{
    LOCK_SCOPED(&sp->cursor_mu);
    lock_acquire(&sp->mu);
    uint64_t cursor = sp->cursor;
    lock_release(&sp->mu);
    if (cursor == sp->cursor_stored)
        return true;
    char b[SLOT_BYTES];
    slot_put(b, cursor);
    if (!io_pwrite_all(sp->cursor_fd, sv_make(b, sizeof b), sp->cursor_slot ? SLOT_STRIDE : 0, NAME, e))
        return false;
    sp->cursor_slot = !sp->cursor_slot;
    sp->cursor_stored = cursor;
    sp->cursor_dirty = true;
    return true;
}

/* The sync runs without the lock, so that a consumer who moves on meanwhile does not wait for the disk. */
bool cursor_sync(struct spool *sp, struct err *e)
{
    {
        LOCK_SCOPED(&sp->cursor_mu);
        if (!sp->cursor_dirty)
            return true;
        sp->cursor_dirty = false;
    }
    if (io_datasync(sp->cursor_fd, NAME, e))
        return true;
    LOCK_SCOPED(&sp->cursor_mu);
    sp->cursor_dirty = true;
    sp->cursor_stored = 0; /* the kernel may have dropped what was written: write it again next time */
    return false;
}
