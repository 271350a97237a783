/* config_reader.h - reading a tree of YAML by tables, with the place of every problem: what config_read.c says its schema in.
 * Functions return false when `e` has been filled with "file:line:column: path: what". What is read lives in the config's arena. */
#pragma once
#include "base/buf.h"
#include "sdk/config.h"

struct reader {
    struct config *c;
    struct err *e;
};

struct place { /* where we are, from the inside out */
    const struct place *up;
    const struct yaml *node;
    int64_t index; /* in a list; -1: a member, by its key */
};

struct field;
typedef bool read_fn(struct reader *r, const struct place *at, const struct field *f, void *to);
struct field {
    const char *name;
    read_fn *read;
    size_t offset;              /* in the section's struct, where `to` points */
    const struct field *fields; /* of cfg_section */
    int64_t min, max;           /* of cfg_number */
    bool required, component;   /* component: nothing written means all defaults */
};

#define END {NULL, NULL, 0, NULL, 0, 0, false, false}
#define FIELD(name_, read_, type, member) .name = name_, .read = read_, .offset = offsetof(type, member)

/* Messages. A note is for config_create() to say, which knows at what level. */
bool cfg_fail(struct reader *r, const struct place *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool cfg_fail_kind(struct reader *r, const struct place *at, const char *wanted); /* says what it is instead */
bool cfg_nomem(struct reader *r);
bool cfg_note(struct reader *r, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);
void cfg_put_where(struct reader *r, struct buf *b, const struct place *at, bool of_key);
void cfg_put_unknown(struct reader *r, struct buf *b, const struct place *at, const struct field *fields);
const char *cfg_what_is(const struct yaml *y);

/* Scalars. */
bool cfg_is_scalar(const struct yaml *y); /* or nothing */
bool cfg_string(struct reader *r, const struct place *at, sv *ret);
read_fn cfg_bool;   /* bool */
read_fn cfg_number; /* int64_t */
read_fn cfg_text;   /* const char * */
read_fn cfg_name;   /* the same, not empty */
read_fn cfg_texts;  /* struct config_texts */

/* Sections. A table ends with END. */
const struct field *cfg_field_of(const struct field *fields, sv key); /* NULL: none */
bool cfg_is_map(struct reader *r, const struct place *at);            /* or nothing */
bool cfg_member(struct reader *r, const struct place *at, const struct field *f, void *into);
bool cfg_fields(struct reader *r, const struct place *at, const struct field *fields, void *into);
read_fn cfg_section; /* by the field's own table */
/* A map of one member, whose key says which component it is; `what` they are. */
bool cfg_component(struct reader *r, const struct place *at, const char *what, const struct field *kinds, void *into);
/* Each entry of a list into an array of items of `size`, cleared; `ret` is the address of a pointer to them. */
bool cfg_list(struct reader *r, const struct place *at, size_t max, size_t size,
              bool (*read)(struct reader *r, const struct place *at, void *to), void *ret, size_t *ret_n);
