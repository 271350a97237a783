/* ext.h - the parts of weir._weir, a CPython extension over libweir.
 * (1) Limited API of 3.9: one binary for every later CPython.
 * (2) It lives in the main interpreter only, so what it has once (names, types) is static and guarded by the GIL.
 * (3) Nothing of Python is touched by libweir's thread: exporters and processors behind a pipeline are libweir's own.
 * (4) While Python code may run (a __str__, a formatter), every view that is borrowed from an object has its object kept. */
#pragma once
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x03090000
#include <Python.h>
#include <structmember.h>
#include <weir/weir.h>

/* Exported by every CPython since 3.3, a member of the limited API's headers only since 3.10. */
PyAPI_FUNC(const char *) PyUnicode_AsUTF8AndSize(PyObject *unicode, Py_ssize_t *size);

/* ---- values (value.c) ---- */

/* Bytes of text in one record, so that what is left of a huge one passes gRPC servers, which take 4 MiB. */
#define CONV_TEXT_MAX ((size_t)3 << 20)
/* Values in one record, counted through all depths. */
#define CONV_ITEMS_MAX 10000

/* Memory and references of one record's conversion; it lives on the stack. */
struct conv {
    PyObject **keep;
    size_t n_keep, cap_keep;
    struct conv_block *blocks;
    char *at, *end;
    size_t items, items_max, text, text_max; /* values and bytes of text so far, against the caps */
    bool body;          /* a body's map keeps every key */
    PyObject *keep_room[24];
    _Alignas(max_align_t) char room[1024];
};
enum conv_result {
    CONV_OK,
    CONV_LOST,  /* this value cannot be had; no exception is set */
    CONV_RAISED /* something that is no mere Exception (KeyboardInterrupt ...), or no memory: to be passed on */
};
void conv_init(struct conv *c);
/* Around the body's conversion: a huge one leaves room for attributes. */
static inline void conv_body_limits(struct conv *c)
{
    c->text_max = CONV_TEXT_MAX - CONV_TEXT_MAX / 16;
    c->items_max = CONV_ITEMS_MAX - CONV_ITEMS_MAX / 16;
}
static inline void conv_all_limits(struct conv *c)
{
    c->text_max = CONV_TEXT_MAX;
    c->items_max = CONV_ITEMS_MAX;
}
void conv_done(struct conv *c);
void *conv_alloc(struct conv *c, size_t n, size_t size); /* NULL, and an exception is set */
bool conv_keep(struct conv *c, PyObject *obj);           /* takes a new reference; false: exception is set */
/* Views that live as long as `c`. */
enum conv_result conv_text(struct conv *c, PyObject *unicode, weir_string *ret);
enum conv_result conv_str(struct conv *c, PyObject *obj, weir_string *ret); /* str(obj) */
enum conv_result conv_value(struct conv *c, PyObject *obj, weir_value *ret);
/* A mapping's entries as attributes; None: none. */
enum conv_result conv_attrs(struct conv *c, PyObject *mapping, const weir_attr **ret, size_t *ret_n);
enum conv_result conv_failed(void); /* what the exception that is set means: clears it, or leaves it */
PyObject *value_to_python(weir_value v);
PyObject *attrs_to_python(const weir_attr *attrs, size_t n);
bool values_init(void);

/* ---- pipelines (pipeline.c) ---- */

#define NAMES_CACHED 64

/* One native processor with its exporter, in a provider of its own. */
struct pipeline {
    PyObject_HEAD weir_provider *provider;
    struct pipeline *next; /* with `listed`: in the list of those to be shut down at exit() */
    bool listed;
    bool blocking;     /* emitting may wait for the network: the GIL is released meanwhile */
    PyObject *loggers; /* dict: scope name or InstrumentationScope -> address of its weir_logger */
    struct {
        PyObject *name;
        weir_logger *logger;
    } cached[NAMES_CACHED]; /* by the name object's address */
};
/* What a LoggerProvider emits to. */
struct core {
    PyObject_HEAD PyObject *pipelines; /* tuple */
    PyObject *slow;                    /* callable(handler, record) of the Python path, or NULL */
};
extern PyTypeObject *pipeline_type, *core_type;
/* The logger of a scope: a name, or an object with name, version, schema_url, attributes. NULL: none; no exception is set. */
weir_logger *pipeline_logger(struct pipeline *p, PyObject *scope);
void pipelines_emit(PyObject *pipelines, PyObject *scope, const weir_log_record *r);
bool pipelines_init(PyObject *module);

/* ---- module (module.c) ---- */

/* Makes the type when there is none yet, and adds it. */
bool add_type(PyObject *module, const char *name, PyType_Spec *spec, PyTypeObject **type);

/* ---- the current span (span.c) ---- */

/* Its ids, from the OpenTelemetry API if the app has loaded it. False: none. */
bool otel_trace_current(weir_trace_context *ret);
/* A non-negative int as n bytes, big endian; false when it is none, or zero. */
bool id_bytes(PyObject *id, uint8_t *to, Py_ssize_t n);
uint64_t u64_of(PyObject *number); /* 0 for what is none */
bool spans_init(void);

/* ---- logging.Handler (handler.c) ---- */

extern _Thread_local int exporting; /* this thread runs a Python exporter: what it logs is not for us */
bool handlers_init(PyObject *module);

/* ---- libweir's inside (inside.c) ---- */

weir_resource *inside_resource_new(const weir_attr *attrs, size_t n, const char *schema_url, const char *made_up_id);
const weir_resource *inside_provider_resource(const weir_provider *provider);
void inside_set_made_up_id(weir_provider *provider, const char *id);
const char *inside_made_up_id(const weir_resource *resource); /* NULL when none */
