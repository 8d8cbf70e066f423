/* A byte for each page, as page tables say what it is, and another one by which look it was first seen accessed. */
#ifndef UDAMON_MARKS_H
#define UDAMON_MARKS_H

enum { STATE_ACCESSED = 2 };          /* of the first */
enum { RESIDENT = 1, TOUCHED = 2 }; /* what it means, by a table of kinds */

/* Of the second: accessed before the second clear; resident at the last look; and the number of the look after that
 * clear that saw it accessed first, 0 for none. */
enum { MARK_LOOK = 15, MARK_THERE = 64, MARK_EARLIER = 128 };

#endif
