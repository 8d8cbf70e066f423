/* Arrays that Python hands in as buffers, and those that it gets back. */
#include "native.h"

int take_arrays(PyObject *sequence, Py_buffer *buffer, size_t *count, const size_t *item_size, int number)
{
    for (int i = 0; i < number; i++) {
        PyObject *item = PySequence_GetItem(sequence, i);
        if (item == NULL)
            return -1;
        int failed = PyObject_GetBuffer(item, &buffer[i], PyBUF_SIMPLE);
        Py_DECREF(item);
        if (failed)
            return -1;
        count[i] = (size_t)buffer[i].len / item_size[i];
    }
    return 0;
}

int same_length(const size_t *count, int first, int last)
{
    for (int i = first + 1; i <= last; i++)
        if (count[i] != count[first]) {
            PyErr_SetString(PyExc_ValueError, "parallel arrays differ in length");
            return 0;
        }
    return 1;
}

void release_arrays(Py_buffer *buffer, int number)
{
    for (int i = 0; i < number; i++)
        if (buffer[i].obj != NULL)
            PyBuffer_Release(&buffer[i]);
}

PyObject *make_arrays(const size_t *size, size_t number, char **memory)
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)number);
    for (size_t i = 0; tuple != NULL && i < number; i++) {
        PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size[i]);
        if (bytes == NULL || PyTuple_SetItem(tuple, (Py_ssize_t)i, bytes) < 0)
            Py_CLEAR(tuple);
        else
            memory[i] = PyBytes_AsString(bytes);
    }
    return tuple;
}
