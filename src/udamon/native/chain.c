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

#define FARTHEST (UINT64_C(1) << 62)

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
_Static_assert(VECTORS == 4, "bits_of and best_of say so");

static inline four load(const float *from)
{
    four to;
    memcpy(&to, from, sizeof(to));
    return to;
}

static inline four larger(four a, four b)
{
#ifdef __SSE2__
    return _mm_max_ps(a, b);
#else
    mask m = a > b;
    return (four)((m & (mask)a) | (~m & (mask)b));
#endif
}

/* The largest score, in all lanes. */
static inline four best_of(four a, four b, four c, four d)
{
    four most = larger(larger(a, b), larger(c, d));
#ifdef __SSE2__
    most = larger(most, _mm_shuffle_ps(most, most, _MM_SHUFFLE(1, 0, 3, 2)));
    return larger(most, _mm_shuffle_ps(most, most, _MM_SHUFFLE(2, 3, 0, 1)));
#else
    float left = most[0] > most[1] ? most[0] : most[1], right = most[2] > most[3] ? most[2] : most[3];
    float best = left > right ? left : right;
    return (four){best, best, best, best};
#endif
}

/* A bit for each state: whether it holds there. */
static inline unsigned bits_of(mask a, mask b, mask c, mask d)
{
#ifdef __SSE2__
    __m128i low = _mm_packs_epi32((__m128i)a, (__m128i)b), high = _mm_packs_epi32((__m128i)c, (__m128i)d);
    return (unsigned)_mm_movemask_epi8(_mm_packs_epi16(low, high));
#else
    mask bits = (a & (mask){1, 2, 4, 8}) | (b & (mask){16, 32, 64, 128}) | (c & (mask){256, 512, 1024, 2048}) |
                (d & (mask){4096, 8192, 16384, 32768});
    return (unsigned)(bits[0] | bits[1] | bits[2] | bits[3]);
#endif
}

/* The first state with a bit from `from` on, round about; any state where no bit is set, as of scores that are no numbers.
 * The best one changes often and at random: a search would mispredict its branches. */
static inline uint8_t state_of(unsigned bits, uint8_t from)
{
    const unsigned last = 1u << (2 * STATES - 1);
    return (uint8_t)((from + (unsigned)__builtin_ctz((bits | bits << STATES) >> from | last)) % STATES);
}

/* Backwards from run to run; they come out last first. `from` is the state of the last one. */
static void find_runs(struct fit *f, uint8_t from)
{
    for (size_t i = f->points; i-- > 0;)
        if (i == 0 || (f->jumped[i] >> from & 1)) {
            f->runs[f->runs_count++] = (struct run){(uint32_t)i, from};
            from = f->before[i];
        }
}

/* How many times denser steps are around a segment from before than in the mean, by the distance between the `near`-th step
 * before it and the `near`-th after it (Loftsgaarden and Quesenberry 1965). Where they are sparser a step is as likely as in
 * the mean: where none is known there may be some. */
static float crowd_at(const struct arguments *in, size_t segment)
{
    const uint64_t *old = in->old_place.at;
    size_t count = in->old_place.count, near = in->near;
    if (near == 0)
        return 1;
    size_t first = segment > near ? segment - near : 0, last = count - segment > near ? segment + near : count;
    uint64_t from = segment > near ? old[first] : in->begin, to = count - segment > near ? old[last - 1] : in->end;
    double denser = to > from ? (double)(last - first) / ((double)(to - from) * in->density) : 1;
    return denser > 1 ? (float)fmin(denser, 1e9) : 1;
}

/* The costliest lines of the policy: what goes from one point to the next stays in registers, so indices of `score` must be
 * constants. */
void fit_chain(struct fit *f)
{
    const struct point *p = f->in->points.at;
    four score[VECTORS], enter[VECTORS];
#pragma GCC unroll 4
    for (size_t v = 0; v < VECTORS; v++)
        score[v] = enter[v] = load(f->enter + LANES * v);
    four best = best_of(score[0], score[1], score[2], score[3]);
    uint8_t from = 0;
    size_t segment = 0; /* of those before */
    float crowd = crowd_at(f->in, 0); /* where steps are denser, a distance counts as longer */
    uint64_t end = 0, half = page_size / 2; /* a step before the first point costs the same for every state */
    for (size_t i = 0; i < f->points; i++) {
        from = state_of(bits_of(score[0] == best, score[1] == best, score[2] == best, score[3] == best), from);
        f->before[i] = from;
        /* Points of one page have one state, a huge page and single ones of it among them. The distance is that of the
         * middles: there is one place for a step between two pages, however large they are. A hole counts as one page. */
        uint64_t before = half;
        half = p[i].kind == HOLE ? page_size / 2 : size_of(&p[i]) / 2;
        float jump = -INFINITY;
        if (p[i].start >= end) {
            float far = (float)(p[i].start - end + before + half) * crowd;
            jump = f->jump[gap_index(far < FARTHEST ? (uint64_t)far : FARTHEST)];
        }
        end = end_of(&p[i]) > end ? end_of(&p[i]) : end;
        if (segment < f->in->old_place.count && f->in->old_place.at[segment] <= p[i].start) {
            while (segment < f->in->old_place.count && f->in->old_place.at[segment] <= p[i].start)
                segment++;
            crowd = crowd_at(f->in, segment);
            /* A change is one of a single segment: else it would have all steps from before for nothing. */
#pragma GCC unroll 4
            for (size_t v = 0; v < VECTORS; v++)
                score[v] += load(f->barrier + LANES * v);
        }
        const float *row = p[i].age < f->in->settled ? f->table[2 * p[i].kind + (p[i].age == 0)]
                                                     : f->settled[p[i].kind][f->in->old_state.at[segment]];
        float weight = f->weight[p[i].age];
        mask jumps[VECTORS];
#pragma GCC unroll 4
        for (size_t v = 0; v < VECTORS; v++) {
            four stay = score[v] - best, jumped = enter[v] + jump;
            jumps[v] = jumped > stay;
            score[v] = larger(jumped, stay) + load(row + LANES * v) * weight;
        }
        f->jumped[i] = (uint16_t)bits_of(jumps[0], jumps[1], jumps[2], jumps[3]);
        best = best_of(score[0], score[1], score[2], score[3]);
    }
    find_runs(f, state_of(bits_of(score[0] == best, score[1] == best, score[2] == best, score[3] == best), from));
}

size_t fit_order(const struct fit *f, struct run *out)
{
    const struct point *p = f->in->points.at;
    size_t made = 0;
    for (size_t k = f->runs_count; k-- > 0;) {
        if (!f->has_holes) {
            out[made++] = f->runs[k];
            continue;
        }
        size_t end = k > 0 ? f->runs[k - 1].first : f->points;
        for (size_t i = f->runs[k].first; i < end; i++) {
            uint8_t state = p[i].kind == HOLE ? NOTHING : f->runs[k].state;
            if (i == f->runs[k].first || state != out[made - 1].state)
                out[made++] = (struct run){(uint32_t)i, state};
        }
    }
    return made;
}
