/* Where to ask about segments whose rate may lie on either side of what is hot: the larger, the more. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(bounds, Q, READ, "n+1") ARRAY(rate, d, READ, "n") ARRAY(seen, d, READ, "n")                                 \
    VALUE(hot, d) VALUE(least, d)  /* a rate up to that is not near to hot */                                         \
    VALUE(errors, d)               /* standard errors that it may be off by */                                        \
    VALUE(room, I) VALUE(most, I)  /* checks in all, and in one of them */
#define RESULTS(ARRAY, VALUE) ARRAY(start, Q) ARRAY(end, Q) ARRAY(checks, I)
#include "interface.h"

/* A share has the standard error sqrt(rate * (1 - rate) / seen), which is largest for one half: 0.5 / sqrt(seen). */
static int doubtful(const struct arguments *in, size_t k)
{
    double away = in->rate.at[k] - in->hot;
    return in->rate.at[k] > in->least && 4 * (away * away) * in->seen.at[k] < in->errors * in->errors;
}

static size_t ask(const struct arguments *in, struct results *out)
{
    const uint64_t *bounds = in->bounds.at;
    unsigned __int128 room = in->room;
    uint64_t total = 0;
    size_t made = 0;
    for (size_t k = 0; k < in->rate.count; k++)
        total += doubtful(in, k) ? bounds[k + 1] - bounds[k] : 0;
    for (size_t k = 0; k < in->rate.count && total > 0; k++) {
        if (!doubtful(in, k))
            continue;
        uint64_t checks = (uint64_t)(room * (bounds[k + 1] - bounds[k]) / total);
        if (checks > 0) {
            out->start.at[made] = bounds[k];
            out->end.at[made] = bounds[k + 1];
            out->checks.at[made++] = checks < in->most ? (uint32_t)checks : in->most;
        }
    }
    return made;
}

static PyObject *segments_doubtful(PyObject *module, struct arguments *in)
{
    size_t most = in->rate.count < in->room ? in->rate.count : in->room; /* each has a check at least */
    struct results out = {.start.count = most, .end.count = most, .checks.count = most};
    for (size_t k = 0; k < in->rate.count; k++)
        if (in->bounds.at[k] > in->bounds.at[k + 1]) {
            PyErr_SetString(PyExc_ValueError, "steps make no sense");
            return NULL;
        }
    if (results_make(&segments_doubtful_interface, &out) < 0)
        return NULL;
    out.start.count = out.end.count = out.checks.count = ask(in, &out);
    return results_give(&segments_doubtful_interface, module, &out);
}

INTERFACE(segments_doubtful, "Asked", "Where to ask about rates that may be hot; see _native.pyi.")
