/* The most probable steps behind points, with what they say of rates, and of steps that were known before. */
#define RESULTS(ARRAY, VALUE)                                                                                         \
    ARRAY(state, B) ARRAY(since, B) ARRAY(place, Q) ARRAY(rate, d) ARRAY(touched, d) ARRAY(seen, d)                   \
    ARRAY(low, Q) ARRAY(high, Q) ARRAY(reach, Q) ARRAY(origin, Q) ARRAY(outliers, Q) VALUE(error, d)
#define CONSTANTS(C) C(STATES, STATES) C(GAPS, GAPS) C(AGES, AGES)
#include "fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rate and touched share of a segment from the weights of its checks, by kind. See core.adaptive.steps. */
static void measure(const struct fit *f, const double *sums, uint8_t state, double *rate, double *touched)
{
    const double *level = f->in->level.at;
    if (sums[HIT] + sums[WHOLE + HIT] == 0)
        return; /* never seen accessed: both stay 0 */
    *rate = (sums[HIT] + f->in->prior * level[state]) / (sums[0] + sums[HIT] + f->in->prior);
    double alike = 1 - pow(1 - *rate, f->in->ticks), whole = sums[WHOLE] + sums[WHOLE + HIT];
    *touched = (sums[WHOLE + HIT] + f->in->prior * alike) / (whole + f->in->prior);
}

/* Of the touched share: that of a beta distribution. Where no access was seen, the square of the largest share that
 * chance may have hidden. */
static double variance(const struct fit *f, const double *sums, double touched)
{
    double whole = sums[WHOLE] + sums[WHOLE + HIT];
    if (touched > 0)
        return touched * (1 - touched) / (whole + f->in->prior + 1);
    return 1 / ((whole + sums[0] + 1) * (whole + sums[0] + 1));
}

