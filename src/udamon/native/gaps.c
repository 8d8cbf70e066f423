/* Where to ask about steps that are not known well enough: where each may lie, those with most at stake first. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(bounds, Q, READ, "n+2")                                                                                     \
    ARRAY(low, Q, READ, "n") ARRAY(high, Q, READ, "n") ARRAY(reach, Q, READ, "n") ARRAY(height, d, READ, "n")         \
    VALUE(exact, Q) VALUE(finest, d)                                                                                  \
    VALUE(once, I) /* checks in a gap; twice as many where the step may have moved */                                 \
    VALUE(room, Q) /* most checks in all */
#define RESULTS(ARRAY, VALUE) ARRAY(start, Q) ARRAY(end, Q) ARRAY(stake, d) ARRAY(checks, I)
#include "interface.h"
#include "largest.h"

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
            out->checks.at[made] = reach[k] != 0 ? 2 * in->once : in->once;
        }
        made++;
    }
    return made;
}

/* Clear what is `chosen` beyond the room, those with least at stake. */
static int fit_into(const struct arguments *in, const struct results *out, uint8_t *chosen)
{
    struct ranked *ranked = PyMem_Malloc((out->stake.count + 1) * sizeof(*ranked));
    size_t count = 0;
    if (ranked == NULL)
        return -1;
    for (size_t k = 0; k < out->stake.count; k++)
        if (chosen[k])
            ranked[count++] = (struct ranked){out->stake.at[k], k};
    sort_falling(ranked, count);
    uint64_t checks = 0;
    for (size_t i = 0; i < count; i++) {
        checks += out->checks.at[ranked[i].at];
        chosen[ranked[i].at] = checks <= in->room;
    }
    PyMem_Free(ranked);
    return 0;
}

/* Keep those gaps that there is room for; -1 with MemoryError. */
static int choose(const struct arguments *in, struct results *out)
{
    uint64_t checks = 0;
    for (size_t k = 0; k < out->checks.count; k++)
        checks += out->checks.at[k];
    if (checks <= in->room)
        return 0;
    uint8_t *chosen = largest(out->stake.at, out->stake.count, in->room / in->once);
    if (chosen == NULL || fit_into(in, out, chosen) < 0) {
        PyMem_Free(chosen);
        PyErr_NoMemory();
        return -1;
    }
    size_t kept = 0;
    for (size_t k = 0; k < out->stake.count; k++)
        if (chosen[k]) {
            out->start.at[kept] = out->start.at[k];
            out->end.at[kept] = out->end.at[k];
            out->stake.at[kept] = out->stake.at[k];
            out->checks.at[kept++] = out->checks.at[k];
        }
    out->start.count = out->end.count = out->stake.count = out->checks.count = kept;
    PyMem_Free(chosen);
    return 0;
}

static int sound(const struct arguments *in)
{
    const uint64_t *bounds = in->bounds.at, *low = in->low.at, *high = in->high.at, *reach = in->reach.at;
    int good = bounds[0] <= bounds[1] && in->once > 0 && in->once < (uint32_t)1 << 30;
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
    out.start.count = out.end.count = out.stake.count = out.checks.count = gaps(in, NULL);
    if (results_make(&steps_gaps_interface, &out) < 0)
        return NULL;
    gaps(in, &out);
    if (choose(in, &out) < 0) {
        results_drop(&steps_gaps_interface, &out);
        return NULL;
    }
    return results_give(&steps_gaps_interface, module, &out);
}

INTERFACE(steps_gaps, "Gaps", "Where to ask about steps; see _native.pyi.")
