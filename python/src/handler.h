/* handler.h - what handler.c and logger.c share: HandlerBase, and a record's fields on their way into a weir_log_record. */
#pragma once
#include "ext.h"

struct handler {
    PyObject_HEAD PyObject *core; /* struct core; NULL: ask resolve() */
    PyTypeObject *seen_type;      /* the class that `own` was found for; borrowed: it is the object's own class */
    bool own;                     /* emit() is ours, so handle() may do it all */
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
/* Whether obj is a handler whose handle() does nothing but emit: no filter, no formatter, nothing overridden. */
bool handler_is_bare(PyObject *obj);
bool loggers_init(PyObject *module);
