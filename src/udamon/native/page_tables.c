/* The page tables of a process, walked from the root: one byte for each page of a GiB, out of entries that another
 * processor may change meanwhile. Tables are frames that are freed and used anew, so all that was read on the way is
 * read again afterwards: what no longer hangs where it was found is read once more, and then said to be unknown. A frame
 * may also come back as the table that it was, after it held something else when it was read: so few are read before
 * that check where each takes a system call, and those with entries that no table has are read once more, too. */
#include "entry.h"

#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    SOURCE_ARGUMENTS(ARRAY, VALUE) VALUE(machine, I) VALUE(levels, I) VALUE(mask, Q) VALUE(root, Q) VALUE(start, Q) VALUE(end, Q)                    \
    ARRAY(states, B, WRITE, "") ARRAY(entries, Q, MAYBE, "")
#define RESULTS(ARRAY, VALUE) VALUE(first, Q) VALUE(last, Q) VALUE(reads, Q) VALUE(changed, Q) VALUE(unknown, Q)
#define CONSTANTS(C)                                                                                                  \
    C(PAGE_MAPPED, STATE_MAPPED) C(PAGE_ACCESSED, STATE_ACCESSED) C(PAGE_DIRTY, STATE_DIRTY) C(PAGE_HUGE, STATE_HUGE) C(PAGE_GIANT, STATE_GIANT)      \
    C(PAGE_NOT_COUNTED, STATE_NOT_COUNTED) C(PAGE_UNKNOWN, STATE_UNKNOWN) C(MACHINE_X86, X86) C(MACHINE_ARM, ARM)                 \
    C(TABLE_ENTRIES, ENTRIES) C(TABLE_BYTES, TABLE) C(WINDOW_STATUS_AT, STATUS_AT) C(WINDOW_OWN_AT, OWN_AT)           \
    C(WINDOW_TABLES_AT, TABLES_AT) C(WINDOW_WORDS_AT, WORDS_AT) C(WINDOW_WORDS, WORDS)                              \
    C(WINDOW_BYTES, WINDOW) C(BLOCK_SHIFT, BLOCK_SHIFT) C(GIB_SHIFT, GIB_SHIFT)        \
    C(TABLE_PAGE_SHIFT, PAGE_SHIFT) C(TABLE_PART_BYTES, PART)
#include "interface.h"

#include <errno.h>
#include <string.h>

enum { TRIES = 3, GROUP = 16, STRETCH = 64 };
enum { CHANGED = 1, ODD = 2 }; /* why a block is read once more */

struct walk {
    struct source source;
    struct shape shape;
    uint64_t root; /* physical */
    uint64_t start, end;
    uint64_t first, last; /* what was answered for */
    uint8_t *out;         /* a byte for each page from `first` on */
    uint64_t *entries;    /* the leaf entry of each, or NULL */
    uint64_t changed, unknown;
};

static void fill(struct walk *w, uint64_t from, uint64_t to, uint8_t state, uint64_t entry)
{
    size_t at = (size_t)((from - w->first) >> PAGE_SHIFT), number = (size_t)((to - from) >> PAGE_SHIFT);
    memset(w->out + at, state, number);
    for (size_t i = 0; w->entries != NULL && i < number; i++)
        w->entries[at + i] = entry;
    if (state & STATE_UNKNOWN)
        w->unknown += number;
}

/* The part of the block with this index that was asked for. */
static void part(const struct walk *w, uint64_t gib, size_t index, uint64_t *from, uint64_t *to)
{
    uint64_t start = gib + ((uint64_t)index << BLOCK_SHIFT), end = start + (1ull << BLOCK_SHIFT);
    *from = start < w->first ? w->first : start;
    *to = end > w->last ? w->last : end;
}

/* Nearly all of a look: plain pages of x86-64 in the stretch of RAM that the last one was in are told in a few steps, all
 * others by `state_of`. Accessed and dirty lie side by side in an entry and in a state. */
