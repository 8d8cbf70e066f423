/* What is touched of each segment in an aggregation, and how well that is known. */
#define INTERFACE_TYPES_ONLY
#include "fit.h"

#include <math.h>
#include <string.h>

static double size_at(const struct results *out, size_t k)
{
    return (double)(out->bounds.at[k + 1] - out->bounds.at[k]);
}

/* The touched share if all pages were accessed alike. */
static double alike(const struct fit *f, double rate)
{
    return 1 - pow(1 - rate, f->in->ticks);
}

/* Touched shares, and the standard errors of them. A segment's share lies between its rate (some pages are accessed always)
 * and what follows if all its pages are alike. The latter is believed until whole spans in the segments of its level say
 * where. */
static void touched_shares(struct fit *f, struct results *out)
{
    double more[STATES], most[STATES]; /* accesses beyond the rate that whole spans saw, and would if pages were alike */
    for (size_t s = 0; s < STATES; s++) {
        more[s] = most[s] = f->in->prior;
    }
    for (size_t k = 0; k < out->state.count; k++) {
        if (out->rate.at[k] == 0)
            continue;
        struct spanned *w = &f->spanned[k];
        w->alike = alike(f, out->rate.at[k]);
        size_t state = out->state.at[k];
        more[state] += w->hits - w->checks * out->rate.at[k];
        most[state] += w->checks * (w->alike - out->rate.at[k]);
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
        double share = (w->hits + f->in->prior * (rate + part * (w->alike - rate))) / known;
        out->touched.at[k] = share;
        out->doubt.at[k] = sqrt(share * (1 - share) / (known + 1)); /* of a beta distribution */
    }
}

/* All that can be looked at: its bytes, and the weight of the checks that spanned the aggregation. */
struct whole {
    double bytes, checks;
};

static struct whole whole_of(const struct fit *f, const struct results *out)
{
    struct whole all = {0};
    for (size_t k = 0; k < out->state.count; k++) {
        all.bytes += out->state.at[k] == NOTHING ? 0 : size_at(out, k);
        all.checks += f->spanned[k].checks;
    }
    return all;
}

static uint64_t quiet_bytes(const struct results *out)
{
    uint64_t sum = 0;
    for (size_t k = 0; k < out->state.count; k++)
        sum += out->state.at[k] == 0 ? out->bounds.at[k + 1] - out->bounds.at[k] : 0;
    return sum;
}

/* The touched share of all bytes. */
static double share_of(const struct results *out, struct whole all)
{
    double sum = 0;
    for (size_t k = 0; k < out->state.count; k++)
        sum += size_at(out, k) * out->touched.at[k];
    return all.bytes > 0 ? sum / all.bytes : 0;
}

/* Whether a segment is so small that of its kind most are never met: less than half a check is expected there. */
static int is_island(const struct results *out, size_t k, struct whole all)
{
    return out->state.at[k] != 0 && out->state.at[k] != NOTHING && all.checks * size_at(out, k) < all.bytes / 2;
}

/* New checks that lie in memory which the fit before took for quiet, and which this one takes for quiet or for an island;
 * and how many of them met an access. */
static void check_quiet(const struct fit *f, struct results *out, struct whole all)
{
    const struct arguments *in = f->in;
    const struct point *p = in->points.at;
    size_t old = 0, now = 0;
    for (size_t i = 0; i < f->points && in->judge; i++) {
        if ((p[i].kind & ~HIT) != WHOLE || p[i].age != 0)
            continue;
        while (old < in->old_place.count && in->old_place.at[old] <= p[i].start)
            old++;
        while (now + 1 < out->state.count && out->bounds.at[now + 1] <= p[i].start)
            now++;
        if (in->old_state.at[old] != 0 || (out->state.at[now] != 0 && !is_island(out, now, all)))
            continue;
        out->quiet_checks++;
        out->met += p[i].kind & HIT;
    }
}

/* Segments were cut by the same answers that their shares are of: misses are cut out, and what is left was accessed. Answers
 * that came after a fit are free of that. Where they say, beyond chance, that less is accessed than was expected, shares move
 * towards the rates, which they would be if some pages were accessed always and all others never; where more is, as after
 * aggregations became longer, towards what they would be if all pages were accessed alike. */
