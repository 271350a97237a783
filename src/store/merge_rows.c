/* merge_rows.c - see merge_rows.h. For each stream, the inputs that have it are merged by time. While one input's next row is
 * earlier than all others', its rows go through without a look at their content: rows of one part differ from each other. Only rows
 * of one time from several inputs are compared. And when that goes for a whole block of one stream, its pages are copied as they are:
 * so what is merged from large parts costs next to nothing. */
#include "store/merge_rows.h"
#include "base/io.h"
#include "base/varint.h"
#include "store/dedup.h"
#include <inttypes.h>

struct input {
    struct part *p;
    struct part_reader *rd;
    struct chunk *c;     /* the block at hand; NULL: to be read */
    uint32_t block, row; /* of the next row */
    uint32_t ordinal;    /* the next stream */
    uint64_t left;       /* rows of that stream not taken yet */
    uint64_t bytes_seen; /* of rd, that tick() was told */
};

struct retired { /* a block read to its end that rows not yet written point at */
    struct chunk *c;
    uint32_t blocks; /* of the output when it was */
};

struct merger {
    const struct merge_job *job;
    struct merge_result *ret;
    struct input in[MERGE_INPUTS_MAX];
    struct input *member[MERGE_INPUTS_MAX]; /* that have the stream at hand and rows left; in order */
    size_t n_members;
    const struct stream *st;
    int64_t cutoff;
    struct stream_deletes deletes; /* of the stream */
    uint64_t stream_bytes;
    bool begun;                 /* the stream is in the output */
    struct part_writer *w;
    struct part_tail tail;
    uint64_t ids[MERGE_INPUTS_MAX];
    size_t table_bytes;
    uint64_t bytes_told;        /* of it, that tick() was told */
    struct buf stored;          /* the block being copied */
    VEC(struct retired) retired;
    uint32_t blocks_seen;
    bool comparing;             /* `seen` points into blocks */
    struct dedup seen;
    uint64_t memory;
};

void merge_result_done(struct merge_result *r)
{
    vec_done(&r->ids);
}

/* ---- inputs ---- */

static void drop_block(struct merger *m, struct chunk *c)
{
    m->memory -= c->memory;
    chunk_unref(c);
}

/* Frees blocks whose rows are all on their way to the disk. */
static void free_retired(struct merger *m)
{
    uint32_t blocks = m->w ? part_writer_blocks(m->w) : UINT32_MAX;
    size_t kept = 0;
    if (m->comparing)
        return;
    for (size_t i = 0; i < m->retired.n; i++)
        if (m->retired.at[i].blocks < blocks)
            drop_block(m, m->retired.at[i].c);
        else
            m->retired.at[kept++] = m->retired.at[i];
    m->retired.n = kept;
}

static bool retire(struct merger *m, struct input *in, struct err *e)
{
    struct retired *room = vec_push(&m->retired);
    if (!room)
        return err_nomem(e);
    *room = (struct retired){in->c, m->w ? part_writer_blocks(m->w) : 0};
    if (!m->comparing) { /* the writer has copied the lines */
        free(TAKE(in->c->lines));
        in->c->memory -= in->c->line_bytes;
        m->memory -= in->c->line_bytes;
    }
    in->c = NULL;
    in->block++;
    in->row = 0;
    if (!m->w && !m->comparing)
        free_retired(m);
    return true;
}

static bool tick(struct merger *m, struct input *in, struct err *e)
{
    uint64_t read = part_reader_bytes(in->rd), written = m->w ? part_writer_bytes(m->w) : m->bytes_told;
    uint64_t bytes = read - in->bytes_seen + (written - m->bytes_told);
    in->bytes_seen = read;
    m->bytes_told = written;
    return !m->job->tick || m->job->tick(m->job->ctx, bytes, e);
}

static bool load(struct merger *m, struct input *in, struct err *e)
{
    if (in->block >= in->p->n_blocks)
        return err_set(e, ERR_CORRUPT, "part '%s' has fewer rows than its table says", in->p->name);
    if (!part_read_block(in->rd, in->block, &in->c, e))
        return false;
    if (!part_read_lines(in->rd, in->block, in->c, e) || !part_read_metadata(in->rd, in->block, in->c, e)) {
        chunk_unref(in->c);
        in->c = NULL;
        return false;
    }
    part_close_block(in->c);
    if (m->job->writer.drop_cache)
        part_reader_forget(in->rd, in->block);
    m->memory += in->c->memory;
    m->ret->memory_peak = MAX(m->ret->memory_peak, m->memory);
    if (m->memory > m->job->memory_max)
        return err_set(e, ERR_LIMIT, "a merge of %zu parts needs more than merge_max_memory=%" PRIu64 " bytes", m->job->n,
                       m->job->memory_max);
    return tick(m, in, e);
}

