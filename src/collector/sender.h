/* sender.h - what is around every exporter: its queue, its attempts, its counters, and what becomes of refused records. */
#pragma once
#include "collector/queue.h"
#include "collector/retry.h"

struct batch_settings { /* sending_queue.batch */
    int64_t flush_timeout;
    uint64_t min_size, max_size;
    char *sizer;
};
struct queue_settings {
    bool enabled;
    uint64_t num_consumers, queue_size; /* queue_size 0: 1 GiB, whatever the sizer */
    char *sizer;                        /* NULL: requests when queue_size is given, else bytes */
    char *storage;                      /* a storage extension's id; NULL: under the data directory */
    bool batch_set;
    struct batch_settings batch;
};
struct sender_settings {
    struct queue_settings queue;
    struct retry_settings retry;
};
extern const struct section queue_section;
/* Rows for an exporter whose cfg has a struct sender_settings. */
#define SENDER_SUBS(type, field)                                                                                  \
    {.name = "sending_queue", .offset = offsetof(type, field) + offsetof(struct sender_settings, queue),          \
     .set = NO_FLAG, .section = &queue_section, .help = "the queue on disk"},                                     \
    {.name = "retry_on_failure", .offset = offsetof(type, field) + offsetof(struct sender_settings, retry),       \
     .set = NO_FLAG, .section = &retry_section, .help = "attempts after the first; with a queue only"}

struct sender_config {
    const char *id;
    const struct sender_settings *settings; /* NULL: no queue; outlives the sender */
    struct batching batching;
    const char *data_dir;
    struct metrics *metrics;
};
struct sender;

/* For exporters: the peer's answer is larger than we take in. It would be no smaller next time, and nobody knows whether
 * the peer has the records: such a batch is given up as a whole, neither repeated nor taken apart. */
void sender_unreadable_answer(struct push_result *r);

/* "<data_dir>/queue/<id as a file name>", malloc'd; NULL when out of memory. */
char *sender_queue_dir(const char *data_dir, const char *id);
/* `to` makes one attempt per push, from several threads at a time. */
MUST_USE bool sender_open(const struct sender_config *cfg, const struct log_sink *to, struct sender **ret, struct err *e);
struct log_sink sender_sink(struct sender *sd);
/* No new attempts; returns when those under way have ended, or at the deadline. No thread is inside a push of `to` then,
 * and none will be: `to` may be closed, which answers the attempts still under way. */
void sender_stop(struct sender *sd, int64_t deadline_mono_ns);
/* `to` has been closed: whatever was under way has been answered. NULL is fine. */
void sender_close(struct sender *sd);
