/* The most probable steps behind points, with what they say of rates, and of steps that were known before. */
#define RESULTS(ARRAY, VALUE)                                                                                         \
    ARRAY(state, B) ARRAY(since, B) ARRAY(place, Q) ARRAY(rate, d) ARRAY(touched, d) ARRAY(seen, d) ARRAY(doubt, d)                  \
    ARRAY(low, Q) ARRAY(high, Q) ARRAY(reach, Q) ARRAY(origin, Q) ARRAY(outliers, Q) VALUE(error, d)
#define CONSTANTS(C) C(STATES, STATES) C(GAPS, GAPS) C(AGES, AGES)
#include "fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The touched share if all pages were accessed alike. */
static double alike(const struct fit *f, double rate)
{
    return 1 - pow(1 - rate, f->in->ticks);
}

/* Touched shares, and the standard errors of them. A segment's share lies between its rate (some pages are accessed always)
 * and what follows if all its pages are alike. The latter is believed until whole spans in the segments of its level say
 * where. */
static void touch(const struct fit *f, struct results *out)
{
    double more[STATES], most[STATES]; /* accesses beyond the rate that whole spans saw, and would if pages were alike */
    for (size_t s = 0; s < STATES; s++) {
        more[s] = most[s] = f->in->prior;
    }
    for (size_t k = 0; k < out->state.count; k++) {
        if (out->rate.at[k] == 0)
            continue;
        const struct spanned *w = &f->spanned[k];
        size_t state = out->state.at[k];
        more[state] += w->hits - w->checks * out->rate.at[k];
        most[state] += w->checks * (alike(f, out->rate.at[k]) - out->rate.at[k]);
    }
    for (size_t k = 0; k < out->state.count; k++) {
        const struct spanned *w = &f->spanned[k];
        double rate = out->rate.at[k], known = w->checks + f->in->prior;
        if (rate == 0) { /* the largest share that chance may have hidden */
            out->doubt.at[k] = out->state.at[k] == NOTHING ? 0 : 1 / (w->checks + out->seen.at[k] + 1);
            continue;
        }
        double part = more[out->state.at[k]] / most[out->state.at[k]];
        part = part < 0 ? 0 : part > 1 ? 1 : part;
        double share = (w->hits + f->in->prior * (rate + part * (alike(f, rate) - rate))) / known;
        out->touched.at[k] = share;
        out->doubt.at[k] = sqrt(share * (1 - share) / (known + 1)); /* of a beta distribution */
    }
}

/* Islands so small that most are never met: each that is met becomes a segment of its own, so that the memory around seems
 * to have none, though it has those that were missed. Whole spans lie everywhere alike: of them the share that met such
 * islands is the share of the bytes that all such islands have. What is more than known, and than chance, lies in the
 * memory of the lowest level. */
static void add_unmet(const struct fit *f, struct results *out)
{
    double checks = 0, met = 0, known = 0, quiet = 0, total = 0;
    uint64_t start = f->in->begin, end;
    for (size_t k = 0; k < out->state.count; k++)
        checks += f->spanned[k].checks;
    for (size_t k = 0; k < out->state.count; k++, start = end) {
        end = k < out->place.count ? out->place.at[k] : f->in->end;
        total += out->state.at[k] == NOTHING ? 0 : (double)(end - start);
        quiet += out->state.at[k] == 0 ? (double)(end - start) : 0;
    }
    start = f->in->begin;
    for (size_t k = 0; k < out->state.count; k++, start = end) {
        end = k < out->place.count ? out->place.at[k] : f->in->end;
        double size = (double)(end - start);
        if (out->state.at[k] != 0 && out->state.at[k] != NOTHING && checks * size < total / 2) {
            met += f->spanned[k].hits;
            known += size * out->touched.at[k];
        }
    }
    double more = met > 0 ? met / checks * total - known : 0;
    if (quiet == 0 || more <= sqrt(met) / checks * total)
        return;
    for (size_t k = 0; k < out->state.count; k++)
        if (out->state.at[k] == 0)
            out->touched.at[k] = fmin(out->touched.at[k] + more / quiet, 1);
}

/* The standard error of all touched bytes, as a share of them; 0 where there are none. */
static double error_of(const struct fit *f, const struct results *out)
{
    uint64_t start = f->in->begin;
    double sum = 0, squares = 0;
    for (size_t k = 0; k < out->state.count; k++) {
        uint64_t end = k < out->place.count ? out->place.at[k] : f->in->end;
        double size = (double)(end - start), doubt = size * out->doubt.at[k];
        sum += size * out->touched.at[k];
        squares += doubt * doubt;
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
            for (unsigned age = 0; age <= newest; age++)
                for (size_t kind = 0; kind < HOLE; kind++)
                    sums[kind] += tally.count[age][kind] * (double)f->weight[age];
            out->seen.at[k] = sums[0] + sums[HIT];
            f->spanned[k] = (struct spanned){sums[WHOLE] + sums[WHOLE + HIT], sums[WHOLE + HIT]};
            if (sums[HIT] + sums[WHOLE + HIT] > 0) /* never seen accessed: it stays 0 */
                out->rate.at[k] = (sums[HIT] + f->in->prior * f->in->level.at[runs[k].state]) /
                                  (out->seen.at[k] + f->in->prior);
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
        .seen.count = segments, .doubt.count = segments, .place.count = steps, .low.count = steps, .high.count = steps, .reach.count = steps,
        .origin.count = steps, .outliers.at = malloc((f->points + 1) * 4 * sizeof(uint64_t)), /* at most */
    };
    if (out.outliers.at == NULL)
        return PyErr_NoMemory();
    if (results_make(&steps_fit_interface, &out) < 0)
        return NULL;
    f->spanned = calloc(segments, sizeof(*f->spanned));
    if (f->spanned == NULL) {
        results_drop(&steps_fit_interface, &out);
        return PyErr_NoMemory();
    }
    fill_segments(f, runs, found, &out);
    places(f, segments, &out);
    touch(f, &out);
    add_unmet(f, &out);
    out.error = error_of(f, &out);
    free(f->spanned);
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
