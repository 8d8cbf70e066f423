/* The two orders in which checks share system calls. */
#ifndef UDAMON_ORDER_H
#define UDAMON_ORDER_H

#include "idle.h"

/* The checks of a batch that have a page, sorted by frame; returns their number. */
size_t sort_by_frame(struct check **batch, size_t count, struct keyed *sorted);
/* Sort a batch by (target, address). */
void sort_by_address(struct check **batch, size_t count);

#endif