static int plain_pages(struct walk *w, uint64_t from, uint64_t to, const uint64_t *table)
{
    int odd = 0;
    const uint64_t *entry = table + ((from >> PAGE_SHIFT) & (ENTRIES - 1));
    const uint64_t looked_at = VALID | X86_USER | bits_of[X86].special;
    uint8_t *out = w->out + ((from - w->first) >> PAGE_SHIFT);
    const struct segment *ram = &w->source.segment[w->source.last];
    for (size_t i = 0; i < (size_t)((to - from) >> PAGE_SHIFT); i++) {
        if ((entry[i] & looked_at) == (VALID | X86_USER) && (entry[i] & w->shape.mask) - ram->physical < ram->size) {
            out[i] = (uint8_t)(STATE_MAPPED | (entry[i] >> 4 & (STATE_ACCESSED | STATE_DIRTY)));
            continue;
        }
        out[i] = is_page(&w->shape, entry[i], 0) ? state_of(&w->shape, &w->source, entry[i], 0) : 0;
        w->unknown += (out[i] & STATE_UNKNOWN) != 0;
        odd |= is_odd(&w->shape, out[i], entry[i]);
        ram = &w->source.segment[w->source.last];
    }
    return odd;
}

/* Returns whether there are odd ones. */
static int small_pages(struct walk *w, uint64_t from, uint64_t to, const uint64_t *table)
{
    if (w->shape.machine == X86 && w->entries == NULL)
        return plain_pages(w, from, to, table);
    int odd = 0;
    const struct bits *b = &bits_of[w->shape.machine];
    for (uint64_t a = from; a < to; a += 1 << PAGE_SHIFT) {
        size_t i = (size_t)(a >> PAGE_SHIFT) & (ENTRIES - 1);
        uint64_t entry = table[i];
        uint8_t state = is_page(&w->shape, entry, 0) ? state_of(&w->shape, &w->source, entry, 0) : 0;
        if (w->shape.machine == ARM && state && (entry & ARM_GROUPED))
            for (size_t k = i / GROUP * GROUP; k < i / GROUP * GROUP + GROUP; k++)
                if ((table[k] & 3) == 3 && (table[k] & ARM_GROUPED) && (table[k] & b->accessed))
                    state |= STATE_ACCESSED;
        odd |= is_odd(&w->shape, state, entry);
        fill(w, a, a + (1 << PAGE_SHIFT), state, entry);
    }
    return odd;
}

/* Whether two readings of an entry mean different things: the accessed and dirty bits may change at any time. */
static int differ(const struct walk *w, uint64_t before, uint64_t now)
{
    if (!is_table(&w->shape, before) && !is_table(&w->shape, now))
        return 0; /* pages themselves come and go; each entry is right on its own */
    return ((before ^ now) & (w->shape.mask | VALID)) || is_table(&w->shape, before) != is_table(&w->shape, now);
}

struct chain { /* tables on the way down, [0] is the root's; the last one is that of the GiB */
    uint64_t at[LEVELS], entry[LEVELS];
    unsigned number;
};

/* In the page that was read; the topmost table of five levels of arm64 is a part of its page. */
static size_t index_of(const struct walk *w, unsigned depth, uint64_t address)
{
    size_t begin = depth == 0 ? (size_t)(w->root & (TABLE - 1)) / sizeof(uint64_t) : 0;
    return begin + ((size_t)(address >> (PAGE_SHIFT + 9 * (w->shape.levels - 1 - depth))) & (ENTRIES - 1));
}

/* Go down to the table of `address`' GiB. 1: `chain` is complete; 2: it ends in a page of 1 GiB; 0: nothing is there up
 * to `*next`; -1: something could not be read. */
static int descend(struct walk *w, uint64_t address, struct chain *chain, uint64_t *next)
{
    int where;
    chain->number = 0;
    for (uint64_t at = w->root & ~(uint64_t)(TABLE - 1);; chain->number++) {
        unsigned depth = chain->number, shift = PAGE_SHIFT + 9 * (w->shape.levels - 1 - depth);
        chain->at[depth] = at;
        if (depth + 2 == w->shape.levels) {
            chain->number++;
            return 1;
        }
        fetch(&w->source, &at, 1, &where);
        if (where < 0)
            return -1;
        const uint64_t *table = fetched(&w->source, where);
        size_t i = index_of(w, depth, address);
        uint64_t entry = table[i];
        *next = ((address >> shift) + 1) << shift;
        if (shift == GIB_SHIFT && is_page(&w->shape, entry, 2) && !is_table(&w->shape, entry)) {
            chain->entry[depth] = entry;
            return 2;
        }
        if (!is_table(&w->shape, entry)) {
            /* holes of many entries are passed in this one table */
            while (++i < ENTRIES && *next < w->end && !(table[i] & (VALID | X86_INACCESSIBLE)))
                *next += 1ull << shift;
            return 0;
        }
        chain->entry[depth] = entry;
        at = entry & w->shape.mask;
    }
}

