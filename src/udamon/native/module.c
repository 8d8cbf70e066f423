/* The extension module: it gathers the functions of the other files, and tells Python what they say of themselves. */
#include "interface.h"
#include "sites/format.h"

#include <stdio.h>
#include <unistd.h>

unsigned page_shift;

#define AS_POINTER(function) &function##_interface,
static const struct interface *const all[INDEXES] = {FUNCTIONS(AS_POINTER)};

/* (name, item, access, shape) of each argument and result; of a value, no access and no shape. */
static PyObject *fields_of(const struct field *field, int number)
{
    static const char *const access[] = {[READ] = "read", [WRITE] = "write", [MAYBE] = "maybe"};
    PyObject *tuple = PyTuple_New(number);
    for (int i = 0; tuple != NULL && i < number; i++) {
        PyObject *one = Py_BuildValue("sCzz", field[i].name, (int)field[i].format,
                                      field[i].shape != NULL ? access[field[i].access] : NULL, field[i].shape);
        if (one == NULL || PyTuple_SetItem(tuple, i, one) < 0)
            Py_CLEAR(tuple);
    }
    return tuple;
}

/* The type of a function's results, as a member of the module. */
static int add_result_type(PyObject *module, const struct interface *about, PyObject **type)
{
    enum { MOST = 32 };
    char name[80];
    PyStructSequence_Field fields[MOST + 1] = {{NULL, NULL}};
    if (about->results > MOST) {
        PyErr_Format(PyExc_SystemError, "%s has too many results", about->name);
        return -1;
    }
    for (int i = 0; i < about->results; i++)
        fields[i] = (PyStructSequence_Field){about->result[i].name, NULL};
    snprintf(name, sizeof(name), "udamon.native._native.%s", about->result_name);
    PyStructSequence_Desc description = {name, about->doc, fields, about->results};
    *type = (PyObject *)PyStructSequence_NewType(&description);
    return *type == NULL ? -1 : PyModule_AddObjectRef(module, about->result_name, *type);
}

static int add_function(PyObject *module, PyObject *interfaces, const struct interface *about, struct state *state)
{
    static PyMethodDef methods[INDEXES][2];
    methods[about->index][0] = (PyMethodDef){about->name, (PyCFunction)(void *)about->call, METH_VARARGS | METH_KEYWORDS, about->doc};
    if (PyModule_AddFunctions(module, methods[about->index]) < 0)
        return -1;
    for (const struct constant *constant = about->constant; constant->name != NULL; constant++) {
        PyObject *value = PyLong_FromLongLong(constant->value);
        int failed = value == NULL || PyModule_AddObjectRef(module, constant->name, value) < 0;
        Py_XDECREF(value);
        if (failed)
            return -1;
    }
    if (about->results > 1 && add_result_type(module, about, &state->result_type[about->index]) < 0)
        return -1;
    if ((state->names[about->index] = PyTuple_New(about->arguments)) == NULL)
        return -1;
    for (int i = 0; i < about->arguments; i++) {
        PyObject *name = PyUnicode_InternFromString(about->argument[i].name);
        if (name == NULL || PyTuple_SetItem(state->names[about->index], i, name) < 0)
            return -1;
    }
    PyObject *arguments = fields_of(about->argument, about->arguments), *results = fields_of(about->result, about->results);
    PyObject *both = arguments != NULL && results != NULL ? PyTuple_Pack(2, arguments, results) : NULL;
    int failed = both == NULL || PyDict_SetItemString(interfaces, about->name, both) < 0;
    Py_XDECREF(arguments);
    Py_XDECREF(results);
    Py_XDECREF(both);
    return failed ? -1 : 0;
}

/* Of the ring that the preload library writes, which is no part of this extension. */
static int add_ring_constants(PyObject *module)
{
#define ADD(name, value) PyModule_AddIntConstant(module, "RING_" #name, value) < 0 ||
    return RING_CONSTANTS(ADD) 0 ? -1 : 0;
#undef ADD
}

static int exec_module(PyObject *module)
{
    PyMethodDef *tables[] = {touch_methods, frames_methods, btf_methods, address_spaces_methods};
    struct state *state = PyModule_GetState(module);
    page_shift = (unsigned)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));
    PyObject *array = PyImport_ImportModule("array"), *interfaces = PyDict_New();
    state->array_type = array != NULL ? PyObject_GetAttrString(array, "array") : NULL;
    int failed = state->array_type == NULL || interfaces == NULL ||
                 PyModule_AddIntConstant(module, "PAGE_SIZE", (long)page_size) < 0 || add_ring_constants(module) < 0;
    for (size_t i = 0; !failed && i < sizeof(tables) / sizeof(*tables); i++)
        failed = PyModule_AddFunctions(module, tables[i]) < 0;
    for (int i = 0; !failed && i < INDEXES; i++)
        failed = add_function(module, interfaces, all[i], state) < 0;
    failed = failed || PyModule_AddObjectRef(module, "INTERFACES", interfaces) < 0;
    Py_XDECREF(array);
    Py_XDECREF(interfaces);
    return failed ? -1 : 0;
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    struct state *state = PyModule_GetState(module);
    Py_VISIT(state->array_type);
    for (int i = 0; i < INDEXES; i++) {
        Py_VISIT(state->result_type[i]);
        Py_VISIT(state->names[i]);
    }
    return 0;
}

static int clear(PyObject *module)
{
    struct state *state = PyModule_GetState(module);
    Py_CLEAR(state->array_type);
    for (int i = 0; i < INDEXES; i++) {
        Py_CLEAR(state->result_type[i]);
        Py_CLEAR(state->names[i]);
    }
    return 0;
}

static void free_state(void *module)
{
    clear(module);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, exec_module}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "udamon.native._native",
    .m_doc = "The C hot path of udamon.",
    .m_size = sizeof(struct state),
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = free_state,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
