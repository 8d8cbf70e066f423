/* Even samples of ranges: a place in every cell of their bytes taken together. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(start, Q, READ, "n") ARRAY(end, Q, READ, "n")                                                               \
    VALUE(offset, Q) VALUE(cell, Q) VALUE(width, Q) VALUE(inside, Q)
#define RESULTS(ARRAY, VALUE) ARRAY(start, Q) ARRAY(end, Q)
#include "interface.h"
#include "ranges.h"

/* The places that begin at `offset` and then every `cell` bytes, counted through the ranges; of each the part that
 * lies in the range of its byte `inside`. Called twice: without results to count, then to fill. */
static size_t places(const struct arguments *in, struct results *out)
{
    const uint64_t *start = in->start.at, *end = in->end.at;
    size_t made = 0;
    uint64_t inside = in->inside, at = in->offset + inside;
    for (size_t r = 0; r < in->start.count; r++) {
        uint64_t size = end[r] - start[r];
        if (out == NULL && at < size) { /* as many as the loop below makes */
            uint64_t more = (size - at - 1) / in->cell + 1;
            made += more;
            at += more * in->cell;
        }
        for (; at < size; at += in->cell, made++) {
            out->start.at[made] = at > inside ? start[r] + (at - inside) : start[r];
            out->end.at[made] = in->width - inside < size - at ? start[r] + at + (in->width - inside) : end[r];
        }
        at -= size;
    }
    return made;
}

static PyObject *strata(PyObject *module, struct arguments *in)
{
    struct results out = {0};
    uint64_t total = 0;
    int sound = in->cell > 0 && in->cell <= (uint64_t)1 << 48 && in->inside < in->width && in->offset <= UINT64_MAX - in->inside &&
                ranges_add(in->start.at, in->end.at, in->start.count, &total);
    if (!sound || total / in->cell > MOST_ITEMS) {
        PyErr_SetString(PyExc_ValueError, "ranges or cells are empty or too large");
        return NULL;
    }
    out.start.count = out.end.count = places(in, NULL);
    if (results_make(&strata_interface, &out) < 0)
        return NULL;
    places(in, &out);
    return results_give(&strata_interface, module, &out);
}

INTERFACE(strata, "Strata", "Even samples of ranges; see _native.pyi.")
