/* option.h - settings as rows of a const table: name, kind, default, help. The same rows fill a struct from YAML or
 * argv, name the nearest right key on a typo, and print --help and the reference page. */
#pragma once
#include "base/buf.h"
#include "base/err.h"

enum option_kind {
    OPTION_BOOL,     /* bool */
    OPTION_U64,      /* uint64_t */
    OPTION_DOUBLE,   /* double */
    OPTION_STR,      /* char *, malloc'd */
    OPTION_DURATION, /* int64_t nanoseconds; Go syntax: 1h30m, 200ms, bare 0 */
    OPTION_BYTES,    /* uint64_t; "64MiB", "20MB" or a plain number */
    OPTION_CHOICE,   /* unsigned: which of the words in `arg`, "off|on|auto" */
};
struct option {
    const char *name; /* as in YAML (snake_case); on the command line with '-' for '_' */
    enum option_kind kind;
    size_t offset;
    const char *default_text; /* parsed like user input; NULL: zero */
    const char *help;
    const char *arg; /* placeholder in --help: "DIR"; NULL for the kind's own word. CHOICE: its words */
};
#define OPT(kind_, type, field, default_, help_) {#field, OPTION_##kind_, offsetof(type, field), default_, help_, NULL}
#define OPT_ARG(kind_, type, field, default_, arg_, help_)                                                        \
    {#field, OPTION_##kind_, offsetof(type, field), default_, help_, arg_}

/* Tables end with a row whose name is NULL. `into` is the struct the offsets refer to. */
MUST_USE bool options_defaults(const struct option *table, void *into, struct err *e);
void options_done(const struct option *table, void *into); /* frees strings */
const struct option *options_find(const struct option *table, sv name);
/* Parses `text` into the field. Errors say what was expected: "'timeout': not a duration: '5 sec' (write 5s, 200ms)". */
MUST_USE bool option_set(const struct option *o, void *into, sv text, struct err *e);
void option_print_value(const struct option *o, const void *from, struct buf *out);

/* Several tables, each filling a struct of its own, read as one set: a command's own options, then the store's, … */
struct option_group {
    const char *title; /* heading in --help */
    const struct option *table;
    void *into;
};

/* Reads argv[*at...]: "--name value", "--name=value", bool "--name"/"--no-name". Stops at the first word that is not an
 * option, or behind "--"; *at is left there. Unknown names give ERR_INVALID with the nearest right one. */
MUST_USE bool options_parse_args(const struct option_group *groups, size_t n_groups, int argc, char **argv, int *at,
                                 struct err *e);
/* One "name: value" of a config file; `name` in snake_case. */
MUST_USE bool options_set_by_name(const struct option_group *groups, size_t n_groups, sv name, sv value,
                                  struct err *e);
void options_print_help(const struct option_group *groups, size_t n_groups, struct buf *out);

/* "did you mean": the candidate nearest to `name` by edit distance, SV_NULL when none is near. `next` yields candidates
 * until it returns SV_NULL. */
sv nearest_name(sv name, sv (*next)(void *ctx), void *ctx);

MUST_USE bool parse_duration(sv text, int64_t *ret_ns, struct err *e); /* Go: [-+]?(number unit)+ ; ns us µs ms s m h */
MUST_USE bool parse_bytes(sv text, uint64_t *ret, struct err *e);      /* k = 1000, Ki = 1024; B optional */
