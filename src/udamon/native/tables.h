/* Tables of page-table entries, read by physical address: what page_tables.c walks, tables.c fetches. */
#ifndef UDAMON_TABLES_H
#define UDAMON_TABLES_H

#include <stddef.h>
#include <stdint.h>

enum { ENTRIES = 512, TABLE = 4096 };

/* A stretch of RAM; `place` is where its first byte is read: an offset in kcore, or a kernel address for BPF. */
struct segment {
    uint64_t physical, size, place;
};

/* Where tables come from. The window is memory that Python made:
 * go[512], places to read, 0 ends | status[512], 0 where it was read | a page for others | tables[512] */
struct source {
    int fd;  /* of kcore, or of the BPF program */
    int bpf; /* which of the two */
    char *window;
    const struct segment *segment; /* ascending */
    size_t segments, last;
    uint64_t reads; /* tables that were asked for */
    int error;      /* errno of a call that failed altogether */
};

enum { STATUS_AT = 4096, OWN_AT = 8192, TABLES_AT = 12288, WINDOW = TABLES_AT + ENTRIES * TABLE };

/* Where the byte of that physical address is read; 0 where it and the `size` bytes from it are not all RAM. */
uint64_t place_of(struct source *source, uint64_t physical, uint64_t size);

/* Read `number` (at most 512) tables at once; where[i] is the index of table i in the window, -1 where it could not be
 * read. What the window held before is gone. */
void fetch(struct source *source, const uint64_t *physical, size_t number, int *where);

static inline const uint64_t *fetched(const struct source *source, int index)
{
    return (const uint64_t *)(const void *)(source->window + TABLES_AT + (size_t)index * TABLE);
}

#endif
