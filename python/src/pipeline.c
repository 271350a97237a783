/* pipeline.c - Exporter, Pipeline and Core: libweir's exporter, its processor in a provider of its own, and what a LoggerProvider
 * emits to.
 * (1) libweir's providers have their processors from the start, Python's get them later, and between two native processors a
 *     Python one may change the record. So each native processor is a pipeline of its own, and weir.sdk._logs puts them in order.
 * (2) Waiting (flush, shutdown, the end of a pipeline, a simple processor's export) is done without the GIL. */
#include "ext.h"
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

PyTypeObject *pipeline_type, *core_type;
static PyTypeObject *exporter_type;

/* ---- Exporter ---- */

struct exporter {
    PyObject_HEAD PyObject *args; /* of exporter_make(), kept: a second processor gets an exporter of its own */
    weir_exporter *ready;         /* made when the object was, to find what is wrong early; taken by the first processor */
};

static weir_exporter *exporter_make(PyObject *args)
{
    weir_otlp_options o = weir_otlp_options_init();
    weir_error error = {""};
    int protocol;
    long long timeout_ms;
    if (!PyArg_ParseTuple(args, "izzLzzzzi:Exporter", &protocol, &o.endpoint, &o.headers, &timeout_ms, &o.compression,
                          &o.certificate, &o.client_certificate, &o.client_key, &o.insecure))
        return NULL;
    if (protocol < WEIR_OTLP_DEFAULT || protocol > WEIR_OTLP_HTTP_JSON) {
        PyErr_SetString(PyExc_ValueError, "no such protocol");
        return NULL;
    }
    o.protocol = (weir_otlp_protocol)protocol;
    o.timeout_ms = timeout_ms;
    weir_exporter *e = weir_otlp_exporter_new(&o, &error);
    if (!e)
        PyErr_SetString(PyExc_ValueError, error.message);
    return e;
}

static PyObject *exporter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    weir_exporter *made = exporter_make(args);
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct exporter *e = made ? (struct exporter *)alloc(type, 0) : NULL;
    if (!e) {
        weir_exporter_free(made);
        return NULL;
    }
    Py_INCREF(args);
    e->args = args;
    e->ready = made;
    return (PyObject *)e;
}

static weir_exporter *exporter_take(struct exporter *e)
{
    weir_exporter *ready = e->ready;
    e->ready = NULL;
    return ready ? ready : exporter_make(e->args);
}

static void free_object(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc free_it = (freefunc)PyType_GetSlot(type, Py_tp_free);
    free_it(self);
    Py_DECREF(type);
}

static void exporter_dealloc(PyObject *self)
{
    struct exporter *e = (struct exporter *)self;
    weir_exporter_free(e->ready);
    Py_XDECREF(e->args);
    free_object(self);
}

static PyType_Slot exporter_slots[] = {{Py_tp_new, exporter_new}, {Py_tp_dealloc, exporter_dealloc}, {0, NULL}};
static PyType_Spec exporter_spec = {"weir._weir.Exporter", sizeof(struct exporter), 0, Py_TPFLAGS_DEFAULT, exporter_slots};

/* ---- Pipeline ---- */

static weir_resource *resource_of(PyObject *attributes, const char *schema_url, const char *made_up_id)
{
    struct conv c;
    const weir_attr *attrs;
    size_t n;
    weir_resource *r = NULL;
    conv_init(&c);
    if (conv_attrs(&c, attributes, &attrs, &n) == CONV_OK) {
        r = inside_resource_new(attrs, n, schema_url, made_up_id);
        if (!r)
            PyErr_NoMemory();
    } else if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_TypeError, "resource attributes are a mapping");
    }
    conv_done(&c);
    return r;
}

struct batch_args {
    const char *schema_url, *made_up_id;
    int simple;
    weir_batch_options o;
    weir_limits limits;
};

static weir_provider *provider_make(struct exporter *e, PyObject *attributes, struct batch_args *a)
{
    weir_provider_options o = weir_provider_options_init();
    weir_error error = {""};
    weir_resource *r = resource_of(attributes, a->schema_url, a->made_up_id);
    weir_exporter *exporter = r ? exporter_take(e) : NULL;
    if (!exporter) {
        weir_resource_free(r);
        return NULL;
    }
    weir_processor *processor = a->simple ? weir_simple_processor_new(exporter, &error)
                                          : weir_batch_processor_new(exporter, &a->o, &error);
    o.resource = r;
    o.limits = a->limits;
    weir_provider *p = weir_provider_new(&o, &processor, 1, &error);
    weir_resource_free(r);
    if (!p)
        PyErr_SetString(PyExc_ValueError, error.message);
    return p;
}

