/* Checks of single pages by idle page tracking: what the scheduler (sampler.c) and the files (idle.c) share. */
#ifndef UDAMON_IDLE_H
#define UDAMON_IDLE_H

#include "native.h"

#include <stddef.h>
#include <stdint.h>

enum { NOT_ACCESSED, ACCESSED, NO_PAGE };
enum { MOST_TICKS = 1 << 24 }; /* of a stretch: many hours */
enum { GONE = -1, PHYSICAL = -2 }; /* instead of a page map's descriptor: addresses are physical */
enum { ERRNOS = 256 };      /* counted by number; larger ones with the last */
enum { READ_MAP, READ_FLAGS, WRITE_BITMAP, READ_BITMAP, CALLS };
enum { WITHHELD = 255 };    /* counted among the errnos: a page is there, its frame number is not told */

struct check {
    uint64_t address;       /* page-aligned */
    uint64_t frame;         /* of the page, or of its compound page's head */
    uint64_t own_frame;     /* of the page itself: the same frame must back the address at the look */
    uint32_t slot, target;
    uint32_t prepared, due; /* ticks */
    uint32_t next;          /* another pending check of this frame, or NONE */
    uint8_t answer, shift, seen;
};
#define NONE UINT32_MAX

struct files {
    const int *pagemap; /* one a target; -1: gone */
    uint8_t *gone;      /* one a target: set when its page map says that the address space ended */
    int flags, bitmap;
    uint32_t errnos[ERRNOS];
    uint64_t calls[CALLS];
};

/* A check beside its frame, for sorting. */
struct keyed {
    uint64_t key;
    struct check *check;
};

/* Find the frames of a batch sorted by (target, address); addresses without a page get NO_PAGE. */
void idle_find(struct files *files, struct check **batch, size_t count);
/* Of a batch sorted by frame: NO_PAGE for pages that do not take the idle bit, heads for compound pages.
 * Returns 1 when any was one of those, so that the batch has to be sorted again. */
int idle_classify(struct files *files, struct keyed *batch, size_t count);
/* Set the idle bits of a batch sorted by frame. */
void idle_set(struct files *files, struct keyed *batch, size_t count);
/* Answer a batch sorted by frame: ACCESSED where the idle bit is gone. */
void idle_read(struct files *files, struct keyed *batch, size_t count);
/* NO_PAGE for those of a batch sorted by (target, address) whose page is not the one prepared. A check that is
 * NOT_ACCESSED and has no neighbour to share the call with is believed without it: a frame that is freed loses
 * its idle bit, so its page is still in memory and was not accessed, even should it be unmapped by now. */
void idle_confirm(struct files *files, struct check **batch, size_t count);

#endif