/* Read the chain again, the table of the GiB into `now`: 1 when it still hangs where it was. */
static int still_there(struct walk *w, const struct chain *chain, uint64_t address, uint64_t *now)
{
    int where[LEVELS];
    fetch(&w->source, chain->at, chain->number, where);
    for (unsigned i = 0; i < chain->number; i++)
        if (where[i] < 0 || (i + 1 < chain->number && differ(w, chain->entry[i],
                                                             fetched(&w->source, where[i])[index_of(w, i, address)])))
            return 0;
    memcpy(now, fetched(&w->source, where[chain->number - 1]), TABLE);
    return 1;
}

/* Whether the page of 1 GiB in which a chain ends is still the same one. */
static int still_giant(struct walk *w, struct chain chain, uint64_t address)
{
    static _Thread_local uint64_t now[ENTRIES];
    unsigned depth = chain.number++;
    return still_there(w, &chain, address, now) &&
           !((now[index_of(w, depth, address)] ^ chain.entry[depth]) & (w->shape.mask | VALID));
}

/* The blocks [low, high) of a GiB, once: those of `todo` are answered for. `odd`: which have entries that no table has.
 * Returns how many tables were read for them. */
static size_t blocks(struct walk *w, uint64_t gib, size_t low, size_t high, const uint8_t *todo, const uint64_t *middle,
                     uint8_t *odd)
{
    static _Thread_local uint64_t at[ENTRIES];
    static _Thread_local int where[ENTRIES];
    uint64_t from, to;
    size_t number = 0, asked;
    for (size_t i = low; i < high; i++) {
        odd[i] = 0;
        if (!todo[i])
            continue;
        part(w, gib, i, &from, &to);
        if (is_table(&w->shape, middle[i]))
            at[number++] = middle[i] & w->shape.mask;
        else
            fill(w, from, to, is_page(&w->shape, middle[i], 1) ? state_of(&w->shape, &w->source, middle[i], 1) : 0, middle[i]);
    }
    fetch(&w->source, at, asked = number, where);
    number = 0;
    for (size_t i = low; i < high; i++) {
        if (!todo[i] || !is_table(&w->shape, middle[i]))
            continue;
        part(w, gib, i, &from, &to);
        if (where[number] < 0)
            fill(w, from, to, STATE_UNKNOWN, 0);
        else
            odd[i] = (uint8_t)small_pages(w, from, to, fetched(&w->source, where[number]));
        number++;
    }
    return asked;
}

static void count_unknown(struct walk *w, uint64_t gib, size_t low, size_t high)
{
    uint64_t from, to, ignored;
    part(w, gib, low, &from, &ignored);
    part(w, gib, high - 1, &ignored, &to);
    for (uint64_t a = from; a < to; a += 1 << PAGE_SHIFT)
        w->unknown += (w->out[(a - w->first) >> PAGE_SHIFT] & STATE_UNKNOWN) != 0;
}

/* Blocks [low, high) of a GiB whose table was read as `middle`, which is read anew: 0 where its chain has changed. */
static int stretch(struct walk *w, uint64_t gib, size_t low, size_t high, const struct chain *chain, uint64_t *middle,
                   int is_last)
{
    static _Thread_local uint64_t now[ENTRIES];
    static _Thread_local uint8_t todo[ENTRIES], odd[ENTRIES];
    size_t left = 1;
    uint64_t unknown = w->unknown;
    int tried;
    memset(todo + low, 1, high - low);
    for (tried = 0; tried < TRIES && left; tried++) {
        if (blocks(w, gib, low, high, todo, middle, odd) == 0 && !is_last)
            return 1; /* no table was read; that of the GiB is read again in the end */
        if (!still_there(w, chain, gib, now))
            return 0;
        left = 0;
        for (size_t i = low; i < high; i++) {
            if (todo[i])
                todo[i] = differ(w, middle[i], now[i]) ? CHANGED : odd[i] ? ODD : 0;
            left += todo[i] != 0;
        }
        w->changed += (uint64_t)left;
        memcpy(middle, now, TABLE);
    }
    for (size_t i = low; left && i < high; i++)
        if (todo[i] == CHANGED) { /* those that stay odd are told as they are: memory of a device, say */
            uint64_t from, to;
            part(w, gib, i, &from, &to);
            fill(w, from, to, STATE_UNKNOWN, 0);
        }
    if (tried > 1) { /* what was read again counts once */
        w->unknown = unknown;
        count_unknown(w, gib, low, high);
    }
    return 1;
}