static PyObject *pipeline_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"exporter", "attributes", "schema_url", "made_up_id", "simple", "max_queue_size",
                            "max_export_batch_size", "schedule_delay_ms", "export_timeout_ms", "ring_bytes",
                            "max_export_batch_bytes", "spool_dir", "spool_max_bytes", "when_full", "sync_interval_ms",
                            "attribute_count", "attribute_value_length", NULL};
    struct batch_args a = {.o = weir_batch_options_init()};
    PyObject *exporter, *attributes;
    unsigned long queue = 0, batch = 0;
    int when_full = 0;
    long long delay = 0, timeout = 0, sync = 0, count = 0, length = 0;
    unsigned long long ring_bytes = 0, batch_bytes = 0, spool_bytes = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!Ozzp|kkLLKKzKiLLL:Pipeline", names, exporter_type, &exporter, &attributes,
                                     &a.schema_url, &a.made_up_id, &a.simple, &queue, &batch, &delay, &timeout, &ring_bytes,
                                     &batch_bytes, &a.o.spool_dir, &spool_bytes, &when_full, &sync, &count, &length))
        return NULL;
    a.o.max_queue_size = queue > UINT32_MAX ? UINT32_MAX : (uint32_t)queue;
    a.o.max_export_batch_size = batch > UINT32_MAX ? UINT32_MAX : (uint32_t)batch;
    a.o.schedule_delay_ms = delay;
    a.o.export_timeout_ms = timeout;
    a.o.ring_bytes = ring_bytes;
    a.o.spool_max_bytes = spool_bytes;
    a.o.when_full = (weir_when_full)when_full;
    a.o.sync_interval_ms = sync;
    a.o.max_export_batch_bytes = batch_bytes;
    a.limits.attribute_count = count;
    a.limits.attribute_value_length = length;
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    struct pipeline *p = (struct pipeline *)alloc(type, 0);
    if (!p)
        return NULL;
    const char *full = getenv("WEIR_SPOOL_WHEN_FULL");
    p->blocking = a.simple || when_full == WEIR_BLOCK || (!when_full && full && strcasecmp(full, "block") == 0);
    p->loggers = PyDict_New();
    p->provider = p->loggers ? provider_make((struct exporter *)exporter, attributes, &a) : NULL;
    if (!p->provider)
        Py_CLEAR(p);
    return (PyObject *)p;
}

/* ---- the process's end without Python's: exit() called by a program around the interpreter, as uWSGI's master does ---- */

static pthread_mutex_t leaving_mu = PTHREAD_MUTEX_INITIALIZER;
static struct pipeline *leaving; /* under leaving_mu: those to be shut down at exit() */

static void at_exit(void)
{
    pthread_mutex_lock(&leaving_mu); /* for good: who frees a pipeline now waits for the end of the process */
    for (struct pipeline *p = leaving; p; p = p->next)
        (void)weir_provider_shutdown(p->provider, 5000);
}

static void leaving_add(struct pipeline *p)
{
    static bool once;
    pthread_mutex_lock(&leaving_mu);
    if (!p->listed) {
        p->next = leaving;
        leaving = p;
        p->listed = true;
    }
    if (!once)
        once = atexit(at_exit) == 0;
    pthread_mutex_unlock(&leaving_mu);
}

static void leaving_remove(struct pipeline *p)
{
    pthread_mutex_lock(&leaving_mu);
    struct pipeline **at = &leaving;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    pthread_mutex_unlock(&leaving_mu);
}

static PyObject *pipeline_deliver_at_exit(PyObject *self, PyObject *none)
{
    leaving_add((struct pipeline *)self);
    Py_RETURN_NONE;
}

