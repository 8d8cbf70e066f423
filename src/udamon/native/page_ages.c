/* When each page of a GiB was accessed last, in 4 bits a page: the number of one of 15 times that the caller knows, or that
 * nothing is there. A look gives the pages that were accessed the newest number, and the others the one that theirs has
 * become by now (`remap`: the caller joins times, for there are always more of them).
 *
 * A record of a GiB has what is resident alone, by groups of 64 pages: the number of runs of groups, for each run where it
 * begins and how many groups it has (16 bits each), and the groups, 32 bytes each. */
#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    ARRAY(states, B, READ, "") ARRAY(kinds, B, READ, "256") ARRAY(record, B, READ, "") ARRAY(remap, B, READ, "16")       \
    VALUE(newest, I) VALUE(room, Q)
#define RESULTS(ARRAY, VALUE) ARRAY(record, B) ARRAY(pages, Q) ARRAY(again, Q) VALUE(left_out, Q)
#define CONSTANTS(C) C(AGE_TIMES, TIMES) C(AGE_GROUP_BYTES, GROUP_BYTES)
#include "interface.h"

#include <string.h>

#include "marks.h"

enum { TIMES = 15, NOTHING = 15, GROUP = 64, GROUP_BYTES = GROUP / 2, GROUPS = (1 << 18) / GROUP };

struct record {
    const uint8_t *group[GROUPS]; /* NULL where nothing is resident */
};

static uint16_t number_at(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static void put_number(uint8_t *at, size_t number)
{
    at[0] = (uint8_t)number;
    at[1] = (uint8_t)(number >> 8);
}

/* 0 where the bytes are no record. */
static int take_record(const uint8_t *bytes, size_t size, struct record *found)
{
    memset(found, 0, sizeof *found);
    if (size == 0)
        return 1;
    if (size < 2)
        return 0;
    size_t runs = number_at(bytes), at = 2 + 4 * runs, behind = 0;
    if (size < at)
        return 0;
    for (size_t i = 0; i < runs; i++) {
        size_t first = number_at(bytes + 2 + 4 * i), groups = number_at(bytes + 4 + 4 * i);
        if (first < behind || first + groups > GROUPS || size - at < groups * GROUP_BYTES)
            return 0;
        behind = first + groups;
        for (size_t k = first; k < behind; k++, at += GROUP_BYTES)
            found->group[k] = bytes + at;
    }
    return at == size;
}

static size_t resident_in(const struct arguments *in, size_t group)
{
    size_t found = 0, end = (group + 1) * GROUP < in->states.count ? (group + 1) * GROUP : in->states.count;
    for (size_t i = group * GROUP; i < end; i++)
        found += in->kinds.at[in->states.at[i]] & RESIDENT;
    return found;
}

/* Which groups the new record has: those of the old one where anything is still there, and as many more as there is room
 * for. Returns their number. */
static size_t choose(const struct arguments *in, const struct record *before, uint8_t *kept, uint64_t *left_out)
{
    size_t number = 0;
    uint64_t room = in->room;
    for (size_t i = 0; i * GROUP < in->states.count; i++) {
        size_t resident = resident_in(in, i);
        if (resident == 0)
            continue;
        if (before->group[i] == NULL && room == 0) {
            *left_out += resident;
            continue;
        }
        room -= before->group[i] == NULL;
        kept[i] = 1;
        number++;
    }
    return number;
}

static void fill_group(const struct arguments *in, size_t group, const uint8_t *before, uint8_t *now, struct results *out)
{
    for (size_t i = 0; i < GROUP; i++) {
        size_t page = group * GROUP + i;
        uint8_t kind = page < in->states.count ? in->kinds.at[in->states.at[page]] : 0, age = NOTHING;
        uint8_t was = before != NULL ? before[i / 2] >> i % 2 * 4 & 15 : NOTHING;
        was = was != NOTHING ? in->remap.at[was] : NOTHING;
        if (kind & TOUCHED) {
            age = (uint8_t)in->newest;
            if (was != NOTHING)
                out->again.at[was]++;
        } else if (kind & RESIDENT)
            age = was != NOTHING ? was : (uint8_t)in->newest;
        if (age != NOTHING)
            out->pages.at[age]++;
        now[i / 2] = (uint8_t)(i % 2 ? now[i / 2] | age << 4 : age);
    }
}

static size_t put_runs(const uint8_t *kept, uint8_t *bytes)
{
    size_t runs = 0;
    for (size_t i = 0; i < GROUPS;) {
        size_t first = i;
        while (i < GROUPS && kept[i])
            i++;
        if (i > first) {
            if (bytes != NULL) {
                put_number(bytes + 2 + 4 * runs, first);
                put_number(bytes + 4 + 4 * runs, i - first);
            }
            runs++;
        } else
            i++;
    }
    if (bytes != NULL)
        put_number(bytes, runs);
    return runs;
}

static int sound(const struct arguments *in, struct record *before)
{
    int good = in->states.count <= GROUPS * GROUP && in->newest < TIMES && take_record(in->record.at, in->record.count, before);
    for (size_t i = 0; good && i < TIMES; i++)
        good = in->remap.at[i] < TIMES;
    if (!good)
        PyErr_SetString(PyExc_ValueError, "ages of pages make no sense");
    return good;
}

static PyObject *page_ages(PyObject *module, struct arguments *in)
{
    struct record before;
    uint8_t kept[GROUPS] = {0};
    struct results out = {.pages.count = TIMES, .again.count = TIMES};
    if (!sound(in, &before))
        return NULL;
    size_t groups = choose(in, &before, kept, &out.left_out), runs = put_runs(kept, NULL);
    out.record.count = groups == 0 ? 0 : 2 + 4 * runs + groups * GROUP_BYTES;
    if (results_make(&page_ages_interface, &out) < 0)
        return NULL;
    uint8_t *at = out.record.at + 2 + 4 * runs;
    Py_BEGIN_ALLOW_THREADS
    if (groups > 0)
        put_runs(kept, out.record.at);
    for (size_t i = 0; i < GROUPS; i++)
        if (kept[i]) {
            fill_group(in, i, before.group[i], at, &out);
            at += GROUP_BYTES;
        }
    Py_END_ALLOW_THREADS
    return results_give(&page_ages_interface, module, &out);
}

INTERFACE(page_ages, "PageAges", "When each page was accessed last; see _native.pyi.")
