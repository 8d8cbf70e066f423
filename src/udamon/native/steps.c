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

/* Count the points first..end - 1 of a segment; where the last of them ends. */
static uint64_t count_points(const struct fit *f, size_t first, size_t end, uint8_t state, struct tally *t,
                             struct results *out)
{
    const struct point *p = f->in->points.at;
    const double least = -f->in->surprise;
    const unsigned outlier_age = f->in->outlier_age;
    uint64_t last = 0;
    for (size_t i = first; i < end; i++) {
        t->count[p[i].age][p[i].kind]++;
        t->kinds[p[i].kind]++;
        for (size_t why = 0; why < REASONS && p[i].kind & WHOLE; why++)
            t->outdated[p[i].age][why][p[i].kind & HIT] += p[i].outdated >> why & 1;
        t->has[p[i].age / 64] |= (uint64_t)1 << p[i].age % 64;
        t->oldest = p[i].age > t->oldest ? p[i].age : t->oldest;
        last = end_of(&p[i]) > last ? end_of(&p[i]) : last;
        if (p[i].age > outlier_age || p[i].kind == HOLE)
            continue;
        float nats = f->table[2 * p[i].kind + (p[i].age == 0)][state];
        if (nats < least)
            add_outlier(f, i, -nats, out);
    }
    return last;
}

static void forget_points(struct tally *t)
{
    for (unsigned age = age_from(t, 0); age < AGES; age = age_from(t, age + 1)) {
        memset(t->count[age], 0, sizeof(t->count[age]));
        memset(t->outdated[age], 0, sizeof(t->outdated[age]));
    }
    memset(t->kinds, 0, sizeof(t->kinds));
    memset(t->has, 0, sizeof(t->has));
    t->oldest = 0;
}

/* The rate of segment k, of points first..end - 1, what is known of it, and since when it is so. */
static void sum_points(const struct fit *f, const struct tally *t, size_t k, size_t first, size_t end, struct results *out)
{
    uint8_t state = out->state.at[k];
    unsigned since = state < f->in->unchanged ? fit_since_change(f, t, state) : 1;
    unsigned newest = since ? since - 1 : t->oldest;
    unsigned since_moved[HIT + 1] = {0}, before[HIT + 1] = {0}, spanning[HIT + 1] = {0};
    double sums[KINDS] = {0}, new_sums[HIT + 1] = {0}, old_sums[HIT + 1] = {0};
    for (unsigned age = age_from(t, 0); age <= newest && age < AGES; age = age_from(t, age + 1)) {
        int is_new = age < f->in->moved;
        for (size_t kind = 0; kind < HOLE; kind++)
            sums[kind] += t->count[age][kind] * (double)f->weight[age];
        for (size_t hit = 0; hit <= HIT; hit++) {
            unsigned number = t->count[age][WHOLE + hit] - t->outdated[age][MOVED][hit];
            (is_new ? since_moved : before)[hit] += number;
            (is_new ? new_sums : old_sums)[hit] += number * (double)f->weight[age];
            spanning[hit] += t->count[age][WHOLE + hit] - t->outdated[age][RESTED][hit];
        }
    }
    out->seen.at[k] = sums[0] + sums[HIT];
    double unmoved = fit_unmoved(f, since_moved, before);
    out->unmoved.at[k] = unmoved;
    f->spanned[k].hits = new_sums[HIT] + unmoved * old_sums[HIT];
    f->spanned[k].checks = f->spanned[k].hits + new_sums[0] + unmoved * old_sums[0];
    if (sums[HIT] + sums[WHOLE + HIT] > 0) /* never seen accessed: it stays 0 */
        out->rate.at[k] = (sums[HIT] + f->in->prior * f->in->level.at[state]) / (out->seen.at[k] + f->in->prior);
    out->since.at[k] = (uint8_t)since;
    if (since == 0)
        fit_rested(f, t, spanning, k, first, end, out);
}

