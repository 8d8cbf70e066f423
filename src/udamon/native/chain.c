/* Viterbi's algorithm on a hidden Markov chain along the addresses.
 *
 * A state says how likely a point of each kind is. From one point to the next the state stays, or jumps to
 * any other: then it costs the same from everywhere, so one point takes time linear in the number of states.
 */
#define INTERFACE_TYPES_ONLY
#include "fit.h"

#include <math.h>
#include <string.h>

/* Index of a distance in a table: its logarithm, in eighths. */
static size_t gap_index(uint64_t bytes)
{
    if (bytes < 8)
        return (size_t)bytes;
    unsigned log2 = 63 - (unsigned)__builtin_clzll(bytes);
    return 8 * (size_t)log2 + ((bytes >> (log2 - 3)) & 7);
}

/* Four states at a time: the costliest lines of the policy. GCC and Clang know these types on every machine. */
typedef float four __attribute__((vector_size(16)));
typedef int32_t mask __attribute__((vector_size(16)));
enum { LANES = 4, VECTORS = STATES / LANES };

static four load(const float *from)
{
    four to;
    memcpy(&to, from, sizeof(to));
    return to;
}

static four larger(four a, four b)
{
#ifdef __SSE__
    return __builtin_ia32_maxps(a, b);
#else
    mask m = a > b;
    return (four)((m & (mask)a) | (~m & (mask)b));
#endif
}

static float largest_of(four a)
{
    float left = a[0] > a[1] ? a[0] : a[1], right = a[2] > a[3] ? a[2] : a[3];
    return left > right ? left : right;
}

/* The costliest lines of the policy: what goes from one point to the next stays in registers, so indices of
 * `score` and `entered` must be constants; `score_of` and `entered_of` are copies for the others. */
void fit_chain(struct fit *f)
{
    const struct point *p = f->in->points.at;
    float score_of[STATES];
    uint32_t entered_of[STATES] = {0};
    four score[VECTORS], enter[VECTORS], top = load(f->enter);
    mask entered[VECTORS] = {{0}};
#pragma GCC unroll 4
    for (size_t v = 0; v < VECTORS; v++) {
        score[v] = enter[v] = load(f->enter + LANES * v);
        top = larger(top, score[v]);
    }
    memcpy(score_of, f->enter, sizeof(score_of));
    float best = largest_of(top);
    uint8_t from = 0;
    size_t segment = 0; /* of those before */
    uint64_t end = 0, half = page_size / 2; /* a step before the first point costs the same for every state */
    for (size_t i = 0; i < f->points; i++) {
        while (score_of[from] != best)
            from = (from + 1) % STATES;
        f->before[i] = from;
        f->entered[i] = entered_of[from];
        /* Points of one page have one state, a huge page and single ones of it among them. The distance is that of the
         * middles: there is one place for a step between two pages, however large they are. A hole counts as one page. */
        uint64_t before = half;
        half = p[i].kind == HOLE ? page_size / 2 : size_of(&p[i]) / 2;
        float jump = p[i].start >= end ? f->jump[gap_index(p[i].start - end + before + half)] : -INFINITY;
        end = end_of(&p[i]) > end ? end_of(&p[i]) : end;
        if (segment < f->in->old_place.count && f->in->old_place.at[segment] <= p[i].start) {
            while (segment < f->in->old_place.count && f->in->old_place.at[segment] <= p[i].start)
                segment++;
            /* A change is one of a single segment: else it would have all steps from before for nothing. */
#pragma GCC unroll 4
            for (size_t v = 0; v < VECTORS; v++)
                score[v] += load(f->barrier + LANES * v);
        }
        const float *row = p[i].age < f->in->settled ? f->table[2 * p[i].kind + (p[i].age == 0)]
                                                     : f->settled[p[i].kind][f->in->old_state.at[segment]];
        float weight = f->weight[p[i].age];
        mask here = {(int)i, (int)i, (int)i, (int)i};
        top = score[0] - INFINITY;
#pragma GCC unroll 4
        for (size_t v = 0; v < VECTORS; v++) {
            four stay = score[v] - best, jumped = enter[v] + jump;
            mask jumps = jumped > stay;
            entered[v] = (jumps & here) | (~jumps & entered[v]);
            score[v] = larger(jumped, stay) + load(row + LANES * v) * weight;
            top = larger(top, score[v]);
            memcpy(score_of + LANES * v, &score[v], sizeof(score[v]));
            memcpy(entered_of + LANES * v, &entered[v], sizeof(entered[v]));
        }
        best = largest_of(top);
    }
    if (f->points == 0)
        return;
    while (score_of[from] != best)
        from = (from + 1) % STATES;
    /* Backwards from run to run; they come out last first. */
    uint32_t first = entered_of[from];
    for (size_t last = f->points; last > 0; last = first, from = f->before[first], first = f->entered[first])
        f->runs[f->runs_count++] = (struct run){first, from};
}

size_t fit_order(const struct fit *f, struct run *out)
{
    const struct point *p = f->in->points.at;
    size_t made = 0;
    for (size_t k = f->runs_count; k-- > 0;) {
        size_t end = k > 0 ? f->runs[k - 1].first : f->points;
        for (size_t i = f->runs[k].first; i < end; i++) {
            uint8_t state = p[i].kind == HOLE ? NOTHING : f->runs[k].state;
            if (i == f->runs[k].first || state != out[made - 1].state)
                out[made++] = (struct run){(uint32_t)i, state};
        }
    }
    return made;
}
