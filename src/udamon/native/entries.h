/* Single entries of page tables, those of many checks at once. */
#ifndef UDAMON_ENTRIES_H
#define UDAMON_ENTRIES_H

#include "check.h"
#include "entry.h"

struct entries {
    struct source source;
    struct shape shape;
    const uint64_t *root; /* of each target: where its topmost table is, 0 for none */
    uint64_t *at, *word, *ask, *got; /* working memory */
};

/* Working memory for batches of so many; 0 where there is none. entries_end comes in any case. */
int entries_begin(struct entries *e, size_t most);
void entries_end(struct entries *e);

/* What is at places: 0 for none, or where nothing can be read. Neighbours of one place share it. */
void entries_read(struct entries *e, const uint64_t *place, size_t count, uint64_t *word);

/* The same for checks whose keys are the places. */
void entries_of(struct entries *e, const struct keyed *batch, size_t count, uint64_t *word);

/* Go down the tables, a level at a time for all of a batch sorted by (target, address): place[i] becomes where the entry
 * is that maps the page, 0 where there is none, and shift[i] the page's size. */
void entries_find(struct entries *e, struct check *const *batch, size_t count, uint64_t *place, uint8_t *shift);

/* The byte of a check's page, of which that is the entry; 0 where it says nothing of that page alone. */
uint8_t entry_state(struct entries *e, const struct check *check, uint64_t entry);
uint64_t entry_frame(const struct entries *e, const struct check *check, uint64_t entry);

#endif
