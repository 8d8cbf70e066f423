/* The most probable steps behind points, with what they say of rates, and of steps that were known before. */
#define CONSTANTS(C) C(STATES, STATES) C(GAPS, GAPS) C(AGES, AGES)
#include "fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A page with an answer that its segment does not explain, once, and what lies between its neighbours: unless those are
 * near. Chance makes many: so a page that gave the other answer, too, is none, and near others one counts if it gave such
 * answers so often that all of them together are no chance. */
static void add_outlier(const struct fit *f, size_t i, float nats, struct results *out)
{
    const struct point *p = f->in->points.at;
    uint64_t *place = out->outliers.at + out->outliers.count;
    size_t first = i, last = i;
    if (out->outliers.count > 0 && place[-3] == p[i].start)
        return;
    while (first > 0 && p[first - 1].start == p[i].start)
        first--;
    while (last + 1 < f->points && p[last + 1].start == p[i].start)
        last++;
    size_t same = 0;
    for (size_t k = first; k <= last; k++)
        same += (p[k].kind & HIT) == (p[i].kind & HIT);
    place[0] = first > 0 && end_of(&p[first - 1]) < p[i].start ? end_of(&p[first - 1]) : p[i].start;
    place[1] = p[i].start;
    place[2] = end_of(&p[i]);
    place[3] = last + 1 < f->points && p[last + 1].start > place[2] ? p[last + 1].start : place[2];
    int alone = same == last - first + 1, sure = (double)(nats * (float)same) >= 3 * f->in->surprise;
    if (alone && (sure || place[3] - place[0] >= f->in->outlier_room))
        out->outliers.count += 4;
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
            tally.kinds[p[i].kind]++;
            tally.has[p[i].age / 64] |= (uint64_t)1 << p[i].age % 64;
            tally.oldest = p[i].age > tally.oldest ? p[i].age : tally.oldest;
            last = end_of(&p[i]) > last ? end_of(&p[i]) : last;
            const float *row = f->table[2 * p[i].kind + (p[i].age == 0)];
            if (p[i].kind != HOLE && p[i].age <= outlier_age && row[runs[k].state] < least)
                add_outlier(f, i, -row[runs[k].state], out);
        }
        out->state.at[k] = runs[k].state;
        if (runs[k].state != NOTHING) {
            unsigned since = runs[k].state < f->in->unchanged ? fit_since_change(f, &tally, runs[k].state) : 1;
            unsigned newest = since ? since - 1 : tally.oldest;
            double sums[KINDS] = {0};
            for (unsigned age = age_from(&tally, 0); age <= newest && age < AGES; age = age_from(&tally, age + 1))
                for (size_t kind = 0; kind < HOLE; kind++)
                    sums[kind] += tally.count[age][kind] * (double)f->weight[age];
            out->seen.at[k] = sums[0] + sums[HIT];
            f->spanned[k].checks = sums[WHOLE] + sums[WHOLE + HIT];
            f->spanned[k].hits = sums[WHOLE + HIT];
            if (sums[HIT] + sums[WHOLE + HIT] > 0) /* never seen accessed: it stays 0 */
                out->rate.at[k] = (sums[HIT] + f->in->prior * f->in->level.at[runs[k].state]) /
                                  (out->seen.at[k] + f->in->prior);
            out->since.at[k] = (uint8_t)since;
        }
        if (k + 1 < count) {
            out->low.at[k] = runs[k].state != NOTHING && runs[k + 1].state == NOTHING ? p[end].start : last;
            out->high.at[k] = runs[k].state == NOTHING ? last : p[end].start; /* it is known where a hole ends */
        }
        for (unsigned age = age_from(&tally, 0); age < AGES; age = age_from(&tally, age + 1))
            memset(tally.count[age], 0, sizeof(tally.count[age]));
        memset(tally.kinds, 0, sizeof(tally.kinds));
        memset(tally.has, 0, sizeof(tally.has));
        tally.oldest = 0;
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
    for (size_t k = 0; k < KINDS; k++)
        for (size_t s = 0; s < STATES; s++)
            f->likely[k][s] = (double)f->table[2 * k][s];
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
        .seen.count = segments, .doubt.count = segments, .bounds.count = segments + 1, .low.count = steps,
        .high.count = steps, .reach.count = steps, .height.count = steps, .was.count = steps, .now.count = steps,
        .islands.count = steps, .outliers.at = malloc((f->points + 1) * 4 * sizeof(uint64_t)), /* at most */
    };
    if (out.outliers.at == NULL)
        return PyErr_NoMemory();
    if (results_make(&steps_fit_interface, &out) < 0)
        return NULL;
    f->spanned = calloc(segments, sizeof(*f->spanned));
    f->origin = malloc(segments * sizeof(*f->origin));
    if (f->spanned == NULL || f->origin == NULL) {
        free(f->spanned);
        free(f->origin);
        results_drop(&steps_fit_interface, &out);
        return PyErr_NoMemory();
    }
    fill_segments(f, runs, found, &out);
    fit_places(f, &out);
    fit_touched(f, &out);
    for (size_t k = 0; k < segments; k++)
        out.accessed += out.rate.at[k] > f->in->quiet;
    free(f->spanned);
    free(f->origin);
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
