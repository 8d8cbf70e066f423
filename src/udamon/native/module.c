/* The extension module: it only gathers the functions of the other files. */
#include "native.h"

static int exec_module(PyObject *module)
{
    PyMethodDef *tables[] = {touch_methods, sim_methods, sampler_methods, points_methods, steps_methods,
                             regions_methods, strata_methods, damo_methods, cuts_methods, gaps_methods, overlaps_methods,
                             cells_methods, rows_methods, trace_methods, frames_methods, visits_methods, hot_set_methods,
                             page_tables_methods, page_runs_methods, btf_methods};
    for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
        if (PyModule_AddFunctions(module, tables[i]) < 0)
            return -1;
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, exec_module}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "udamon.native._native",
    .m_doc = "The C hot path of udamon.",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
