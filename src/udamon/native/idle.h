/* The files of idle page tracking, and checks of single pages by them. */
#ifndef UDAMON_IDLE_H
#define UDAMON_IDLE_H

#include "check.h"
#include "native.h"
#include "page_map.h"

enum { ERRNOS = 256 };      /* counted by number; larger ones with the last */
enum { READ_MAP, READ_FLAGS, WRITE_BITMAP, READ_BITMAP, CALLS };
enum { WITHHELD = 255 };    /* counted among the errnos: a page is there, its frame number is not told */

struct files {
    const int *pagemap; /* one a target; -1: gone */
    uint8_t *gone;      /* one a target: set when its page map says that the address space ended */
    int flags, bitmap;
    uint32_t errnos[ERRNOS];
    uint64_t calls[CALLS];
    int64_t longest_ns; /* of the reads of page maps, which hold the target's mapping lock */
};

void count_errno(struct files *files, int number);
/* entries[i] becomes the page map entry of batch[i], which is sorted by (target, address), for as many as lie close to
 * the first one (512 at most); returns their number. */
size_t read_entries(struct files *files, struct check **batch, size_t count, uint64_t *entries);
enum { TOGETHER = 512 }; /* pages or frames that one call reads at most */

/* Of a batch sorted by frame (the keys): NO_PAGE for pages that do not take the idle bit, heads for compound pages.
 * Returns 1 when any was one of those, so that the batch has to be sorted again. */
int idle_classify(struct files *files, struct keyed *batch, size_t count);
/* Set the idle bits of a batch sorted by frame. */
void idle_set(struct files *files, struct keyed *batch, size_t count);
/* Of a batch sorted by frame, as a primitive's `read`: ACCESSED where the idle bit is gone. `self` is a struct files. */
void idle_read(void *self, struct keyed *batch, size_t count);

#endif
