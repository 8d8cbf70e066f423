/* Even samples of ranges: a place in every cell of their bytes taken together. */
#include "native.h"

enum { START, END, BUFFERS };
static const size_t item_size[BUFFERS] = {8, 8};

/* The places that begin at `offset` and then every `cell` bytes, counted through the ranges; of each the part that
 * lies in the range of its byte `inside`. Called twice: without memory to count, then to fill. */
static size_t places(const Py_buffer *buffer, size_t ranges, uint64_t offset, uint64_t cell, uint64_t width,
                     uint64_t inside, uint64_t *starts, uint64_t *ends)
{
    const uint64_t *start = buffer[START].buf, *end = buffer[END].buf;
    size_t made = 0;
    uint64_t at = offset + inside;
    for (size_t r = 0; r < ranges; r++) {
        uint64_t size = end[r] - start[r];
        for (; at < size; at += cell, made++)
            if (starts != NULL) {
                starts[made] = at > inside ? start[r] + (at - inside) : start[r];
                ends[made] = width - inside < size - at ? start[r] + at + (width - inside) : end[r];
            }
        at -= size;
    }
    return made;
}

static PyObject *strata(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *buffers, *tuple = NULL;
    unsigned long long offset, cell, width, inside;
    Py_buffer buffer[BUFFERS] = {{0}};
    size_t count[BUFFERS];
    if (!PyArg_ParseTuple(args, "OKKKK", &buffers, &offset, &cell, &width, &inside))
        return NULL;
    if (take_arrays(buffers, buffer, count, item_size, BUFFERS) == 0 && same_length(count, START, END)) {
        const uint64_t *start = buffer[START].buf, *end = buffer[END].buf;
        int sound = cell > 0 && cell <= (uint64_t)1 << 48 && inside < width && offset <= UINT64_MAX - inside;
        for (size_t r = 0; sound && r < count[START]; r++)
            sound = start[r] < end[r] && end[r] < (uint64_t)1 << 63;
        if (sound) {
            size_t made = places(buffer, count[START], offset, cell, width, inside, NULL, NULL);
            const size_t size[BUFFERS] = {8 * made, 8 * made};
            char *memory[BUFFERS];
            if ((tuple = make_arrays(size, BUFFERS, memory)) != NULL)
                places(buffer, count[START], offset, cell, width, inside, (void *)memory[START], (void *)memory[END]);
        } else {
            PyErr_SetString(PyExc_ValueError, "ranges or cells are empty or too large");
        }
    }
    release_arrays(buffer, BUFFERS);
    return tuple;
}

PyMethodDef strata_methods[] = {
    {"strata", strata, METH_VARARGS, "Even samples of ranges; see _native.pyi."},
    {NULL, NULL, 0, NULL},
};
