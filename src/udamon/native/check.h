/* A check of a single page, and what makes checks: idle.c and pte.c prepare and look, sampler.c says when. */
#ifndef UDAMON_CHECK_H
#define UDAMON_CHECK_H

#include <stddef.h>
#include <stdint.h>

enum { NOT_ACCESSED, ACCESSED, NO_PAGE };
enum { MOST_TICKS = 1 << 24 }; /* of a stretch: many hours */
enum { GONE = -1, PHYSICAL = -2 }; /* instead of a page map's descriptor: addresses are physical */

struct check {
    uint64_t address;       /* page-aligned */
    uint64_t key;           /* what holds its accessed state: a frame (of a compound page its head), or the place of an
                             * entry in a page table; checks of one key are answered by one look */
    uint64_t own_frame;     /* of the page itself: the same frame must back the address at the look */
    uint32_t slot, target;
    uint32_t prepared, due; /* ticks */
    uint32_t next;          /* another pending check of this key, or NONE */
    uint8_t answer, shift;
    uint8_t seen;           /* it was accessed already */
};
#define NONE UINT32_MAX

/* A check beside its key, for sorting. */
struct keyed {
    uint64_t key;
    struct check *check;
};

/* A way to make checks. All but `find` get checks that have a page. */
struct primitive {
    void *self;
    /* Give the checks of a batch sorted by (target, address) their keys, or NO_PAGE. */
    void (*find)(void *self, struct check **batch, size_t count);
    /* Of a batch sorted by key: 1 when keys have changed or pages fell away, so that it must be sorted again. May be
     * NULL. */
    int (*classify)(void *self, struct keyed *batch, size_t count);
    /* Clear the accessed state of a batch sorted by key; NO_PAGE where that cannot be done. */
    void (*set)(void *self, struct keyed *batch, size_t count);
    /* Answer a batch sorted by key. */
    void (*read)(void *self, struct keyed *batch, size_t count);
    /* After that, NO_PAGE for those of a batch sorted by (target, address) whose page is not the one prepared. */
    void (*confirm)(void *self, struct check **batch, size_t count);
};

#endif
