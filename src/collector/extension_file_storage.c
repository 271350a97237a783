/* extension_file_storage.c - a directory of its own for the queues that name it in `sending_queue::storage`. Queues are on
 * disk and synced without it too, under the data directory; nothing runs. */
#include "collector/plug.h"

struct storage_cfg {
    char *directory;
};
static const struct option options[] = {
    OPT(STR, struct storage_cfg, directory, "/var/lib/otelcol/file_storage", "where the queues lie; made when missing"), {0}};
static const struct other_key others[] = {
    {"timeout", KEY_NO_EFFECT, "a directory another process holds is an error at once"},
    {"fsync", KEY_NO_EFFECT, "what is acknowledged is always synced"},
    {"compaction", KEY_NO_EFFECT, "space is given back segment by segment"},
    {"create_directory", KEY_NO_EFFECT, "a missing directory is made"},
    {"directory_permissions", KEY_UNSUPPORTED, "directories are made with mode 0750"},
    {"recreate", KEY_NO_EFFECT, "damage costs the damaged requests only, and they are counted"},
    {"max_size", KEY_UNSUPPORTED, "use the exporter's sending_queue::queue_size with sizer: bytes"},
    {0}};
static void check(const struct reading *rd, void *cfg)
{
    const struct storage_cfg *c = cfg;
    if (!c->directory || !*c->directory)
        section_problem(rd, "directory", "'directory' must not be empty");
}
static const struct section section = {.options = options, .others = others, .check = check};

static const char *directory(const struct component *cp)
{
    const struct storage_cfg *c = cp->cfg;
    return c->directory;
}

const struct plug extension_file_storage = {
    .kind = PLUG_EXTENSION, .type = "file_storage", .help = "Another directory for sending queues.", .section = &section,
    .cfg_size = sizeof(struct storage_cfg), .sender = NO_FLAG, .extension = {.directory = directory}};
