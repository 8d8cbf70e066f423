/* Steps that are not known well enough: where each may lie, and what is at stake. */
#include "native.h"

#include <math.h>

enum { BOUNDS, LOW, HIGH, REACH, HEIGHT, BUFFERS };
static const size_t item_size[BUFFERS] = {8, 8, 8, 8, 8};

enum { FIRST, LAST, STAKE, MOVED, OUTPUTS };

/* Called twice: without `memory` to count, then to fill. */
static size_t gaps(const Py_buffer *buffer, size_t steps, uint64_t exact, double finest, char *const *memory)
{
    const uint64_t *bounds = buffer[BOUNDS].buf, *low = buffer[LOW].buf, *high = buffer[HIGH].buf;
    const uint64_t *reach = buffer[REACH].buf;
    const double *height = buffer[HEIGHT].buf;
    size_t made = 0;
    for (size_t k = 0; k < steps; k++) {
        uint64_t left = bounds[k], right = bounds[k + 2];
        uint64_t before = bounds[k + 1] - left, after = right - bounds[k + 1];
        uint64_t doubt = high[k] - low[k] + 2 * reach[k];
        if (doubt <= exact || (double)doubt * finest <= (double)(before < after ? before : after))
            continue;
        if (memory != NULL) {
            uint64_t first = low[k] > left && low[k] - left > reach[k] ? low[k] - reach[k] : left;
            uint64_t last = high[k] < right && right - high[k] > reach[k] ? high[k] + reach[k] : right;
            ((uint64_t *)memory[FIRST])[made] = first;
            ((uint64_t *)memory[LAST])[made] = last;
            ((double *)memory[STAKE])[made] = fabs(height[k]) * (double)(last - first);
            memory[MOVED][made] = reach[k] != 0;
        }
        made++;
    }
    return made;
}

static int sound(const Py_buffer *buffer, const size_t *count)
{
    const uint64_t *bounds = buffer[BOUNDS].buf, *low = buffer[LOW].buf, *high = buffer[HIGH].buf;
    const uint64_t *reach = buffer[REACH].buf;
    int good = count[BOUNDS] == count[LOW] + 2 && bounds[0] <= bounds[1];
    for (size_t k = 0; good && k < count[LOW]; k++)
        good = bounds[k + 1] <= bounds[k + 2] && bounds[k + 2] < (uint64_t)1 << 63 && low[k] <= high[k] &&
               low[k] < bounds[k + 2] && high[k] > bounds[k] && high[k] < (uint64_t)1 << 62 &&
               reach[k] < (uint64_t)1 << 61;
    if (!good)
        PyErr_SetString(PyExc_ValueError, "steps make no sense");
    return good;
}

static PyObject *steps_gaps(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *buffers, *tuple = NULL;
    unsigned long long exact;
    double finest;
    Py_buffer buffer[BUFFERS] = {{0}};
    size_t count[BUFFERS];
    if (!PyArg_ParseTuple(args, "OKd", &buffers, &exact, &finest))
        return NULL;
    if (take_arrays(buffers, buffer, count, item_size, BUFFERS) == 0 && same_length(count, LOW, HEIGHT) &&
        sound(buffer, count)) {
        size_t made = gaps(buffer, count[LOW], exact, finest, NULL);
        const size_t size[OUTPUTS] = {8 * made, 8 * made, 8 * made, made};
        char *memory[OUTPUTS];
        if ((tuple = make_arrays(size, OUTPUTS, memory)) != NULL)
            gaps(buffer, count[LOW], exact, finest, memory);
    }
    release_arrays(buffer, BUFFERS);
    return tuple;
}

PyMethodDef gaps_methods[] = {
    {"steps_gaps", steps_gaps, METH_VARARGS, "Steps that are not known well enough; see _native.pyi."},
    {NULL, NULL, 0, NULL},
};
