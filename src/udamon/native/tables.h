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
 * go[512], places to read, 0 ends | status[512], 0 where it was read | a page for others | tables[512] | words[1024]:
 * places of single words, 0 ends, in which what is there is put, 0 where nothing can be read */
struct source {
    int fd;       /* of kcore, or of the BPF program */
    int words_fd; /* the same, for words: set where any are read */
    int bpf;      /* which of the two */
    char *window;
    const struct segment *segment; /* ascending */
    size_t segments, last;
    uint64_t reads; /* tables that were asked for */
    int error;      /* errno of a call that failed altogether */
};

enum { STATUS_AT = 4096, OWN_AT = 8192, TABLES_AT = 12288, WORDS_AT = TABLES_AT + ENTRIES * TABLE };
enum { WORDS = 1024, WINDOW = WORDS_AT + WORDS * 8 };

/* A struct source of what a function was given that says so in its ARGUMENTS. */
#define ITEM_segment struct segment
#define FORMAT_segment 'Q'
#define SOURCE_ARGUMENTS(ARRAY, VALUE)                                                                                \
    VALUE(fd, i) VALUE(bpf, p) ARRAY(window, B, WRITE, "") ARRAY(segments, segment, READ, "")
#define SOURCE_OF(in)                                                                                                 \
    {                                                                                                                 \
        .fd = (in)->fd, .bpf = (in)->bpf, .window = (char *)(in)->window.at,              \
        .segment = (in)->segments.at, .segments = (in)->segments.count                                                \
    }
#define SOURCE_IS_SOUND(in) ((in)->window.count >= WINDOW && are_sound((in)->segments.at, (in)->segments.count))

/* Whether there are segments, and they ascend. */
int are_sound(const struct segment *segment, size_t count);

/* Where the byte of that physical address is read; 0 where it and the `size` bytes from it are not all RAM. */
uint64_t place_of(struct source *source, uint64_t physical, uint64_t size);

/* Read `number` (at most 512) tables at once; where[i] is the index of table i in the window, -1 where it could not be
 * read. What the window held before is gone. */
void fetch(struct source *source, const uint64_t *physical, size_t number, int *where);

/* Read `number` words at once; 0 where one could not be read. */
void fetch_words(struct source *source, const uint64_t *physical, size_t number, uint64_t *word);

static inline const uint64_t *fetched(const struct source *source, int index)
{
    return (const uint64_t *)(const void *)(source->window + TABLES_AT + (size_t)index * TABLE);
}

#endif
