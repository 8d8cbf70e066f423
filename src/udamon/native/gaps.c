/* Steps that are not known well enough: where each may lie, and what is at stake. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(bounds, Q, READ, "n+2")                                                                                     \
    ARRAY(low, Q, READ, "n") ARRAY(high, Q, READ, "n") ARRAY(reach, Q, READ, "n") ARRAY(height, d, READ, "n")         \
    VALUE(exact, Q) VALUE(finest, d)
#define RESULTS(ARRAY, VALUE) ARRAY(start, Q) ARRAY(end, Q) ARRAY(stake, d) ARRAY(moved, B)
#include "interface.h"

#include <math.h>

/* Called twice: without results to count, then to fill. */
static size_t gaps(const struct arguments *in, struct results *out)
{
    const uint64_t *bounds = in->bounds.at, *low = in->low.at, *high = in->high.at, *reach = in->reach.at;
    size_t made = 0;
    for (size_t k = 0; k < in->low.count; k++) {
        uint64_t left = bounds[k], right = bounds[k + 2];
        uint64_t before = bounds[k + 1] - left, after = right - bounds[k + 1];
        uint64_t doubt = high[k] - low[k] + 2 * reach[k];
        if (doubt <= in->exact || (double)doubt * in->finest <= (double)(before < after ? before : after))
            continue;
        if (out != NULL) {
            uint64_t first = low[k] > left && low[k] - left > reach[k] ? low[k] - reach[k] : left;
            uint64_t last = high[k] < right && right - high[k] > reach[k] ? high[k] + reach[k] : right;
            out->start.at[made] = first;
            out->end.at[made] = last;
            out->stake.at[made] = fabs(in->height.at[k]) * (double)(last - first);
            out->moved.at[made] = reach[k] != 0;
        }
        made++;
    }
    return made;
}

static int sound(const struct arguments *in)
{
    const uint64_t *bounds = in->bounds.at, *low = in->low.at, *high = in->high.at, *reach = in->reach.at;
    int good = bounds[0] <= bounds[1];
    for (size_t k = 0; good && k < in->low.count; k++)
        good = bounds[k + 1] <= bounds[k + 2] && bounds[k + 2] < (uint64_t)1 << 63 && low[k] <= high[k] &&
               low[k] < bounds[k + 2] && high[k] > bounds[k] && high[k] < (uint64_t)1 << 62 &&
               reach[k] < (uint64_t)1 << 61;
    if (!good)
        PyErr_SetString(PyExc_ValueError, "steps make no sense");
    return good;
}

static PyObject *steps_gaps(PyObject *module, struct arguments *in)
{
    struct results out = {0};
    if (!sound(in))
        return NULL;
    out.start.count = out.end.count = out.stake.count = out.moved.count = gaps(in, NULL);
    if (results_make(&steps_gaps_interface, &out) < 0)
        return NULL;
    gaps(in, &out);
    return results_give(&steps_gaps_interface, module, &out);
}

INTERFACE(steps_gaps, "Gaps", "Steps that are not known well enough; see _native.pyi.")
