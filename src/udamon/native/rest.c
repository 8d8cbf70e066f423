/* Whether a segment is touched as it was: what checks that spanned an aggregation say, whatever the rate of single ticks.
 * Half of a seldom accessed memory may be touched in one aggregation and nothing in the next, at rates that are alike. */
#define INTERFACE_TYPES_ONLY
#include "fit.h"

#include <math.h>

enum { FACTORIALS = 1024 };

/* The logarithm of n!; most n are small, and the same again and again. */
static double log_factorial(unsigned n)
{
    static double known[FACTORIALS];
    if (n >= FACTORIALS)
        return lgamma(n + 1.0);
    if (n > 1 && known[n] == 0)
        known[n] = lgamma(n + 1.0);
    return known[n];
}

/* The logarithm of the chance of such answers in their order, under a uniform prior of the share of hits. */
static double log_beta(unsigned misses, unsigned hits)
{
    return log_factorial(misses) + log_factorial(hits) - log_factorial(misses + hits + 1);
}

/* By how much two shares of hits explain the answers better than one: the logarithm of the Bayes factor. */
static double two_shares(const unsigned since[HIT + 1], const unsigned before[HIT + 1])
{
    return log_beta(since[0], since[HIT]) + log_beta(before[0], before[HIT]) -
           log_beta(since[0] + before[0], since[HIT] + before[HIT]);
}

double fit_unmoved(const struct fit *f, const unsigned since[HIT + 1], const unsigned before[HIT + 1])
{
    double share = f->in->moved_share;
    if (f->in->moved >= AGES || before[0] + before[HIT] == 0)
        return 1;
    return (1 - share) / (1 - share + share * exp(fmin(two_shares(since, before), 500)));
}

static int is_used(const struct fit *f, const unsigned answers[HIT + 1])
{
    return answers[HIT] >= f->in->used * (answers[0] + answers[HIT]);
}

/* For how many aggregations the segment rests, or does no more; 0 when it is not known to have changed so. `rests`: which. */
static unsigned since_rest(const struct fit *f, const struct tally *t, const unsigned answers[HIT + 1], int *rests)
{
    unsigned since[HIT + 1] = {0}, before[HIT + 1] = {answers[0], answers[HIT]}, found = 0;
    double best = fmin(f->in->change, f->in->rest);
    /* It was never touched, and is not; or there are too few answers for two shares to explain them that much better. */
    if (answers[HIT] == 0 || (answers[0] + answers[HIT]) * log(2) <= best)
        return 0;
    for (unsigned age = age_from(t, 0); age < AGES; age = age_from(t, age + 1)) {
        for (size_t hit = 0; hit <= HIT; hit++) {
            unsigned number = t->count[age][WHOLE + hit] - t->outdated[age][RESTED][hit];
            since[hit] += number;
            before[hit] -= number;
        }
        if (is_used(f, since) == is_used(f, before))
            continue;
        double gain = two_shares(since, before);
        /* Less evidence is enough where all checks together say that memory changed then, or since. */
        if (gain > best && (gain > f->in->change || age < f->in->moved)) {
            best = gain;
            found = age + 1;
            *rests = is_used(f, before);
        }
    }
    return found;
}

/* Accesses seen on the other side of a change lie where it was: what is left of an island that is quiet for long and has
 * become part of a larger segment is not all of that. From the first of them to the last, and as far beyond as they are
 * apart in the mean. */
void fit_rested(const struct fit *f, const struct tally *t, const unsigned answers[HIT + 1], size_t k, size_t first, size_t end,
                struct results *out)
{
    const struct point *p = f->in->points.at;
    int rests = 0;
    unsigned since = since_rest(f, t, answers, &rests);
    size_t hits = 0;
    uint64_t from = 0, to = 0;
    for (size_t i = first; i < end && since; i++) {
        if (p[i].kind != (WHOLE | HIT) || p[i].outdated >> RESTED & 1 || (p[i].age >= since) != rests)
            continue;
        from = hits++ ? from : p[i].start;
        to = end_of(&p[i]);
    }
    if (hits < 2)
        return;
    uint64_t apart = (to - from) / (hits - 1);
    out->rested.at[k] = (uint8_t)since;
    out->rested_start.at[k] = from > apart ? from - apart : 0;
    out->rested_end.at[k] = to + apart;
}
