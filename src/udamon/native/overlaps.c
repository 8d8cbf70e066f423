/* How much sorted ranges share with other sorted ranges. */
#include "native.h"

enum { START, END, OTHER_START, OTHER_END, BUFFERS };
static const size_t item_size[BUFFERS] = {8, 8, 8, 8};

static int sorted(const uint64_t *start, const uint64_t *end, size_t number)
{
    for (size_t i = 0; i < number; i++)
        if (start[i] > end[i] || (i > 0 && end[i - 1] > start[i])) {
            PyErr_SetString(PyExc_ValueError, "ranges overlap or are not sorted");
            return 0;
        }
    return 1;
}

static void measure(const Py_buffer *buffer, const size_t *count, uint64_t *shared)
{
    const uint64_t *start = buffer[START].buf, *end = buffer[END].buf;
    const uint64_t *other_start = buffer[OTHER_START].buf, *other_end = buffer[OTHER_END].buf;
    size_t first = 0;
    for (size_t i = 0; i < count[START]; i++) {
        while (first < count[OTHER_START] && other_end[first] <= start[i])
            first++;
        shared[i] = 0;
        for (size_t k = first; k < count[OTHER_START] && other_start[k] < end[i]; k++) {
            uint64_t from = other_start[k] > start[i] ? other_start[k] : start[i];
            uint64_t to = other_end[k] < end[i] ? other_end[k] : end[i];
            shared[i] += to > from ? to - from : 0;
        }
    }
}

static PyObject *overlaps(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *buffers, *shared = NULL;
    Py_buffer buffer[BUFFERS] = {{0}};
    size_t count[BUFFERS];
    if (!PyArg_ParseTuple(args, "O", &buffers))
        return NULL;
    if (take_arrays(buffers, buffer, count, item_size, BUFFERS) == 0 && same_length(count, START, END) &&
        same_length(count, OTHER_START, OTHER_END) && sorted(buffer[START].buf, buffer[END].buf, count[START]) &&
        sorted(buffer[OTHER_START].buf, buffer[OTHER_END].buf, count[OTHER_START]) &&
        (shared = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(8 * count[START]))) != NULL)
        measure(buffer, count, (void *)PyBytes_AsString(shared));
    release_arrays(buffer, BUFFERS);
    return shared;
}

PyMethodDef overlaps_methods[] = {
    {"overlaps", overlaps, METH_VARARGS, "What sorted ranges share; see _native.pyi."},
    {NULL, NULL, 0, NULL},
};