/* Sums of each segment, since when it is as it is, and between which points the steps lie. */
static void fill_segments(const struct fit *f, const struct run *runs, size_t count, struct results *out)
{
    const struct point *p = f->in->points.at;
    struct tally tally = {0};
    for (size_t k = 0; k < count; k++) {
        size_t end = k + 1 < count ? runs[k + 1].first : f->points;
        uint64_t last = count_points(f, runs[k].first, end, runs[k].state, &tally, out);
        out->state.at[k] = runs[k].state;
        if (runs[k].state != NOTHING)
            sum_points(f, &tally, k, runs[k].first, end, out);
        if (k + 1 < count) {
            out->low.at[k] = runs[k].state != NOTHING && runs[k + 1].state == NOTHING ? p[end].start : last;
            out->high.at[k] = runs[k].state == NOTHING ? last : p[end].start; /* it is known where a hole ends */
        }
        forget_points(&tally);
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

/* One look at all points: -1 with ValueError where they make no sense. */
static int take_points(struct fit *f)
{
    const struct point *p = f->in->points.at;
    uint64_t before = 0;
    int good = f->in->points.count <= UINT32_MAX;
    f->points = f->in->points.count;
    for (size_t i = 0; i < f->points; i++) {
        good &= (p[i].kind < KINDS) & (p[i].pages != 0) & (p[i].start >= before);
        f->has_holes |= p[i].kind == HOLE;
        f->has_settled |= (p[i].kind != HOLE) & (p[i].age >= f->in->settled);
        before = p[i].start;
    }
    if (!good)
        PyErr_SetString(PyExc_ValueError, "points are unsorted, empty, or of an unknown kind");
    return good ? 0 : -1;
}

/* -1 with ValueError where tables or states of segments make no sense. */
static int check_tables(const struct arguments *in)
{
    size_t states = in->enter.count;
    if (states == 0 || states > STATES || in->unchanged > states || !sound(in->table.at, in->table.count) ||
        !sound(in->enter.at, states) || !sound(in->jump.at, GAPS) || !sound(in->weight.at, AGES) || !(in->density > 0)) {
        PyErr_SetString(PyExc_ValueError, "the tables do not fit together");
        return -1;
    }
    for (size_t i = 0; i < in->old_state.count; i++)
        if (in->old_state.at[i] >= STATES) {
            PyErr_SetString(PyExc_ValueError, "a segment had no state that there is");
            return -1;
        }
    return 0;
}

static void take_tables(struct fit *f)
{
    const struct arguments *in = f->in;
    f->states = in->enter.count;
    for (size_t s = 0; s < STATES; s++) { /* states that are not asked for cannot be entered */
        f->barrier[s] = s < in->unchanged || !f->has_settled ? 0 : -INFINITY;
        f->angle[s] = s < f->states ? fit_angle(in->level.at[s]) : 0;
        f->enter[s] = s < f->states ? (float)in->enter.at[s] : -INFINITY;
        for (size_t k = 0; k < 2 * KINDS; k++)
            f->table[k][s] = s < f->states ? (float)in->table.at[k * f->states + s] : 0;
    }
    for (size_t k = 0; k < KINDS; k++) {
        const float *old = f->table[2 * k];
        f->ideal[k] = (double)old[0];
        for (size_t s = 0; s < STATES; s++) {
            f->likely[k][s] = (double)old[s];
            if (s < in->unchanged)
                f->ideal[k] = fmax(f->ideal[k], f->likely[k][s]);
            for (size_t before = 0; before < STATES; before++)
                f->settled[k][before][s] = s < in->unchanged ? old[s]
                    : fabs(f->angle[s] - f->angle[before]) > in->least_change ? old[before] : -INFINITY;
        }
    }
    for (size_t i = 0; i < GAPS; i++)
        f->jump[i] = (float)in->jump.at[i];
    for (size_t i = 0; i < AGES; i++)
        f->weight[i] = (float)in->weight.at[i];
}

static PyObject *give(PyObject *module, struct fit *f, struct run *runs)
{
    size_t found = fit_order(f, runs), segments = found ? found : 1, steps = segments - 1;
    struct results out = {
        .state.count = segments, .since.count = segments, .rested.count = segments,
        .rested_start.count = segments, .rested_end.count = segments, .rate.count = segments, .touched.count = segments,
        .fitted.count = segments, .seen.count = segments, .doubt.count = segments, .unmoved.count = segments, .bounds.count = segments + 1, .low.count = steps,
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
    for (size_t k = 0; k < segments; k++)
        out.unmoved.at[k] = 1;
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
    if (check_tables(in) < 0 || take_points(&f) < 0)
        return NULL;
    take_tables(&f);
    f.jumped = PyMem_Malloc((f.points + 1) * sizeof(*f.jumped));
    f.before = PyMem_Malloc(f.points + 1);
    f.runs = PyMem_Malloc((f.points + 1) * sizeof(*f.runs));
    struct run *runs = PyMem_Malloc((f.points + 1) * sizeof(*runs));
    if (f.jumped && f.before && f.runs && runs) {
        Py_BEGIN_ALLOW_THREADS
        fit_chain(&f);
        Py_END_ALLOW_THREADS
        result = give(module, &f, runs);
    } else {
        PyErr_NoMemory();
    }
    PyMem_Free(f.jumped);
    PyMem_Free(f.before);
    PyMem_Free(f.runs);
    PyMem_Free(runs);
    return result;
}

INTERFACE(steps_fit, "Fit", "The most probable steps behind points; see _native.pyi.")