/* All of the GiB that was asked for; 0 where its chain has changed meanwhile. */
static int gib_of_blocks(struct walk *w, uint64_t gib, const struct chain *chain)
{
    static _Thread_local uint64_t middle[ENTRIES];
    size_t low = (size_t)((w->first - gib) >> BLOCK_SHIFT), high = (size_t)((w->last - 1 - gib) >> BLOCK_SHIFT) + 1;
    size_t step = w->source.bpf ? ENTRIES : STRETCH;
    int where;
    fetch(&w->source, &chain->at[chain->number - 1], 1, &where);
    if (where < 0)
        return 0;
    memcpy(middle, fetched(&w->source, where), TABLE);
    for (; low < high; low += step) {
        size_t end = high - low < step ? high : low + step;
        if (!stretch(w, gib, low, end, chain, middle, end == high))
            return 0;
    }
    return 1;
}

/* Answer for the first GiB from `start` on in which anything is; `first` == `last` where there is none. */
static void look(struct walk *w)
{
    struct chain chain;
    uint64_t address = w->start, next = 0;
    int tried = 0;
    while (address < w->end && !w->source.error) {
        uint64_t gib = address >> GIB_SHIFT << GIB_SHIFT, end = gib + (1ull << GIB_SHIFT);
        int found = descend(w, address, &chain, &next);
        w->unknown = 0; /* of a try before, which is not answered for */
        if (found == 0) {
            if (next <= address)
                break; /* the end of all addresses */
            address = next;
            continue;
        }
        w->first = address;
        w->last = end > w->end ? w->end : end;
        if (found == 2 && still_giant(w, chain, address)) {
            uint64_t entry = chain.entry[chain.number];
            fill(w, w->first, w->last, state_of(&w->shape, &w->source, entry, 2), entry);
        } else if (found != 1 || !gib_of_blocks(w, gib, &chain)) {
            w->changed++;
            if (++tried < TRIES)
                continue;
            w->unknown = 0;
            fill(w, w->first, w->last, STATE_UNKNOWN, 0);
        }
        return;
    }
    w->first = w->last = w->end;
}

static int sound(const struct arguments *in)
{
    const uint64_t page = (1 << PAGE_SHIFT) - 1;
    int partial = in->machine == ARM && in->levels == LEVELS; /* 16 entries lead to all of 52 bits */
    if (!SOURCE_IS_SOUND(in) || !is_sound(in->machine, in->levels, in->mask))
        return 0;
    if (in->start >= in->end || ((in->start | in->end) & page) || in->end > 1ull << (partial ? 52 : 56))
        return 0;
    if (in->root & (partial ? PART - 1 : page))
        return 0;
    uint64_t size = in->end - in->start < 1ull << GIB_SHIFT ? in->end - in->start : 1ull << GIB_SHIFT;
    return in->states.count >= size >> PAGE_SHIFT && (in->entries.at == NULL || in->entries.count >= size >> PAGE_SHIFT);
}

static PyObject *page_tables_look(PyObject *module, struct arguments *in)
{
    struct walk w = {
        .source = SOURCE_OF(in),
        .shape = {(int)in->machine, in->levels, in->mask}, .root = in->root, .start = in->start,
        .end = in->end, .out = in->states.at, .entries = in->entries.at,
    };
    if (!sound(in)) {
        PyErr_SetString(PyExc_ValueError, "page tables cannot be looked at so");
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    look(&w);
    Py_END_ALLOW_THREADS
    if (w.source.error) {
        errno = w.source.error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    struct results out = {w.first, w.last, w.source.reads, w.changed, w.unknown};
    return results_give(&page_tables_look_interface, module, &out);
}

INTERFACE(page_tables_look, "TablesLooked", "What page tables say of pages; see _native.pyi.")
