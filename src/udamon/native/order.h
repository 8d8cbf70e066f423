/* The two orders in which checks share system calls. */
#ifndef UDAMON_ORDER_H
#define UDAMON_ORDER_H

#include "check.h"

/* The checks of a batch that have a page, sorted by key; returns their number. */
size_t sort_by_key(struct check **batch, size_t count, struct keyed *sorted);
/* Sort a batch by (target, address). */
void sort_by_address(struct check **batch, size_t count);

#endif