/* Is the next row the first of a block that has no other stream? Its time is then known without reading. */
static bool at_block(const struct input *in)
{
    const struct part_block *b = &in->p->blocks[in->block];
    return !in->c && !in->row && in->block < in->p->n_blocks && b->first == in->ordinal && b->last == in->ordinal;
}

/* Makes the next row be there, and checks that it is the stream's. */
static bool row_ready(struct merger *m, struct input *in, struct err *e)
{
    bool guessed = at_block(in);
    if (!in->c && !load(m, in, e))
        return false;
    if (guessed && in->c->ts[0] != in->p->blocks[in->block].min_ts)
        return err_set(e, ERR_CORRUPT, "part '%s': times of block %u are not in order", in->p->name, in->block);
    if (in->p->blocks[in->block].first + in->c->stream[in->row] == in->ordinal)
        return true;
    return err_set(e, ERR_CORRUPT, "part '%s': rows of block %u are not in the table's order", in->p->name, in->block);
}

/* Makes its time be there. */
static bool ready(struct merger *m, struct input *in, struct err *e)
{
    return at_block(in) || row_ready(m, in, e);
}

static int64_t time_of(const struct input *in)
{
    return in->c ? in->c->ts[in->row] : in->p->blocks[in->block].min_ts;
}

static bool step(struct merger *m, struct input *in, struct err *e)
{
    in->left--;
    m->ret->rows_in++;
    if (++in->row < in->c->n)
        return !in->left || ready(m, in, e);
    return retire(m, in, e) && (!in->left || ready(m, in, e));
}

/* Passes over the rest of the stream, without reading blocks that hold nothing else. */
static bool skip(struct merger *m, struct input *in, struct err *e)
{
    while (in->left) {
        if (in->block >= in->p->n_blocks)
            return err_set(e, ERR_CORRUPT, "part '%s' has fewer rows than its table says", in->p->name);
        uint64_t n = MIN(in->left, in->p->blocks[in->block].rows - in->row);
        in->left -= n;
        in->row += (uint32_t)n;
        m->ret->rows_in += n;
        m->ret->expired += n;
        if (in->row < in->p->blocks[in->block].rows)
            return true;
        if (in->c) {
            if (!retire(m, in, e))
                return false;
        } else {
            in->block++;
            in->row = 0;
        }
    }
    return true;
}

/* ---- output ---- */

static size_t table_bytes(const struct stream *st)
{
    size_t n = tenant_name(st->tenant).n + 8 * VARINT_MAX;
    for (size_t i = 0; i < st->labels.n; i++)
        n += st->labels.at[i].name.n + st->labels.at[i].value.n + 2 * VARINT_MAX;
    return n;
}

static bool part_begin(struct merger *m, struct err *e)
{
    uint64_t *room = vec_push(&m->ret->ids);
    struct part_writer_options o = m->job->writer;
    if (!room)
        return err_nomem(e);
    *room = atomic_fetch_add(m->job->next_id, 1);
    if (m->ret->ids.n > 1)
        o.reserve = 0; /* the first has asked for all */
    m->table_bytes = m->bytes_told = m->blocks_seen = 0;
    return part_writer_open(m->job->dirfd, *room, &o, &m->w, e);
}

static bool part_end(struct merger *m, bool last, struct err *e)
{
    struct part_tail tail = m->tail;
    tail.index = (uint16_t)(m->ret->ids.n - 1);
    tail.of = last ? (uint16_t)m->ret->ids.n : 0;
    tail.duplicates = last ? m->ret->duplicates : 0;
    if (!part_writer_finish(m->w, &tail, e))
        return false;
    m->ret->bytes_out += part_writer_bytes(m->w);
    part_writer_close(m->w);
    m->w = NULL;
    free_retired(m);
    return true;
}

static bool stream_begin(struct merger *m, struct err *e)
{
    size_t max = m->job->table_max ? m->job->table_max : (size_t)PART_TABLE_BYTES, more = table_bytes(m->st);
    if (m->w && m->table_bytes + more > max && !part_end(m, false, e))
        return false;
    if (m->ret->ids.n == UINT16_MAX)
        return err_set(e, ERR_LIMIT, "more than %d parts of one merge", UINT16_MAX);
    if (!m->w && !part_begin(m, e))
        return false;
    m->table_bytes += more;
    m->begun = true;
    return part_writer_stream(m->w, (struct stream *)m->st, m->stream_bytes, e);
}

static bool put(struct merger *m, const struct chunk *c, uint32_t row, struct err *e)
{
    if (c->ts[row] < m->cutoff) {
        m->ret->expired++;
        return true;
    }
    if (m->deletes.n && deletes_hide(&m->deletes, c->ts[row], chunk_line(c, row))) {
        m->ret->deleted++;
        return true;
    }
    if ((!m->begun && !stream_begin(m, e)) || !part_writer_row(m->w, c, row, e))
        return false;
    m->ret->rows_out++;
    if (part_writer_blocks(m->w) != m->blocks_seen) {
        m->blocks_seen = part_writer_blocks(m->w);
        free_retired(m);
    }
    return true;
}

