/* Points: what single checks said, sorted by address. */
#ifndef UDAMON_POINTS_H
#define UDAMON_POINTS_H

#include "native.h"

/* `kind`: 1 accessed, or 2 looked at over the whole aggregation; both added; HOLE where there is no memory.
 * `age`: aggregations since it was made. Whole pages, so that it fits into 16 bytes: the costliest part of a
 * fit is to walk through many of them. */
struct point {
    uint64_t start;
    uint32_t pages;
    uint8_t kind, age;
    uint8_t outdated; /* it spanned the aggregation, and for some reasons counts no longer: a bit for each */
    uint8_t unused;
};

static inline uint64_t size_of(const struct point *p)
{
    return (uint64_t)p->pages << page_shift;
}

static inline uint64_t end_of(const struct point *p)
{
    return p->start + size_of(p);
}

enum { HIT = 1, WHOLE = 2, HOLE = 4, KINDS = 5 };
/* Memory changed since, so that it does not say what is touched in an aggregation; it is known when the segment came to rest,
 * or ended to. */
enum { MOVED, RESTED, REASONS };
enum { NOTHING = 255 }; /* the state of a segment where there is no memory */

/* As an item of an array: a record in bytes. */
#define ITEM_point struct point
#define FORMAT_point 'B'

#endif
