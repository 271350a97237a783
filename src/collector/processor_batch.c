/* processor_batch.c - the batch processor's settings. Its work is done where queues are read (queue.c), so that nothing waits
 * between an acknowledgement and the disk. An exporter without a queue gets requests one by one, as they come. */
#include "collector/plug.h"

struct batch_cfg {
    int64_t timeout;
    uint64_t send_batch_size, send_batch_max_size;
};

static const struct option options[] = {
    OPT(DURATION, struct batch_cfg, timeout, "200ms", "longest wait for more records; 0: send what is there"),
    OPT(U64, struct batch_cfg, send_batch_size, "8192", "records that make a batch full; 0: every request by itself"),
    OPT(U64, struct batch_cfg, send_batch_max_size, "0", "most records of a batch; larger ones are split; 0: no limit"),
    {0}};
static const struct other_key others[] = {
    {"metadata_keys", KEY_UNSUPPORTED, "requests of different tenants are never joined; there are no other partitions"},
    {"metadata_cardinality_limit", KEY_NO_EFFECT, "it limits metadata_keys"},
    {0}};

static void check(const struct reading *rd, void *cfg)
{
    const struct batch_cfg *b = cfg;
    if (b->send_batch_max_size && b->send_batch_max_size < b->send_batch_size)
        section_problem(rd, "send_batch_max_size", "send_batch_max_size must be greater or equal to send_batch_size");
    if (b->timeout < 0)
        section_problem(rd, "timeout", "timeout must be greater or equal to 0");
}
static const struct section section = {.options = options, .others = others, .check = check};

static void batching(const struct component *cp, struct batching *ret)
{
    const struct batch_cfg *b = cp->cfg;
    *ret = (struct batching){.processor = cp->id, .timeout_ns = b->timeout, .min_records = b->send_batch_size,
                             .max_records = b->send_batch_max_size};
}

const struct plug processor_batch = {
    .kind = PLUG_PROCESSOR, .type = "batch",
    .help = "Joins small requests into larger ones, and splits very large ones, when they leave the queue.",
    .section = &section, .cfg_size = sizeof(struct batch_cfg), .sender = NO_FLAG, .processor = {.batching = batching}};