/* ---- a stream ---- */

/* The member whose next row comes first, and the time from which on others have a say. */
static struct input *first_member(struct merger *m, int64_t *ret_until)
{
    struct input *best = m->member[0];
    int64_t until = INT64_MAX;
    for (size_t i = 1; i < m->n_members; i++) {
        struct input *in = m->member[i];
        if (time_of(in) < time_of(best)) {
            until = time_of(best); /* earlier than any seen before */
            best = in;
        } else {
            until = MIN(until, time_of(in));
        }
    }
    *ret_until = until;
    return best;
}

static void drop_ended(struct merger *m)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->n_members; i++)
        if (m->member[i]->left)
            m->member[kept++] = m->member[i];
    m->n_members = kept;
}

static bool some_deleted(const struct merger *m, const struct part_block *b)
{
    return m->deletes.n && b->max_ts >= m->deletes.min_ts && b->min_ts <= m->deletes.max_ts;
}

/* May the next block go through as it is? All of it must be the stream's, earlier than what others have, and worth a block. */
static bool copies(const struct merger *m, const struct input *in, int64_t until, bool alone)
{
    const struct part_block *b = &in->p->blocks[in->block];
    return at_block(in) && in->p->columns && b->rows <= in->left && b->min_ts >= m->cutoff && !some_deleted(m, b) && (alone || b->max_ts < until) &&
           (b->rows >= PART_BLOCK_ROWS / 8 || b->line_bytes >= PART_BLOCK_BYTES / 8);
}

static bool copy(struct merger *m, struct input *in, struct err *e)
{
    const struct part_block *b = &in->p->blocks[in->block];
    buf_reset(&m->stored);
    if (!part_read_stored(in->rd, in->block, &m->stored, e) || (!m->begun && !stream_begin(m, e)) ||
        !part_writer_block(m->w, b, buf_view(&m->stored), e))
        return false;
    if (m->job->writer.drop_cache)
        part_reader_forget(in->rd, in->block);
    m->ret->rows_in += b->rows;
    m->ret->rows_out += b->rows;
    m->ret->rows_copied += b->rows;
    in->left -= b->rows;
    in->block++;
    m->blocks_seen = part_writer_blocks(m->w);
    free_retired(m);
    return tick(m, in, e) && (!in->left || ready(m, in, e));
}

/* All rows of time `ts`, which several members have: compared, the first accepted stays. */
static bool merge_time(struct merger *m, int64_t ts, struct err *e)
{
    bool ok = true;
    dedup_reset(&m->seen);
    m->comparing = true;
    for (size_t i = 0; ok && i < m->n_members; i++)
        while (ok && m->member[i]->left && time_of(m->member[i]) == ts) {
            struct input *in = m->member[i];
            bool twice;
            if (!row_ready(m, in, e))
                return false;
            if (!dedup_row(&m->seen, ts, in->c, in->row, &twice))
                return err_nomem(e);
            m->ret->duplicates += twice;
            ok = (twice || put(m, in->c, in->row, e)) && step(m, in, e);
        }
    dedup_reset(&m->seen);
    m->comparing = false;
    free_retired(m);
    return ok;
}

static bool merge_members(struct merger *m, struct err *e)
{
    for (size_t i = 0; i < m->n_members; i++)
        if (!ready(m, m->member[i], e))
            return false;
    while (m->n_members) {
        int64_t until;
        struct input *in = first_member(m, &until);
        bool alone = m->n_members == 1;
        if (!alone && time_of(in) == until) {
            if (!merge_time(m, until, e))
                return false;
        } else {
            do {
                bool ok = copies(m, in, until, alone) ? copy(m, in, e)
                                                      : row_ready(m, in, e) && put(m, in->c, in->row, e) && step(m, in, e);
                if (!ok)
                    return false;
            } while (in->left && (alone || time_of(in) < until));
        }
        drop_ended(m);
    }
    return true;
}

