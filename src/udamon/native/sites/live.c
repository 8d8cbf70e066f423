/* The live samples, by address, and what the ring was told. All of it with the lock held. */
#include <string.h>
#include <sys/mman.h>
#include "sites.h"

enum { FIRST_BITS = 9, MOST_BITS = 21, MOST_MAPPED = 1 << 15 };

/* Open addressing with linear probing; never more than half full. */
static struct live *table;
static uint32_t table_bits, table_used;

/* Mappings in the order of their addresses. */
static struct live *mapped;
static uint32_t mapped_used;

/* Those that calls of all threads have taken out, behind `mapped`: a call that fails because the process has all the
 * mappings it may have leaves no room to allocate. address 0: given up. */
static uint32_t kept_used;

static uint64_t *set;
static uint32_t set_bits, set_used;

static void *pages(size_t size)
{
    void *found = real_mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return found == MAP_FAILED ? NULL : found;
}

static uint32_t home(uint64_t key, uint32_t bits)
{
    return (uint32_t)(mix64(key) >> (64 - bits));
}

static void put(struct live *into, uint32_t bits, const struct live *entry)
{
    uint32_t mask = (1u << bits) - 1, at = home(entry->address, bits);
    while (into[at].address != 0)
        at = (at + 1) & mask;
    into[at] = *entry;
}

static int grown(void)
{
    uint32_t bits = table == NULL ? FIRST_BITS : table_bits + 1;
    if (bits > MOST_BITS)
        return 0;
    struct live *larger = pages(sizeof *larger << bits);
    if (larger == NULL)
        return 0;
    for (uint32_t i = 0; table != NULL && i < 1u << table_bits; i++)
        if (table[i].address != 0)
            put(larger, bits, &table[i]);
    if (table != NULL)
        real_munmap(table, sizeof *table << table_bits);
    table = larger;
    table_bits = bits;
    return 1;
}

int live_add(const struct live *entry)
{
    struct live before;
    live_take(entry->address, &before); /* its end was not seen */
    if ((table == NULL || table_used >= 1u << (table_bits - 1)) && !grown())
        return 0;
    put(table, table_bits, entry);
    table_used++;
    return 1;
}

int live_take(uintptr_t address, struct live *taken)
{
    if (table == NULL || address == 0)
        return 0;
    uint32_t mask = (1u << table_bits) - 1, at = home(address, table_bits);
    while (table[at].address != address) {
        if (table[at].address == 0)
            return 0;
        at = (at + 1) & mask;
    }
    *taken = table[at];
    /* What follows moves up, so that nobody who looks for it stops at the hole. */
    for (uint32_t next = (at + 1) & mask; table[next].address != 0; next = (next + 1) & mask) {
        uint32_t from = home(table[next].address, table_bits);
        if (((next - from) & mask) >= ((next - at) & mask)) {
            table[at] = table[next];
            at = next;
        }
    }
    table[at].address = 0;
    table_used--;
    return 1;
}

void live_clear(void)
{
    /* What was torn may be anything, so the memory is left alone. */
    table = NULL;
    table_bits = table_used = 0;
    mapped = NULL;
    mapped_used = kept_used = 0;
}

/* The first mapping that ends beyond `address`. */
static uint32_t first_beyond(uintptr_t address)
{
    uint32_t low = 0, high = mapped_used;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (mapped[middle].address + mapped[middle].size <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int mapped_take(uintptr_t start, uintptr_t end, struct live *taken)
{
    uint32_t at = first_beyond(start);
    if (at == mapped_used || mapped[at].address >= end)
        return 0;
    *taken = mapped[at];
    mapped_used--;
    memmove(&mapped[at], &mapped[at + 1], (mapped_used - at) * sizeof *mapped);
    return 1;
}

int mapped_add(const struct live *entry)
{
    struct live before;
    if (mapped == NULL && (mapped = pages(sizeof *mapped * MOST_MAPPED * 2)) == NULL)
        return 0;
    while (mapped_take(entry->address, entry->address + entry->size, &before))
        ; /* their end was not seen */
    if (mapped_used == MOST_MAPPED)
        return 0;
    uint32_t at = first_beyond(entry->address);
    memmove(&mapped[at + 1], &mapped[at], (mapped_used - at) * sizeof *mapped);
    mapped[at] = *entry;
    mapped_used++;
    return 1;
}

int kept_add(const struct live *entry, uint32_t *at)
{
    if (kept_used == MOST_MAPPED)
        return 0;
    if (at != NULL)
        *at = kept_used;
    mapped[MOST_MAPPED + kept_used++] = *entry;
    return 1;
}

const struct live *kept_at(uint32_t at)
{
    return at < kept_used ? &mapped[MOST_MAPPED + at] : NULL;
}

void kept_drop(uint32_t at, uint32_t number)
{
    for (uint32_t i = at; i < at + number && i < kept_used; i++)
        mapped[MOST_MAPPED + i].address = 0;
    while (kept_used > 0 && mapped[MOST_MAPPED + kept_used - 1].address == 0)
        kept_used--;
}

static uint32_t place_of(const uint64_t *in, uint32_t bits, uint64_t hash)
{
    uint32_t mask = (1u << bits) - 1, at = home(hash, bits);
    while (in[at] != 0 && in[at] != hash)
        at = (at + 1) & mask;
    return at;
}

int told(uint64_t hash)
{
    return set != NULL && set[place_of(set, set_bits, hash)] == hash;
}

int told_add(uint64_t hash)
{
    if (set == NULL || set_used >= 1u << (set_bits - 1)) {
        uint32_t bits = set == NULL ? FIRST_BITS : set_bits + 1;
        uint64_t *larger = bits > MOST_BITS ? NULL : pages(sizeof *larger << bits);
        if (larger == NULL)
            return -1;
        for (uint32_t i = 0; set != NULL && i < 1u << set_bits; i++)
            if (set[i] != 0)
                larger[place_of(larger, bits, set[i])] = set[i];
        if (set != NULL)
            real_munmap(set, sizeof *set << set_bits);
        set = larger;
        set_bits = bits;
    }
    uint32_t at = place_of(set, set_bits, hash);
    if (set[at] == hash)
        return 0;
    set[at] = hash;
    set_used++;
    return 1;
}

void told_drop(uint64_t hash)
{
    uint32_t at = place_of(set, set_bits, hash);
    if (set[at] == hash) {
        set[at] = 0;
        set_used--;
    }
}

void told_clear(void)
{
    set = NULL;
    set_bits = set_used = 0;
}
