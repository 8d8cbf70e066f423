/* How far regions agree with the truth: one walk over the stretches in which both are constant. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(start, Q, READ, "n") ARRAY(end, Q, READ, "n") ARRAY(count, I, READ, "n") /* of `ticks` */                   \
    ARRAY(true_start, Q, READ, "m") ARRAY(true_end, Q, READ, "m") ARRAY(mean, d, READ, "m")                           \
    VALUE(ticks, I) VALUE(hot, d)
#define RESULTS(ARRAY, VALUE) VALUE(both, Q) VALUE(predicted, Q) VALUE(error, d)
#include "interface.h"

#include <math.h>

/* Sorted and disjoint ranges that are walked upwards. */
struct side {
    const uint64_t *start, *end;
    size_t at, count;
};

/* Whether `address` lies in a range, which is then side->at; `upto` becomes the nearest place where that ends, if nearer. */
static inline int covers(struct side *side, uint64_t address, uint64_t *upto)
{
    while (side->at < side->count && side->end[side->at] <= address)
        side->at++;
    if (side->at == side->count)
        return 0;
    int inside = side->start[side->at] <= address;
    uint64_t bound = inside ? side->end[side->at] : side->start[side->at];
    *upto = bound < *upto ? bound : *upto;
    return inside;
}

static void compare(const struct arguments *in, struct results *out)
{
    struct side regions = {in->start.at, in->end.at, 0, in->start.count};
    struct side truth = {in->true_start.at, in->true_end.at, 0, in->true_start.count};
    uint64_t upto;
    for (uint64_t at = 0;; at = upto) {
        upto = UINT64_MAX;
        int seen = covers(&regions, at, &upto), known = covers(&truth, at, &upto);
        if (upto == UINT64_MAX)
            return;
        double rate = seen ? (double)in->count.at[regions.at] / in->ticks : 0, mean = known ? in->mean.at[truth.at] : 0;
        if (rate == 0 && mean == 0)
            continue;
        out->error += (double)(upto - at) * fabs(rate - mean);
        out->predicted += rate >= in->hot ? upto - at : 0;
        out->both += rate >= in->hot && mean >= in->hot ? upto - at : 0;
    }
}

static int sorted(const uint64_t *start, const uint64_t *end, size_t number)
{
    for (size_t i = 0; i < number; i++)
        if (start[i] > end[i] || (i > 0 && end[i - 1] > start[i]))
            return 0;
    return 1;
}

static PyObject *agreement(PyObject *module, struct arguments *in)
{
    struct results out = {0};
    if (in->ticks == 0 || !sorted(in->start.at, in->end.at, in->start.count) ||
        !sorted(in->true_start.at, in->true_end.at, in->true_start.count)) {
        PyErr_SetString(PyExc_ValueError, "ranges overlap or are not sorted, or there are no ticks");
        return NULL;
    }
    compare(in, &out);
    return results_give(&agreement_interface, module, &out);
}

INTERFACE(agreement, "Agreement", "How far regions agree with the truth; see _native.pyi.")