static void correct(const struct fit *f, struct results *out, struct whole all)
{
    const struct arguments *in = f->in;
    double n = in->judged_checks, mean = (in->judged_expected + 1) / (n + 2);
    double chance = in->judged_errors * in->judged_errors * mean * (1 - mean) / n;
    double off = n > 0 ? (in->judged_expected - in->judged_hits) / n : 0, room = 0;
    /* Fits that became better since are less wrong than those that were judged, and of memory that changes the mean of all
     * fits says little: what both say is taken. */
    double now = n > 0 ? off + out->share - in->judged_shares / n : 0;
    off = off * now <= 0 ? 0 : fabs(now) < fabs(off) ? now : off;
    if (off * off <= chance)
        return;
    off *= 1 - chance / (off * off); /* James and Stein 1961 */
    for (size_t k = 0; k < out->state.count; k++)
        room += size_at(out, k) * fmax(off > 0 ? out->touched.at[k] - out->rate.at[k] : f->spanned[k].alike - out->touched.at[k], 0);
    double part = room > 0 ? fmin(fabs(off) * all.bytes / room, 1) : 0;
    for (size_t k = 0; k < out->state.count; k++)
        if (off > 0)
            out->touched.at[k] -= part * fmax(out->touched.at[k] - out->rate.at[k], 0);
        else
            out->touched.at[k] += part * fmax(f->spanned[k].alike - out->touched.at[k], 0);
}

/* Islands so small that most are never met: each that is met becomes a segment of its own, so that the memory around seems
 * to have none, though it has those that were missed. Whole spans lie everywhere alike: those that saw accesses in memory
 * that the fit before had for quiet say which share of all bytes was not known. What was found since is no part of that.
 *
 * Of memory that changes this says too much: what was not known then may be quiet now. So it is kept near to what is known
 * less well, but for the memory as it is: of whole spans the share that met islands is the share of the bytes that all
 * islands have, found or not. What is more than chance is put into the memory of the lowest level. */
static void add_unmet(const struct fit *f, struct results *out, struct whole all)
{
    double quiet = (double)out->quiet_bytes, told = 0, known = 0, islands = 0, met = 0;
    for (size_t k = 0; k < out->state.count; k++) {
        double size = size_at(out, k), touched = size * out->touched.at[k];
        *(out->state.at[k] == 0 ? &told : &known) += touched;
        if (is_island(out, k, all)) {
            met += f->spanned[k].hits;
            islands += touched;
        }
    }
    out->known = all.bytes > 0 ? known / all.bytes : 0;
    double n = f->in->judged_checks, all_met = f->in->judged_met + (double)out->met;
    if (met <= 0 || quiet == 0 || n <= 0)
        return;
    double found = fmax(out->known - f->in->judged_known / n, 0), more = all_met / n - found - told / all.bytes;
    double now = met / all.checks - islands / all.bytes, chance = sqrt(met) / all.checks;
    more = fmin(fmax(more, now - chance), now + chance);
    if (more <= sqrt(all_met) / n)
        return;
    for (size_t k = 0; k < out->state.count; k++)
        if (out->state.at[k] == 0)
            out->touched.at[k] = fmin(out->touched.at[k] + more * all.bytes / quiet, 1);
}

/* The standard error of all touched bytes, as a share of them; 0 where there are none. */
static double error_of(const struct results *out)
{
    double sum = 0, squares = 0;
    for (size_t k = 0; k < out->state.count; k++) {
        double size = size_at(out, k), doubt = size * out->doubt.at[k];
        sum += size * out->touched.at[k];
        squares += doubt * doubt;
    }
    return sum > 0 ? sqrt(squares) / sum : 0;
}

void fit_touched(struct fit *f, struct results *out)
{
    struct whole all = whole_of(f, out);
    touched_shares(f, out);
    out->quiet_bytes = quiet_bytes(out);
    check_quiet(f, out, all);
    add_unmet(f, out, all);
    out->share = share_of(out, all);
    memcpy(out->fitted.at, out->touched.at, out->touched.count * sizeof(double));
    correct(f, out, all);
    out->told_share = share_of(out, all);
    out->error = error_of(out);
}
