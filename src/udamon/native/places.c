/* Where the steps are, where each of them was before, and which islands they make that were nowhere. */
#define INTERFACE_TYPES_ONLY
#include "fit.h"

#include <math.h>

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* The places. What was known of a step stays known for a while after the points that said so are gone: its gap is the
 * part that it shares with the gap from before, which widens slowly. */
static void find_places(const struct fit *f, struct results *out)
{
    const uint64_t *old = f->in->old_place.at, *old_reach = f->in->old_reach.at;
    const uint64_t *old_low = f->in->old_low.at, *old_high = f->in->old_high.at;
    const double *old_height = f->in->old_height.at;
    size_t olds = f->in->old_place.count, steps = out->height.count, at = 0;
    uint64_t before = f->in->begin; /* where the segment to the left begins at the earliest */
    for (size_t k = 0; k < steps; k++) {
        uint64_t low = out->low.at[k], high = out->high.at[k], after = k + 1 < steps ? out->high.at[k + 1] : f->in->end;
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
        out->height.at[k] = height;
        out->bounds.at[k + 1] = stays ? old[same] : middle > low ? middle : low;
        f->origin[k] = same < olds ? old[same] : NOWHERE;
        out->reach.at[k] = stays ? (uint64_t)((double)old_reach[same] * f->in->reach_keep) : 0;
    }
}

/* Where a step that was not there before may have come from: the nearest one of its direction, if the smaller
 * segment beside it is longer than the way; else NOWHERE. */
static uint64_t origin_of(const struct fit *f, uint64_t place, double height, uint64_t smaller, size_t near)
{
    const uint64_t *old = f->in->old_place.at;
    const double *old_height = f->in->old_height.at;
    uint64_t origin = NOWHERE;
    for (size_t k = near > 1 ? near - 2 : 0; k < near + 2 && k < f->in->old_place.count; k++)
        if (old_height[k] * height > 0 && distance(old[k], place) < smaller) {
            smaller = distance(old[k], place);
            origin = old[k];
        }
    return origin;
}

static void find_origins(const struct fit *f, struct results *out)
{
    const uint64_t *old = f->in->old_place.at, *bounds = out->bounds.at;
    size_t olds = f->in->old_place.count, at = 0;
    for (size_t k = 0; k < out->height.count; k++) {
        uint64_t place = bounds[k + 1], left = place - bounds[k], right = bounds[k + 2] - place;
        while (at < olds && old[at] < place)
            at++;
        uint64_t smaller = left < right ? left : right;
        if (out->state.at[k] == NOTHING || out->state.at[k + 1] == NOTHING) {
            f->origin[k] = place;
            out->reach.at[k] = 0;
            continue;
        }
        if (f->origin[k] == NOWHERE)
            f->origin[k] = origin_of(f, place, out->height.at[k], smaller, at);
        if (f->origin[k] != place)
            out->reach.at[k] = f->origin[k] == NOWHERE ? smaller : distance(f->origin[k], place);
        if (out->reach.at[k] < page_size)
            out->reach.at[k] = 0;
    }
}

static void tell_moves(const struct fit *f, struct results *out)
{
    size_t moves = 0;
    out->appeared = 0;
    for (size_t k = 0; k < out->height.count; k++) {
        out->appeared += f->origin[k] == NOWHERE;
        if (f->origin[k] != NOWHERE && f->origin[k] != out->bounds.at[k + 1]) {
            out->was.at[moves] = f->origin[k];
            out->now.at[moves++] = out->bounds.at[k + 1];
        }
    }
    out->was.count = out->now.count = moves;
}

/* A page in each island whose steps were both nowhere, in memory that is quiet on both sides and was quiet there. */
static void tell_islands(const struct fit *f, struct results *out)
{
    const uint64_t *bounds = out->bounds.at;
    const double *rate = out->rate.at, least = sin(f->in->least_change);
    size_t found = 0, old = 0; /* the segment before in which the page lay */
    for (size_t k = 0; k + 1 < out->height.count; k++) {
        if (f->origin[k] != NOWHERE || f->origin[k + 1] != NOWHERE || rate[k] > f->in->quiet ||
            rate[k + 2] > f->in->quiet || sqrt(rate[k + 1]) <= least)
            continue;
        uint64_t page = bounds[k + 1] + (bounds[k + 2] - bounds[k + 1]) / 2;
        while (old < f->in->old_place.count && f->in->old_place.at[old] <= page)
            old++;
        if (f->in->old_rate.at[old] <= f->in->quiet)
            out->islands.at[found++] = page;
    }
    out->islands.count = found;
}

void fit_places(const struct fit *f, struct results *out)
{
    out->bounds.at[0] = f->in->begin;
    out->bounds.at[out->height.count + 1] = f->in->end;
    find_places(f, out);
    find_origins(f, out);
    tell_moves(f, out);
    tell_islands(f, out);
}