/* Inputs whose next stream is the first in order become the members. False: none is left. */
static bool next_stream(struct merger *m)
{
    int64_t max_ts = INT64_MIN;
    m->n_members = 0;
    m->stream_bytes = 0;
    for (size_t i = 0; i < m->job->n; i++) {
        struct input *in = &m->in[i];
        if (in->ordinal >= in->p->n_streams)
            continue;
        const struct stream *st = in->p->streams[in->ordinal].st;
        int c = m->n_members ? part_stream_cmp(st, m->st) : -1;
        if (c > 0)
            continue;
        if (c < 0) {
            m->st = st;
            m->n_members = 0;
            m->stream_bytes = 0;
            max_ts = INT64_MIN;
        }
        const struct part_stream *ps = &in->p->streams[in->ordinal];
        in->left = ps->rows;
        m->member[m->n_members++] = in;
        m->stream_bytes += ps->bytes;
        max_ts = MAX(max_ts, ps->max_ts);
    }
    if (!m->n_members)
        return false;
    m->begun = false;
    m->cutoff = m->job->cutoff ? m->job->cutoff(m->job->ctx, m->st) : INT64_MIN;
    if (max_ts < m->cutoff)
        m->cutoff = INT64_MAX; /* all of it */
    return true;
}

static bool merge_streams(struct merger *m, struct err *e)
{
    while (next_stream(m)) {
        struct input *member[MERGE_INPUTS_MAX];
        size_t n = m->n_members;
        memcpy(member, m->member, n * sizeof *member);
        stream_deletes_done(&m->deletes);
        bool ok = deletes_of_stream(m->job->deletes, m->st, &m->deletes, e);
        for (size_t i = 0; m->cutoff == INT64_MAX && ok && i < n; i++)
            ok = skip(m, member[i], e);
        drop_ended(m);
        if (!ok || !merge_members(m, e))
            return false;
        for (size_t i = 0; i < n; i++)
            member[i]->ordinal++;
    }
    return !m->w || part_end(m, true, e);
}

/* ---- all ---- */

static bool check_counts(const struct merger *m, struct err *e)
{
    uint64_t rows = 0;
    for (size_t i = 0; i < m->job->n; i++) {
        if (m->in[i].block != m->in[i].p->n_blocks)
            return err_set(e, ERR_CORRUPT, "part '%s' has more rows than its table says", m->in[i].p->name);
        rows += m->in[i].p->rows;
    }
    const struct merge_result *r = m->ret;
    if (rows == r->rows_in && rows == r->rows_out + r->duplicates + r->expired + r->deleted)
        return true;
    return err_set(e, ERR_CORRUPT, "%" PRIu64 " rows went in, %" PRIu64 " came out, %" PRIu64 " were duplicates, %" PRIu64
                   " past their time, %" PRIu64 " deleted", rows, r->rows_out, r->duplicates, r->expired, r->deleted);
}

static void merger_done(struct merger *m)
{
    for (size_t i = 0; i < m->job->n; i++) {
        if (m->in[i].c)
            drop_block(m, m->in[i].c);
        part_reader_close(m->in[i].rd);
    }
    m->comparing = false;
    stream_deletes_done(&m->deletes);
    part_writer_close(m->w);
    m->w = NULL;
    free_retired(m);
    vec_done(&m->retired);
    buf_done(&m->stored);
    dedup_done(&m->seen);
}

static bool inputs_open(struct merger *m, struct err *e)
{
    m->tail = (struct part_tail){.first_seq = UINT64_MAX, .deletes_applied = UINT64_MAX, .level = m->job->level, .inputs = m->ids, .n_inputs = m->job->n};
    for (size_t i = 0; i < m->job->n; i++) {
        struct part *p = m->job->in[i];
        m->in[i].p = p;
        m->ids[i] = p->id;
        m->tail.first_seq = MIN(m->tail.first_seq, p->first_seq);
        m->tail.end_seq = MAX(m->tail.end_seq, p->end_seq);
        m->tail.deletes_applied = MIN(m->tail.deletes_applied, p->deletes_applied);
        m->ret->bytes_in += p->file_bytes;
        if (!part_reader_open(p, &m->in[i].rd, e))
            return false;
    }
    m->tail.deletes_applied = MAX(m->tail.deletes_applied, deletes_last(m->job->deletes));
    return true;
}

static void remove_outputs(const struct merge_job *job, struct merge_result *ret)
{
    for (size_t i = 0; i < ret->ids.n; i++) {
        char name[32];
        struct err ignored;
        part_name(ret->ids.at[i], name);
        (void)!io_unlinkat(job->dirfd, name, &ignored); /* recovery removes what nobody lists */
    }
    ret->ids.n = 0;
}

bool merge_rows(const struct merge_job *job, struct merge_result *ret, struct err *e)
{
    ASSERT(job->n && job->n <= MERGE_INPUTS_MAX);
    *ret = (struct merge_result){0};
    struct merger *m = calloc(1, sizeof *m);
    if (!m)
        return err_nomem(e);
    m->job = job;
    m->ret = ret;
    bool ok = inputs_open(m, e) && merge_streams(m, e) && check_counts(m, e) && io_sync_dir(job->dirfd, "parts", e);
    merger_done(m);
    free(m);
    if (!ok)
        remove_outputs(job, ret);
    return ok;
}
