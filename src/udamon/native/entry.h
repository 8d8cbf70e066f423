/* Entries of page tables with small pages of 4 KiB, of x86-64 and arm64: what one means. */
#ifndef UDAMON_ENTRY_H
#define UDAMON_ENTRY_H

#include "marks.h"
#include "native.h"
#include "tables.h"

enum { X86, ARM, MACHINES };
/* A small page is as large as a table. */
enum { LEVELS = 5, GIB_SHIFT = 30, BLOCK_SHIFT = 21, PAGE_SHIFT = 12, PART = 128 };
/* Bits of a page's byte, beside STATE_ACCESSED. */
enum { STATE_MAPPED = 1, STATE_DIRTY = 4, STATE_HUGE = 8, STATE_GIANT = 16, STATE_NOT_COUNTED = 64, STATE_UNKNOWN = 128 };

#define X86_USER (1ull << 2)
#define X86_LEAF (1ull << 7)
#define X86_INACCESSIBLE (1ull << 8) /* PROT_NONE, where "present" is not set: its frame bits are inverted */
#define ARM_GROUPED (1ull << 52)     /* 16 entries share one accessed bit: the processor may set it in any of them */
#define VALID 1ull

struct bits {
    uint64_t accessed, dirty, special;
};
static const struct bits bits_of[MACHINES] = {
    {1ull << 5, 1ull << 6, 1ull << 9},   /* special: zero page, and what a driver mapped */
    {1ull << 10, 1ull << 55, 1ull << 56},
};

struct shape {
    int machine;
    unsigned levels;
    uint64_t mask; /* of an entry, the bits of a physical address */
};

/* Whether there are such tables on a machine with pages of that size. */
static inline int is_sound(unsigned machine, unsigned levels, uint64_t mask)
{
    return page_shift == PAGE_SHIFT && machine < MACHINES && levels >= 3 && levels <= LEVELS &&
           !(mask & (TABLE - 1)) && mask != 0;
}

static inline int is_leaf(const struct shape *s, uint64_t entry)
{
    return s->machine == X86 ? (entry & X86_LEAF) != 0 : (entry & 3) == 1;
}

static inline int is_table(const struct shape *s, uint64_t entry)
{
    return (entry & VALID) && !is_leaf(s, entry);
}

/* 1 when the entry maps a page. `level` is 0 for a small page, 1 for 2 MiB, 2 for 1 GiB. */
static inline int is_page(const struct shape *s, uint64_t entry, int level)
{
    if (s->machine == X86) {
        int there = (entry & VALID) || (entry & X86_INACCESSIBLE);
        return there && (level == 0 || (entry & X86_LEAF));
    }
    return (entry & 3) == (level == 0 ? 3 : 1);
}

static inline uint64_t address_in(const struct shape *s, uint64_t entry, int level)
{
    if (s->machine == X86 && !(entry & VALID))
        entry = ~entry;
    return entry & s->mask & ~((1ull << (PAGE_SHIFT + 9 * level)) - 1);
}

/* The byte of the page that an entry maps. */
static inline uint8_t state_of(const struct shape *s, struct source *source, uint64_t entry, int level)
{
    static const uint8_t size[] = {0, STATE_HUGE, STATE_GIANT};
    const struct bits *b = &bits_of[s->machine];
    if (s->machine == X86 && (entry & VALID) && !(entry & X86_USER))
        return STATE_UNKNOWN; /* no page of a process: this is no table of one */
    uint8_t state = STATE_MAPPED | size[level];
    if (entry & b->accessed)
        state |= STATE_ACCESSED;
    if (entry & b->dirty)
        state |= STATE_DIRTY;
    if ((entry & b->special) || !place_of(source, address_in(s, entry, level), 1))
        state |= STATE_NOT_COUNTED;
    return state;
}

/* Of the state that an entry gave: whether no table of a process has such an entry, a page without the user bit or of a
 * frame that is no RAM and that no driver mapped. The table was freed and used for something else. */
static inline int is_odd(const struct shape *s, uint8_t state, uint64_t entry)
{
    return (state & STATE_UNKNOWN) || ((state & STATE_NOT_COUNTED) && !(entry & bits_of[s->machine].special));
}

#endif
