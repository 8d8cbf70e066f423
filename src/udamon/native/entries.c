#include "entries.h"

#include <stdlib.h>

int entries_begin(struct entries *e, size_t most)
{
    uint64_t **all[] = {&e->at, &e->word, &e->ask, &e->got};
    int ready = 1;
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        *all[i] = calloc(most + 1, sizeof(**all[i]));
        ready &= *all[i] != NULL;
    }
    return ready;
}

void entries_end(struct entries *e)
{
    free(e->at);
    free(e->word);
    free(e->ask);
    free(e->got);
}

void entries_read(struct entries *e, const uint64_t *place, size_t count, uint64_t *word)
{
    size_t asked = 0, got = 0;
    for (size_t i = 0; i < count; i++)
        if (place[i] && (i == 0 || place[i] != place[i - 1]))
            e->ask[asked++] = place[i];
    fetch_words(&e->source, e->ask, asked, e->got);
    for (size_t i = 0; i < count; i++)
        word[i] = !place[i] ? 0 : i > 0 && place[i] == place[i - 1] ? word[i - 1] : e->got[got++];
}

void entries_of(struct entries *e, const struct keyed *batch, size_t count, uint64_t *word)
{
    for (size_t i = 0; i < count; i++)
        e->at[i] = batch[i].key;
    entries_read(e, e->at, count, word);
}

void entries_find(struct entries *e, struct check *const *batch, size_t count, uint64_t *place, uint8_t *shift)
{
    for (size_t i = 0; i < count; i++) {
        e->at[i] = e->root[batch[i]->target];
        shift[i] = 0;
    }
    for (unsigned depth = 0, bits = PAGE_SHIFT + 9 * (e->shape.levels - 1);; depth++, bits -= 9) {
        for (size_t i = 0; i < count; i++)
            if (!shift[i]) /* otherwise it was found */
                place[i] = e->at[i] ? e->at[i] + ((batch[i]->address >> bits) & (ENTRIES - 1)) * 8 : 0;
        if (depth + 1 == e->shape.levels)
            break;
        entries_read(e, place, count, e->word);
        for (size_t i = 0; i < count; i++) {
            if (shift[i])
                continue;
            e->at[i] = is_table(&e->shape, e->word[i]) ? e->word[i] & e->shape.mask : 0;
            if (bits == BLOCK_SHIFT && !e->at[i] && is_page(&e->shape, e->word[i], 1))
                shift[i] = BLOCK_SHIFT;
        }
    }
    for (size_t i = 0; i < count; i++)
        if (!shift[i])
            shift[i] = PAGE_SHIFT;
}

uint8_t entry_state(struct entries *e, const struct check *check, uint64_t entry)
{
    int level = check->shift == BLOCK_SHIFT;
    if (!is_page(&e->shape, entry, level) || (e->shape.machine == ARM && (entry & ARM_GROUPED)))
        return 0;
    uint8_t state = state_of(&e->shape, &e->source, entry, level);
    return state & (STATE_NOT_COUNTED | STATE_UNKNOWN) ? 0 : state;
}

uint64_t entry_frame(const struct entries *e, const struct check *check, uint64_t entry)
{
    uint64_t inside = check->address & ((UINT64_C(1) << check->shift) - 1);
    return (address_in(&e->shape, entry, check->shift == BLOCK_SHIFT) + inside) >> PAGE_SHIFT;
}
