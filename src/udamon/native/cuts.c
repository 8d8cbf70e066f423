/* Where regions may be cut: at steps and where ages differ, each with what is at stake there. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(bounds, Q, READ, "n+1") ARRAY(state, B, READ, "n") ARRAY(height, d, READ, "n-1")                            \
    ARRAY(age_start, Q, READ, "")                                                                                     \
    VALUE(end, Q)    /* of the last age */                                                                            \
    VALUE(unseen, d) /* what is lower beside a hole needs no cut */                                                   \
    VALUE(level, d)  /* worth of a byte whatever the height */                                                        \
    VALUE(age, d)    /* worth of a byte whose age alone differs */                                                    \
    VALUE(room, Q)   /* most places that are wanted */
#define RESULTS(ARRAY, VALUE) ARRAY(place, Q) ARRAY(stake, d)
#include "interface.h"
#include "largest.h"
#include "points.h"

#include <math.h>

static double smaller(uint64_t left, uint64_t place, uint64_t right)
{
    return (double)(place - left < right - place ? place - left : right - place);
}

static size_t cuts(const struct arguments *in, struct results *out)
{
    const uint64_t *bounds = in->bounds.at, *age = in->age_start.at;
    const uint8_t *state = in->state.at;
    const double *height = in->height.at;
    size_t made = 0, k = 0, i = 1, steps = in->height.count, ages = in->age_start.count;
    while (k < steps || i < ages) {
        int is_step = k < steps && (i >= ages || bounds[k + 1] <= age[i]);
        int is_age = i < ages && (!is_step || bounds[k + 1] == age[i]);
        uint64_t here = is_step ? bounds[k + 1] : age[i];
        int beside_hole = is_step && (state[k] == NOTHING || state[k + 1] == NOTHING);
        if (is_step && !(beside_hole && fabs(height[k]) < in->unseen)) {
            out->place.at[made] = here;
            out->stake.at[made++] = smaller(bounds[k], here, bounds[k + 2]) * (fabs(height[k]) + in->level);
        } else if (is_age) {
            out->place.at[made] = here;
            out->stake.at[made++] = smaller(age[i - 1], here, i + 1 < ages ? age[i + 1] : in->end) * in->age;
        }
        k += (size_t)is_step;
        i += (size_t)is_age;
    }
    return made;
}

static int ascending(const uint64_t *place, size_t number)
{
    for (size_t i = 1; i < number; i++)
        if (place[i - 1] >= place[i])
            return 0;
    return 1;
}

static PyObject *regions_cuts(PyObject *module, struct arguments *in)
{
    size_t most = in->height.count + in->age_start.count;
    struct results out = {.place.count = most, .stake.count = most};
    const uint64_t *age = in->age_start.at;
    if (in->state.count == 0 || !ascending(in->bounds.at, in->bounds.count) || !ascending(age, in->age_start.count) ||
        (in->age_start.count > 0 && age[in->age_start.count - 1] >= in->end)) {
        PyErr_SetString(PyExc_ValueError, "steps or ages make no sense");
        return NULL;
    }
    if (results_make(&regions_cuts_interface, &out) < 0)
        return NULL;
    size_t made = cuts(in, &out);
    uint8_t *chosen = largest(out.stake.at, made, in->room);
    if (chosen == NULL) {
        results_drop(&regions_cuts_interface, &out);
        return PyErr_NoMemory();
    }
    size_t kept = 0;
    for (size_t i = 0; i < made; i++)
        if (chosen[i]) {
            out.place.at[kept] = out.place.at[i];
            out.stake.at[kept++] = out.stake.at[i];
        }
    PyMem_Free(chosen);
    out.place.count = out.stake.count = kept;
    return results_give(&regions_cuts_interface, module, &out);
}

INTERFACE(regions_cuts, "Cuts", "Where regions may be cut; see _native.pyi.")
