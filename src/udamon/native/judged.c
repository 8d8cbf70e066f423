/* New checks that spanned the aggregation, against what the fit before expected of them: they lie everywhere alike, and it
 * was made without them. */
#include "points.h"

#define ARGUMENTS(ARRAY, VALUE) ARRAY(points, point, READ, "") ARRAY(place, Q, READ, "k") ARRAY(touched, d, READ, "k+1")
#define RESULTS(ARRAY, VALUE) VALUE(checks, d) VALUE(hits, d) VALUE(expected, d) VALUE(squares, d) VALUE(older, Q)
#include "interface.h"

static PyObject *judge_spanning(PyObject *module, struct arguments *in)
{
    struct results out = {0};
    const struct point *p = in->points.at;
    size_t segment = 0;
    for (size_t i = 0; i < in->points.count; i++) {
        if ((p[i].kind & ~HIT) != WHOLE)
            continue;
        out.older += p[i].age != 0;
        if (p[i].age != 0)
            continue;
        while (segment < in->place.count && in->place.at[segment] <= p[i].start)
            segment++;
        double hit = p[i].kind & HIT, chance = in->touched.at[segment];
        out.checks++;
        out.hits += hit;
        out.expected += chance;
        out.squares += (hit - chance) * (hit - chance);
    }
    return results_give(&judge_spanning_interface, module, &out);
}

INTERFACE(judge_spanning, "JudgedChecks", "New spanning checks, by the fit before them; see _native.pyi.")