static void pipeline_dealloc(PyObject *self)
{
    struct pipeline *p = (struct pipeline *)self;
    if (p->listed)
        leaving_remove(p);
    weir_provider *provider = p->provider;
    if (provider) {
        Py_BEGIN_ALLOW_THREADS
        weir_provider_free(provider); /* delivers what is left, within 5 s */
        Py_END_ALLOW_THREADS
    }
    Py_XDECREF(p->loggers);
    for (size_t i = 0; i < NAMES_CACHED; i++)
        Py_XDECREF(p->cached[i].name);
    free_object(self);
}

static weir_logger *logger_make(struct pipeline *p, PyObject *scope)
{
    struct conv c;
    weir_string name = {"", 0}, version = {NULL, 0}, schema_url = {NULL, 0};
    const weir_attr *attrs = NULL;
    size_t n = 0;
    weir_logger *lg = NULL;
    conv_init(&c);
    if (PyUnicode_Check(scope)) {
        if (conv_text(&c, scope, &name) == CONV_OK)
            lg = weir_provider_logger(p->provider, name.data, NULL, NULL, NULL, 0);
    } else {
        static const char *const fields[] = {"name", "version", "schema_url"};
        weir_string *to[] = {&name, &version, &schema_url};
        for (int i = 0; i < 3; i++) {
            PyObject *value = PyObject_GetAttrString(scope, fields[i]);
            if (value && value != Py_None)
                (void)conv_str(&c, value, to[i]);
            Py_XDECREF(value);
            PyErr_Clear();
        }
        PyObject *attributes = PyObject_GetAttrString(scope, "attributes");
        if (attributes)
            (void)conv_attrs(&c, attributes, &attrs, &n);
        lg = weir_provider_logger(p->provider, name.data, version.data, schema_url.data, attrs, n);
        Py_XDECREF(attributes);
    }
    conv_done(&c);
    PyErr_Clear();
    return lg;
}

weir_logger *pipeline_logger(struct pipeline *p, PyObject *scope)
{
    size_t at = ((uintptr_t)scope >> 4) % NAMES_CACHED;
    if (p->cached[at].name == scope)
        return p->cached[at].logger;
    PyObject *known = PyDict_GetItemWithError(p->loggers, scope);
    weir_logger *lg = known ? PyLong_AsVoidPtr(known) : NULL;
    if (!known) {
        PyErr_Clear();
        lg = logger_make(p, scope);
        PyObject *address = lg ? PyLong_FromVoidPtr(lg) : NULL;
        if (address && PyDict_SetItem(p->loggers, scope, address) < 0)
            PyErr_Clear();
        Py_XDECREF(address);
    }
    if (!lg)
        return NULL;
    PyObject *before = p->cached[at].name;
    Py_INCREF(scope);
    p->cached[at].name = scope;
    p->cached[at].logger = lg;
    Py_XDECREF(before);
    return lg;
}

void pipelines_emit(PyObject *pipelines, PyObject *scope, const weir_log_record *r)
{
    Py_INCREF(pipelines);
    Py_ssize_t n = PyTuple_Size(pipelines);
    for (Py_ssize_t i = 0; i < n; i++) {
        struct pipeline *p = (struct pipeline *)PyTuple_GetItem(pipelines, i);
        weir_logger *lg = pipeline_logger(p, scope);
        if (!p->blocking) {
            weir_logger_emit(lg, r);
            continue;
        }
        Py_BEGIN_ALLOW_THREADS
        weir_logger_emit(lg, r);
        Py_END_ALLOW_THREADS
    }
    Py_DECREF(pipelines);
}

/* ---- the parts of a record, from weir.sdk._logs ---- */

