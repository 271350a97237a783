/* section.h - one section of the configuration, described by const rows: the same rows read it from YAML into a struct,
 * give the defaults, name the nearest right key on a typo, and print the reference page.
 * (1) A key is in `options`, `subs` or `others`; any other key is a problem. Nothing is ignored in silence.
 * (2) Every problem of a file is collected; reading goes on behind it.
 * (3) Values are strictly typed, as upstream: a quoted "10" is no number. A whole-scalar ${env:X} counts as unquoted. */
#pragma once
#include "base/option.h"
#include "base/yaml.h"

/* What is wrong with a file, line by line. */
struct problems {
    struct arena *a;
    const char *file;
    struct buf text;  /* "file:line:column: what\n"… */
    struct buf warnings;
    unsigned n;
};
void problem_at(struct problems *ps, unsigned line, unsigned column, const char *fmt, ...) PRINTF_LIKE(4, 5);
void warning_at(struct problems *ps, unsigned line, unsigned column, const char *fmt, ...) PRINTF_LIKE(4, 5);

struct reading { /* one section being read */
    struct problems *ps;
    const struct yaml *node; /* may be NULL or YAML_NULL: all defaults */
    const char *path;        /* "receivers::otlp::protocols" */
};
/* At the section, or at its member `key` (when it is written there). The path goes in front. */
void section_problem(const struct reading *rd, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* name → value in order, for headers: values may be secrets and are never printed. */
struct pair {
    char *name, *value;
};
struct pairs {
    struct pair *at;
    size_t n;
};
struct strings {
    char **at;
    size_t n;
};

struct section;
enum sub_kind { SUB_SECTION, SUB_STRINGS, SUB_PAIRS, SUB_CUSTOM /* `read` fills plain fields */ };
struct sub {
    const char *name;
    enum sub_kind kind;
    size_t offset;  /* of the nested struct, struct strings or struct pairs */
    size_t set;     /* offset of a bool: the section was written (and not `enabled: false`); NO_FLAG when nobody asks */
    const struct section *section;
    const char *help;
    void (*read)(const struct reading *rd, void *to, const struct yaml *y);
};
#define NO_FLAG SIZE_MAX

enum other_kind {
    KEY_NO_EFFECT,  /* upstream tunes its own machinery with it; here nothing depends on it */
    KEY_UNSUPPORTED, /* it would change what happens, and we do not do it: a problem unless null, false or empty */
    KEY_ALWAYS_ON    /* the other way round: a problem when false */
};
struct other_key {
    const char *name;
    enum other_kind kind;
    const char *why;
};

struct section {
    const struct option *options;   /* these may be NULL; tables end with {0} */
    const struct sub *subs;
    const struct other_key *others;
    void (*check)(const struct reading *rd, void *cfg); /* what rows cannot say; after all values are read */
};

/* Fills `cfg` (zeroed) with defaults, then with what the node says. Problems go to ps; cfg is always safe to free. */
void section_read(const struct section *s, void *cfg, struct problems *ps, const struct yaml *node, const char *path);
/* Without the defaults: for a SUB_CUSTOM that reads part of an outer struct. */
void section_read_into(const struct section *s, void *cfg, struct reading *rd);
void section_done(const struct section *s, void *cfg);
/* Rows of the reference page: "| `path.key` | default | what |". */
void section_print(const struct section *s, const char *prefix, struct buf *out);

/* `endpoint` is where a server listens: host:port, port 0 allowed. */
void section_check_endpoint(const struct reading *rd, const char *endpoint);
/* Was the key written (and not null)? */
bool section_has(const struct reading *rd, const char *key);
