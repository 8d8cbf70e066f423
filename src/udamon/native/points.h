/* Points: what single checks said, sorted by address. */
#ifndef UDAMON_POINTS_H
#define UDAMON_POINTS_H

#include <stdint.h>

/* `kind`: 1 accessed, or 2 looked at over the whole aggregation; both added; HOLE where there is no memory.
 * `age`: aggregations since it was made. The same layout as core.adaptive.points.POINT. */
struct point {
    uint64_t start, end;
    uint8_t kind, age;
    uint8_t unused[6];
};

enum { HIT = 1, WHOLE = 2, HOLE = 4, KINDS = 5 };

#endif
