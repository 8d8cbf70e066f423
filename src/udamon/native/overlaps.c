/* How much sorted ranges share with other sorted ranges. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(start, Q, READ, "n") ARRAY(end, Q, READ, "n")                                                               \
    ARRAY(other_start, Q, READ, "m") ARRAY(other_end, Q, READ, "m")
#define RESULTS(ARRAY, VALUE) ARRAY(shared, Q)
#include "interface.h"

static int sorted(const uint64_t *start, const uint64_t *end, size_t number)
{
    for (size_t i = 0; i < number; i++)
        if (start[i] > end[i] || (i > 0 && end[i - 1] > start[i])) {
            PyErr_SetString(PyExc_ValueError, "ranges overlap or are not sorted");
            return 0;
        }
    return 1;
}

static void measure(const struct arguments *in, uint64_t *shared)
{
    const uint64_t *start = in->start.at, *end = in->end.at;
    const uint64_t *other_start = in->other_start.at, *other_end = in->other_end.at;
    size_t first = 0, others = in->other_start.count;
    for (size_t i = 0; i < in->start.count; i++) {
        while (first < others && other_end[first] <= start[i])
            first++;
        for (size_t k = first; k < others && other_start[k] < end[i]; k++) {
            uint64_t from = other_start[k] > start[i] ? other_start[k] : start[i];
            uint64_t to = other_end[k] < end[i] ? other_end[k] : end[i];
            shared[i] += to > from ? to - from : 0;
        }
    }
}

static PyObject *overlaps(PyObject *module, struct arguments *in)
{
    struct results out = {.shared.count = in->start.count};
    if (!sorted(in->start.at, in->end.at, in->start.count) ||
        !sorted(in->other_start.at, in->other_end.at, in->other_start.count) || results_make(&overlaps_interface, &out) < 0)
        return NULL;
    measure(in, out.shared.at);
    return results_give(&overlaps_interface, module, &out);
}

INTERFACE(overlaps, "Shared", "What sorted ranges share; see _native.pyi.")