/* The standard error of all touched bytes, as a share of them; 0 where there are none. */
static double error_of(const struct fit *f, const struct results *out)
{
    uint64_t start = f->in->begin;
    double sum = 0, squares = 0;
    for (size_t k = 0; k < out->state.count; k++) {
        uint64_t end = k < out->place.count ? out->place.at[k] : f->in->end;
        double size = (double)(end - start);
        sum += size * out->touched.at[k];
        squares += size * size * f->variance[k];
        start = end;
    }
    return sum > 0 ? sqrt(squares) / sum : 0;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* Where a step that was not there before may have come from: the nearest one of its direction, if the smaller
 * segment beside it is longer than the way; else UINT64_MAX. */
static uint64_t origin_of(const struct fit *f, uint64_t place, double height, uint64_t smaller, size_t near)
{
    const uint64_t *old = f->in->old_place.at;
    const double *old_height = f->in->old_height.at;
    uint64_t origin = UINT64_MAX;
    for (size_t k = near > 1 ? near - 2 : 0; k < near + 2 && k < f->in->old_place.count; k++)
        if (old_height[k] * height > 0 && distance(old[k], place) < smaller) {
            smaller = distance(old[k], place);
            origin = old[k];
        }
    return origin;
}
/* Sums of each segment, since when it is as it is, and between which points the steps lie. */
static void fill_segments(const struct fit *f, const struct run *runs, size_t count, struct results *out)
{
    const struct point *p = f->in->points.at;
    const double least = -f->in->surprise;
    const unsigned outlier_age = f->in->outlier_age;
    struct tally tally = {0};
    for (size_t k = 0; k < count; k++) {
        size_t end = k + 1 < count ? runs[k + 1].first : f->points;
        uint64_t last = 0;
        for (size_t i = runs[k].first; i < end; i++) {
            tally.count[p[i].age][p[i].kind]++;
            tally.oldest = p[i].age > tally.oldest ? p[i].age : tally.oldest;
            last = end_of(&p[i]) > last ? end_of(&p[i]) : last;
            const float *row = f->table[2 * p[i].kind + (p[i].age == 0)];
            if (p[i].kind != HOLE && p[i].age <= outlier_age && row[runs[k].state] < least) {
                uint64_t *place = out->outliers.at + out->outliers.count;
                out->outliers.count += 3;
                place[0] = i > 0 ? end_of(&p[i - 1]) : p[i].start;
                place[1] = p[i].start;
                place[2] = i + 1 < f->points ? p[i + 1].start : end_of(&p[i]);
            }
        }
        out->state.at[k] = runs[k].state;
        if (runs[k].state != NOTHING) {
            unsigned since = runs[k].state < f->in->unchanged ? fit_since_change(f, &tally, runs[k].state) : 1;
            unsigned newest = since ? since - 1 : tally.oldest;
            double sums[KINDS] = {0};
            for (unsigned age = 0; age <= newest; age++)
                for (size_t kind = 0; kind < HOLE; kind++)
                    sums[kind] += tally.count[age][kind] * (double)f->weight[age];
            measure(f, sums, runs[k].state, &out->rate.at[k], &out->touched.at[k]);
            out->seen.at[k] = sums[0] + sums[HIT];
            f->variance[k] = variance(f, sums, out->touched.at[k]);
            out->since.at[k] = (uint8_t)since;
        }
        if (k + 1 < count) {
            out->low.at[k] = runs[k].state != NOTHING && runs[k + 1].state == NOTHING ? p[end].start : last;
            out->high.at[k] = runs[k].state == NOTHING ? last : p[end].start; /* it is known where a hole ends */
        }
        memset(tally.count, 0, (tally.oldest + 1) * sizeof(tally.count[0]));
        tally.oldest = 0;
    }
}

/* Where the steps are. What was known of one stays known for a while after the points that said so are gone:
 * its gap is the part that it shares with the gap from before, which widens slowly. */
static void places(const struct fit *f, size_t count, struct results *out)
{
    const uint64_t *old = f->in->old_place.at, *old_reach = f->in->old_reach.at;
    const uint64_t *old_low = f->in->old_low.at, *old_high = f->in->old_high.at;
    const double *old_height = f->in->old_height.at;
    size_t olds = f->in->old_place.count, at = 0;
    uint64_t before = f->in->begin; /* where the segment to the left begins at the earliest */
    for (size_t k = 0; k + 1 < count; k++) {
        uint64_t low = out->low.at[k], high = out->high.at[k], after = k + 2 < count ? out->high.at[k + 1] : f->in->end;
        uint64_t left = high - before, right = after - low;
        uint64_t drift = (uint64_t)((double)(left < right ? left : right) * f->in->drift);
        double height = out->rate.at[k + 1] - out->rate.at[k];
        before = low;
        while (at < olds && old_high[at] + drift < low)
            at++;
        size_t same = olds;
        for (size_t i = at; i < olds && old_low[i] < high + drift; i++)
            if (old_height[i] * height > 0) {
                same = i;
                break;
            }
        if (same < olds) {
            low = old_low[same] > low + drift ? old_low[same] - drift : low;
            high = old_high[same] + drift < high ? old_high[same] + drift : high;
        }
        int stays = same < olds && old[same] >= low && old[same] <= high;
        uint64_t middle = (low + (high - low) / 2) >> page_shift << page_shift;
        out->low.at[k] = low;
        out->high.at[k] = high;
        out->place.at[k] = stays ? old[same] : middle > low ? middle : low;
        out->origin.at[k] = same < olds ? old[same] : UINT64_MAX;
        out->reach.at[k] = stays ? (uint64_t)((double)old_reach[same] * f->in->reach_keep) : 0;
    }
    at = 0;
    for (size_t k = 0; k + 1 < count; k++) {
        uint64_t place = out->place.at[k];
        uint64_t left = place - (k > 0 ? out->place.at[k - 1] : f->in->begin);
        uint64_t right = (k + 2 < count ? out->place.at[k + 1] : f->in->end) - place;
        while (at < olds && old[at] < place)
            at++;
        uint64_t smaller = left < right ? left : right;
        if (out->state.at[k] == NOTHING || out->state.at[k + 1] == NOTHING) {
            out->origin.at[k] = place;
            out->reach.at[k] = 0;
            continue;
        }
        if (out->origin.at[k] == UINT64_MAX)
            out->origin.at[k] = origin_of(f, place, out->rate.at[k + 1] - out->rate.at[k], smaller, at);
        if (out->origin.at[k] != place)
            out->reach.at[k] = out->origin.at[k] == UINT64_MAX ? smaller : distance(out->origin.at[k], place);
        if (out->reach.at[k] < page_size)
            out->reach.at[k] = 0;
    }
}

/* Numbers, and such that sums and products of them are floats: of all states one must be the most probable. */
static int sound(const double *table, size_t count)
{
    size_t i = 0;
    while (i < count && fabs(table[i]) <= 1e12)
        i++;
    return i == count;
}

static int take_tables(struct fit *f)
{
    const struct arguments *in = f->in;
    f->points = in->points.count;
    f->states = in->enter.count;
    if (f->states == 0 || f->states > STATES || in->unchanged > f->states || f->points > UINT32_MAX ||
        !sound(in->table.at, in->table.count) || !sound(in->enter.at, f->states) || !sound(in->jump.at, GAPS) ||
        !sound(in->weight.at, AGES)) {
        PyErr_SetString(PyExc_ValueError, "the tables do not fit together");
        return -1;
    }
    for (size_t i = 0; i < in->old_state.count; i++)
        if (in->old_state.at[i] >= STATES) {
            PyErr_SetString(PyExc_ValueError, "a segment had no state that there is");
            return -1;
        }
    const struct point *p = in->points.at;
    for (size_t i = 0; i < f->points; i++)
        if (p[i].kind >= KINDS || p[i].pages == 0 || (i && p[i].start < p[i - 1].start)) {
            PyErr_SetString(PyExc_ValueError, "points are unsorted, empty, or of an unknown kind");
            return -1;
        }
    int settled = 0;
    for (size_t i = 0; i < f->points && !settled; i++)
        settled = p[i].kind != HOLE && p[i].age >= in->settled;
    for (size_t s = 0; s < STATES; s++) { /* states that are not asked for cannot be entered */
        f->barrier[s] = s < in->unchanged || !settled ? 0 : -INFINITY;
        f->angle[s] = s < f->states ? fit_angle(in->level.at[s]) : 0;
        f->enter[s] = s < f->states ? (float)in->enter.at[s] : -INFINITY;
        for (size_t k = 0; k < 2 * KINDS; k++)
            f->table[k][s] = s < f->states ? (float)in->table.at[k * f->states + s] : 0;
    }
    for (size_t k = 0; k < KINDS; k++)
        for (size_t before = 0; before < STATES; before++)
            for (size_t s = 0; s < STATES; s++)
                f->settled[k][before][s] = s < in->unchanged ? f->table[2 * k][s]
                    : fabs(f->angle[s] - f->angle[before]) > in->least_change ? f->table[2 * k][before]
                    : -INFINITY;
    for (size_t k = 0; k < KINDS; k++) {
        f->ideal[k] = (double)f->table[2 * k][0];
        for (size_t s = 1; s < f->states && s < in->unchanged; s++)
            f->ideal[k] = (double)f->table[2 * k][s] > f->ideal[k] ? (double)f->table[2 * k][s] : f->ideal[k];
    }
    for (size_t i = 0; i < GAPS; i++)
        f->jump[i] = (float)in->jump.at[i];
    for (size_t i = 0; i < AGES; i++)
        f->weight[i] = (float)in->weight.at[i];
    return 0;
}

static PyObject *give(PyObject *module, struct fit *f, struct run *runs)
{
    size_t found = fit_order(f, runs), segments = found ? found : 1, steps = segments - 1;
    struct results out = {
        .state.count = segments, .since.count = segments, .rate.count = segments, .touched.count = segments,
        .seen.count = segments, .place.count = steps, .low.count = steps, .high.count = steps, .reach.count = steps,
        .origin.count = steps, .outliers.at = malloc((f->points + 1) * 3 * sizeof(uint64_t)), /* at most */
    };
    if (out.outliers.at == NULL)
        return PyErr_NoMemory();
    if (results_make(&steps_fit_interface, &out) < 0)
        return NULL;
    f->variance = calloc(segments, sizeof(*f->variance));
    if (f->variance == NULL) {
        results_drop(&steps_fit_interface, &out);
        return PyErr_NoMemory();
    }
    fill_segments(f, runs, found, &out);
    places(f, segments, &out);
    out.error = error_of(f, &out);
    free(f->variance);
    return results_give(&steps_fit_interface, module, &out);
}

static PyObject *steps_fit(PyObject *module, struct arguments *in)
{
    struct fit f = {.in = in};
    PyObject *result = NULL;
    if (take_tables(&f) < 0)
        return NULL;
    f.entered = PyMem_Malloc((f.points + 1) * sizeof(*f.entered));
    f.before = PyMem_Malloc(f.points + 1);
    f.runs = PyMem_Malloc((f.points + 1) * sizeof(*f.runs));
    struct run *runs = PyMem_Malloc((f.points + 1) * sizeof(*runs));
    if (f.entered && f.before && f.runs && runs) {
        Py_BEGIN_ALLOW_THREADS
        fit_chain(&f);
        Py_END_ALLOW_THREADS
        result = give(module, &f, runs);
    } else {
        PyErr_NoMemory();
    }
    PyMem_Free(f.entered);
    PyMem_Free(f.before);
    PyMem_Free(f.runs);
    PyMem_Free(runs);
    return result;
}

INTERFACE(steps_fit, "Fit", "The most probable steps behind points; see _native.pyi.")
