/* Viterbi's algorithm on a hidden Markov chain along the addresses.
 *
 * A state says how likely a point of each kind is. From one point to the next the state stays, or jumps to
 * any other: then it costs the same from everywhere, so one point takes time linear in the number of states.
 */
#define INTERFACE_TYPES_ONLY
#include "fit.h"

#include <math.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

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
#ifdef __SSE2__
    return _mm_max_ps(a, b);
#else
    mask m = a > b;
    return (four)((m & (mask)a) | (~m & (mask)b));
#endif
}

static float largest_of(const four *score)
{
    four a = larger(larger(score[0], score[1]), larger(score[2], score[3]));
#ifdef __SSE2__
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_shuffle_ps(a, a, 1)));
#else
    float left = a[0] > a[1] ? a[0] : a[1], right = a[2] > a[3] ? a[2] : a[3];
    return left > right ? left : right;
#endif
}

/* The first state from `from` on, round about, whose score is the best. The best one changes often and at random: a search
 * would mispredict its branches. Inlined, as scores stay in registers. */
static inline __attribute__((always_inline)) uint8_t state_of(const four *score, float best, uint8_t from)
{
#ifdef __SSE2__
    __m128i low = _mm_packs_epi32((__m128i)(score[0] == best), (__m128i)(score[1] == best));
    __m128i high = _mm_packs_epi32((__m128i)(score[2] == best), (__m128i)(score[3] == best));
    unsigned equal = (unsigned)_mm_movemask_epi8(_mm_packs_epi16(low, high));
#else
    unsigned equal = 0;
    for (size_t s = 0; s < STATES; s++)
        equal |= (unsigned)(score[s / LANES][s % LANES] == best) << s;
#endif
    equal |= equal << STATES;
    return (uint8_t)((from + (unsigned)__builtin_ctz(equal >> from)) % STATES);
}

/* The costliest lines of the policy: what goes from one point to the next stays in registers, so indices of
 * `score` and `entered` must be constants; `entered_of` is a copy for the others. */
void fit_chain(struct fit *f)
{
    const struct point *p = f->in->points.at;
    uint32_t entered_of[STATES] = {0};
    four score[VECTORS], enter[VECTORS];
    mask entered[VECTORS] = {{0}};
#pragma GCC unroll 4
    for (size_t v = 0; v < VECTORS; v++)
        score[v] = enter[v] = load(f->enter + LANES * v);
    float best = largest_of(score);
    uint8_t from = 0;
    size_t segment = 0; /* of those before */
    uint64_t end = 0, half = page_size / 2; /* a step before the first point costs the same for every state */
    for (size_t i = 0; i < f->points; i++) {
        from = state_of(score, best, from);
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
#pragma GCC unroll 4
        for (size_t v = 0; v < VECTORS; v++) {
            four stay = score[v] - best, jumped = enter[v] + jump;
            mask jumps = jumped > stay;
            entered[v] = (jumps & here) | (~jumps & entered[v]);
            score[v] = larger(jumped, stay) + load(row + LANES * v) * weight;
            memcpy(entered_of + LANES * v, &entered[v], sizeof(entered[v]));
        }
        best = largest_of(score);
    }
    if (f->points == 0)
        return;
    from = state_of(score, best, from);
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