/* emit(scope, timestamp, observed, trace_id, span_id, trace_flags, severity_number, severity_text, body, attributes, event_name) */
static PyObject *pipeline_emit(PyObject *self, PyObject *args)
{
    PyObject *scope, *time, *observed, *trace_id, *span_id, *flags, *number, *text, *body, *attributes, *event;
    if (!PyArg_ParseTuple(args, "OOOOOOOOOOO:emit", &scope, &time, &observed, &trace_id, &span_id, &flags, &number, &text, &body,
                          &attributes, &event))
        return NULL;
    struct conv c;
    weir_log_record r = weir_log_record_init();
    weir_trace_context trace = {0};
    enum conv_result result = CONV_OK;
    conv_init(&c);
    r.timestamp_ns = u64_of(time);
    r.observed_timestamp_ns = u64_of(observed);
    r.severity_number = (int32_t)u64_of(number);
    id_bytes(trace_id, trace.trace_id, sizeof trace.trace_id);
    id_bytes(span_id, trace.span_id, sizeof trace.span_id);
    trace.flags = (uint8_t)u64_of(flags);
    r.trace = &trace;
    if (text != Py_None)
        result = conv_str(&c, text, &r.severity_text);
    if (result != CONV_RAISED && event != Py_None)
        result = conv_str(&c, event, &r.event_name);
    if (result != CONV_RAISED)
        result = conv_attrs(&c, attributes, &r.attributes, &r.n_attributes);
    c.body = true;
    if (result != CONV_RAISED)
        result = conv_value(&c, body, &r.body);
    PyObject *one = result == CONV_RAISED ? NULL : PyTuple_Pack(1, self);
    if (one)
        pipelines_emit(one, scope, &r);
    Py_XDECREF(one);
    conv_done(&c);
    if (result == CONV_RAISED || !one)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *flush_or_shutdown(PyObject *self, PyObject *arg, weir_result (*fn)(weir_provider *, int64_t))
{
    weir_provider *provider = ((struct pipeline *)self)->provider;
    long long timeout_ms = PyLong_AsLongLong(arg);
    if (timeout_ms == -1 && PyErr_Occurred())
        return NULL;
    weir_result r;
    Py_BEGIN_ALLOW_THREADS
    r = fn(provider, timeout_ms);
    Py_END_ALLOW_THREADS
    return PyLong_FromLong(r);
}
static PyObject *pipeline_force_flush(PyObject *self, PyObject *timeout_ms)
{
    return flush_or_shutdown(self, timeout_ms, weir_provider_force_flush);
}
static PyObject *pipeline_shutdown(PyObject *self, PyObject *timeout_ms)
{
    return flush_or_shutdown(self, timeout_ms, weir_provider_shutdown);
}

static PyObject *pipeline_stats(PyObject *self, PyObject *none)
{
    weir_stats s = {.struct_size = sizeof s};
    Py_BEGIN_ALLOW_THREADS
    weir_provider_stats(((struct pipeline *)self)->provider, &s); /* may wait for a simple processor's export */
    Py_END_ALLOW_THREADS
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {
        {"emitted", s.emitted}, {"exported", s.exported}, {"queued", s.queued},
        {"dropped_queue_full", s.dropped_queue_full}, {"dropped_too_large", s.dropped_too_large},
        {"dropped_no_memory", s.dropped_no_memory}, {"dropped_after_shutdown", s.dropped_after_shutdown},
        {"dropped_at_shutdown", s.dropped_at_shutdown}, {"dropped_export_failed", s.dropped_export_failed},
        {"dropped_rejected", s.dropped_rejected}, {"discarded_attributes", s.discarded_attributes},
        {"dropped_ring_full", s.dropped_ring_full}, {"torn", s.torn}, {"spilled", s.spilled}, {"spool_bytes", s.spool_bytes},
        {"left_behind", s.left_behind}, {"adopted", s.adopted},
    };
    PyObject *dict = PyDict_New();
    for (size_t i = 0; dict && i < sizeof all / sizeof *all; i++) {
        PyObject *value = PyLong_FromUnsignedLongLong(all[i].value);
        if (!value || PyDict_SetItemString(dict, all[i].name, value) < 0)
            Py_CLEAR(dict);
        Py_XDECREF(value);
    }
    return dict;
}

/* (attributes, schema URL, the made-up service.instance.id or None) */
static PyObject *resource_to_python(const weir_resource *r)
{
    size_t n;
    const weir_attr *attrs = weir_resource_attributes(r, &n);
    PyObject *dict = attrs_to_python(attrs, n);
    return dict ? Py_BuildValue("Nsz", dict, weir_resource_schema_url(r), inside_made_up_id(r)) : NULL;
}

static PyObject *pipeline_resource(PyObject *self, PyObject *none)
{
    return resource_to_python(inside_provider_resource(((struct pipeline *)self)->provider));
}

/* set_made_up_id(id): in a forked child, before anything is emitted */
static PyObject *pipeline_set_made_up_id(PyObject *self, PyObject *id)
{
    PyObject *bytes = PyUnicode_AsEncodedString(id, "ascii", "strict");
    char *text;
    Py_ssize_t n;
    if (bytes && PyBytes_AsStringAndSize(bytes, &text, &n) == 0)
        inside_set_made_up_id(((struct pipeline *)self)->provider, text);
    Py_XDECREF(bytes);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *default_resource(PyObject *module, PyObject *none)
{
    weir_resource *r = weir_resource_default();
    PyObject *ret = r ? resource_to_python(r) : PyErr_NoMemory();
    weir_resource_free(r);
    return ret;
}

static PyMethodDef pipeline_methods[] = {
    {"emit", pipeline_emit, METH_VARARGS, "Emits a record given by its parts."},
    {"force_flush", pipeline_force_flush, METH_O, "Delivers what was emitted before, within milliseconds; a weir_result."},
    {"shutdown", pipeline_shutdown, METH_O, "Delivers what is left, within milliseconds, and stops; a weir_result."},
    {"deliver_at_exit", pipeline_deliver_at_exit, METH_NOARGS, "Shuts down at exit(), should Python's own atexit not come to it."},
    {"stats", pipeline_stats, METH_NOARGS, "Where the records went."},
    {"set_made_up_id", pipeline_set_made_up_id, METH_O, "In a forked child: the instance id of the provider's other pipelines."},
    {"resource", pipeline_resource, METH_NOARGS, "Attributes, schema URL and made-up instance id of the resource as it is sent."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot pipeline_slots[] = {
    {Py_tp_new, pipeline_new}, {Py_tp_dealloc, pipeline_dealloc}, {Py_tp_methods, pipeline_methods}, {0, NULL}};
static PyType_Spec pipeline_spec = {"weir._weir.Pipeline", sizeof(struct pipeline), 0, Py_TPFLAGS_DEFAULT, pipeline_slots};

/* ---- Core ---- */

static int core_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct core *c = (struct core *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(c->pipelines);
    Py_VISIT(c->slow);
    return 0;
}

static int core_clear(PyObject *self)
{
    struct core *c = (struct core *)self;
    Py_CLEAR(c->pipelines);
    Py_CLEAR(c->slow);
    return 0;
}

static void core_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    core_clear(self);
    free_object(self);
}

/* set(pipelines, slow) */
static PyObject *core_set(PyObject *self, PyObject *args)
{
    struct core *c = (struct core *)self;
    PyObject *pipelines, *slow;
    if (!PyArg_ParseTuple(args, "O!O:set", &PyTuple_Type, &pipelines, &slow))
        return NULL;
    for (Py_ssize_t i = 0; i < PyTuple_Size(pipelines); i++)
        if (Py_TYPE(PyTuple_GetItem(pipelines, i)) != pipeline_type) {
            PyErr_SetString(PyExc_TypeError, "a Core takes Pipelines");
            return NULL;
        }
    PyObject *old_pipelines = c->pipelines, *old_slow = c->slow;
    Py_INCREF(pipelines);
    c->pipelines = pipelines;
    c->slow = slow == Py_None ? NULL : slow;
    Py_XINCREF(c->slow);
    Py_XDECREF(old_pipelines);
    Py_XDECREF(old_slow);
    Py_RETURN_NONE;
}

static PyMethodDef core_methods[] = {
    {"set", core_set, METH_VARARGS, "What to emit to: a tuple of pipelines, or a callable(handler, record) for all records."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot core_slots[] = {{Py_tp_new, PyType_GenericNew},  {Py_tp_dealloc, core_dealloc}, {Py_tp_traverse, core_traverse},
                                   {Py_tp_clear, core_clear}, {Py_tp_methods, core_methods}, {0, NULL}};
static PyType_Spec core_spec = {"weir._weir.Core", sizeof(struct core), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, core_slots};

bool pipelines_init(PyObject *module)
{
    static PyMethodDef functions[] = {{"default_resource", default_resource, METH_NOARGS, "The environment's resource."},
                                      {NULL, NULL, 0, NULL}};
    return PyModule_AddFunctions(module, functions) == 0 && add_type(module, "Exporter", &exporter_spec, &exporter_type) &&
           add_type(module, "Pipeline", &pipeline_spec, &pipeline_type) && add_type(module, "Core", &core_spec, &core_type);
}
