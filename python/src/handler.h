/* handler.h - what handler.c and logger.c share: HandlerBase, and a record's fields on their way into a weir_log_record. */
#pragma once
#include "ext.h"

struct handler {
    PyObject_HEAD PyObject *core; /* struct core; NULL: ask resolve() */
    char contrib;                 /* the rules of opentelemetry-instrumentation-logging: event name, body always text */
    char code;                    /* code.* attributes */
};

enum slot { NAME, MSG, ARGS, LEVELNAME, LEVELNO, PATHNAME, LINENO, FUNCNAME, CREATED, EXC_INFO, N_TAKEN,
            IGNORED = N_TAKEN, CODE, N_SLOTS };

/* dict: field name -> enum slot */
extern PyObject *slot_of;
extern PyObject *record_type; /* logging.LogRecord */
extern PyObject *empty_text;

struct extra {
    PyObject *key, *value;
};
struct fields {
    PyObject *at[N_SLOTS];
    struct extra *extras;
    size_t n, cap;
    struct extra room[24];
};
static inline void fields_init(struct fields *f)
{
    memset(f->at, 0, sizeof f->at);
    f->extras = f->room;
    f->n = 0;
    f->cap = sizeof f->room / sizeof *f->room;
}
/* Keeps both. False: an exception is set. */
bool add_extra(struct conv *c, struct fields *f, PyObject *key, PyObject *value);

int severity_of(PyObject *levelno);
enum conv_result severity_text(struct conv *c, PyObject *levelname, weir_string *ret);
/* Into r's attributes and event name. */
enum conv_result attributes_of(struct conv *c, struct handler *h, struct fields *f, weir_log_record *r);

/* How deep records may nest that conversions log: a __str__ that logs itself ends here. */
#define NESTING_MAX 4
extern _Thread_local int nesting;
extern uint64_t n_nested; /* dropped: nested too deep, or logged by a Python exporter */

/* The core to emit to; a new reference, or NULL with or without an exception: then there is none. */
PyObject *core_of(struct handler *h);
/* Whether obj is a handler of ours that lets this level through and whose handle() does nothing but emit: no filter, no formatter,
 * nothing overridden. */
bool handler_takes(PyObject *obj, PyObject *level);
bool loggers_init(PyObject *module);

/* ---- what others replaced (untouched.c) ---- */

/* What the keys of objects' dicts were, in their order, when one was last read. */
#define SHAPE_MAX 32
struct shape {
    PyObject *keys[SHAPE_MAX];
    unsigned char slots[SHAPE_MAX]; /* the watched name that each is, or n_names */
    size_t n;
    bool shadowed; /* one is a method */
};
#define WATCHED_MAX 16
struct watch {
    PyObject *names[WATCHED_MAX]; /* methods, then attributes, which no class may define; interned */
    size_t n_methods, n_names;
    PyObject *ours[2]; /* definitions of methods that are right, besides logging's own; borrowed, or NULL */
    struct shape shape;
};
/* `value` under `key` in a dict, all of them held by somebody, and a hint where. */
struct place {
    PyObject *dict, *key, *value;
    Py_ssize_t at;
};
bool in_place(struct place *p); /* whether it is still so */
bool watch_init(struct watch *w, const char *const *names, size_t n_methods, size_t n_names);
/* Whether the methods that objects of this class have are logging's own or ours. No exception is set. */
bool untouched(PyTypeObject *type, const struct watch *w);
/* Reads an object's dict: `ret` has n_names + 1 places, filled with borrowed values by name. False: a watched method is among them. */
bool object_read(PyObject *dict, struct watch *w, PyObject **ret);
/* Whether it is the function of this name that logging's source defines. */
bool logging_own(PyObject *function, PyObject *name);
bool untouched_init(void);

/* Exported by every CPython since 3.3, a member of the limited API's headers only since 3.10. */
PyAPI_FUNC(PyObject *) PyObject_GenericGetDict(PyObject *obj, void *closure);
