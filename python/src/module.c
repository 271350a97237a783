/* module.c - weir._weir: see ext.h. */
#include "ext.h"

bool add_type(PyObject *module, const char *name, PyType_Spec *spec, PyTypeObject **type)
{
    if (!*type && !(*type = (PyTypeObject *)PyType_FromSpec(spec)))
        return false;
    Py_INCREF(*type);
    if (PyModule_AddObject(module, name, (PyObject *)*type) == 0)
        return true;
    Py_DECREF(*type);
    return false;
}

static int module_exec(PyObject *module)
{
    static bool ready;
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0) {
        PyErr_SetString(PyExc_ImportError, "weir works in the main interpreter only, and this is a subinterpreter "
                                           "(with mod_wsgi: WSGIApplicationGroup %{GLOBAL})");
        return -1;
    }
    if (!ready && !(values_init() && spans_init()))
        return -1;
    if (!pipelines_init(module) || !handlers_init(module) || PyModule_AddStringConstant(module, "version", weir_version()) < 0)
        return -1;
    ready = true;
    return 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};
static struct PyModuleDef module_def = {PyModuleDef_HEAD_INIT, "weir._weir", "libweir for weir.sdk._logs: see docs/python.md.",
                                        0, NULL, module_slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__weir(void)
{
    return PyModuleDef_Init(&module_def);
}
