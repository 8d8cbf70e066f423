/* Checks of single pages by the accessed bits in page tables: cleared by process_madvise(MADV_COLD), many pages a call,
 * and read out of kernel memory, up to 1024 entries a call.
 *
 * MADV_COLD clears, and flushes from TLBs, what one process alone maps and an LRU list holds. Of a huge page it is
 * given the whole: a part would split it. What shows accessed again right afterwards was either accessed or left as it
 * was; page map and page flags tell which. Pages that several processes map, or that are part of a large page that is
 * mapped in small ones, are marked idle where the kernel tracks that, else they have no answer.
 *
 * A table may be given back and its frame be anything else meanwhile. So nothing is believed before the way down to the
 * entry, found before it was cleared, is found again after it was read.
 */
#include "entries.h"
#include "idle.h"
#include "order.h"
#include "sampler.h"

#define ARGUMENTS(ARRAY, VALUE)                                                                                       \
    STRETCH_ARGUMENTS(ARRAY, VALUE) ARRAY(pidfds, i, READ, "t") ARRAY(roots, Q, READ, "t") /* as page maps */          \
    ARRAY(anonymous_target, I, READ, "a") ARRAY(anonymous_start, Q, READ, "a") ARRAY(anonymous_end, Q, READ, "a")     \
    VALUE(large_order, I) VALUE(most_advised, I)                                                                      \
    SOURCE_ARGUMENTS(ARRAY, VALUE) VALUE(words_fd, i) VALUE(machine, I) VALUE(levels, I) VALUE(mask, Q)
#define RESULTS(ARRAY, VALUE)                                                                                         \
    STRETCH_RESULTS(ARRAY, VALUE) VALUE(reads, Q) VALUE(advised, Q) VALUE(advice_calls, Q) VALUE(longest_ns, q)
#define CONSTANTS(C) C(MOST_ADVISED, MOST_ADVISED)
#include "interface.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Ranges that one call is given. It takes 1024, but the longer it is, the longer the target's mapping lock is held, and
 * the more pages are accessed again before they are seen clear, which makes them dear (bench/pte_sampler.py). Together
 * they stay below 2 GiB, where a call would cut them off. */
enum { MOST_ADVISED = 128 };

/* For page flags and the idle bitmap a check is known by its frame. */
struct stand_in {
    struct check check;
    struct check *of;
};

struct sampling {
    struct files files; /* idle bitmap: -1 where there is none */
    struct entries entries;
    const struct arguments *in;
    uint64_t advised, advice_calls;
    int64_t longest_ns;
    /* working memory, for all checks of a stretch */
    uint64_t *place, *word;
    uint8_t *shift;
    struct check **some, **batch;
    struct stand_in *stand_in;
    struct keyed *keyed;
};

/* Whether the target still has the address space whose tables these are. */
static int lives(struct sampling *s, uint32_t target)
{
    struct check first = {.target = target}, *one = &first;
    uint64_t entry;
    if (!s->files.gone[target])
        read_entries(&s->files, &one, 1, &entry);
    return !s->files.gone[target];
}

static void find(void *self, struct check **batch, size_t count)
{
    struct sampling *s = self;
    entries_find(&s->entries, batch, count, s->place, s->shift);
    for (size_t i = 0; i < count; i++) {
        batch[i]->key = s->place[i];
        batch[i]->shift = s->shift[i];
        batch[i]->answer = s->place[i] ? NOT_ACCESSED : NO_PAGE;
    }
}

/* Whether the page of an accessed check may be part of a large page that is mapped in small ones: what is anonymous lies
 * in memory as in its address space then, from the smallest size on that there is. */
static int may_be_large(const struct sampling *s, const struct check *check)
{
    const struct arguments *in = s->in;
    size_t low = 0, high = in->anonymous_start.count;
    if (check->shift != PAGE_SHIFT)
        return 0;
    while (low < high) { /* the last range that begins at or before it */
        size_t middle = (low + high) / 2;
        uint32_t target = in->anonymous_target.at[middle];
        if (target < check->target || (target == check->target && in->anonymous_start.at[middle] <= check->address))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || in->anonymous_target.at[low - 1] != check->target || check->address >= in->anonymous_end.at[low - 1])
        return 1;
    return !(((check->address >> PAGE_SHIFT) ^ check->own_frame) & ((UINT64_C(1) << in->large_order) - 1));
}

/* Make `count` checks known by their frames, and look at the page flags of those: NO_PAGE where they are on no LRU list. */
static void classify(struct sampling *s, struct check **batch, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct check *of = batch[i];
        s->stand_in[i] = (struct stand_in){
            .check = {.address = of->address, .key = of->own_frame, .own_frame = of->own_frame, .target = of->target,
                      .answer = NOT_ACCESSED, .shift = PAGE_SHIFT},
            .of = of,
        };
        s->batch[i] = &s->stand_in[i].check;
    }
    idle_classify(&s->files, s->keyed, sort_by_key(s->batch, count, s->keyed));
}

static int is_part_of_large(const struct stand_in *one)
{
    return one->check.shift != PAGE_SHIFT || one->check.key != one->check.own_frame;
}

/* Of `count` stand-ins in s->batch, clear the bits by marking frames idle, which takes those of all who map them and
 * flushes no TLB. */
static void mark_idle(struct sampling *s, size_t count)
{
    idle_set(&s->files, s->keyed, s->files.bitmap < 0 ? 0 : sort_by_key(s->batch, count, s->keyed));
    for (size_t i = 0; i < count; i++)
        if (s->files.bitmap < 0 || s->batch[i]->answer == NO_PAGE)
            ((struct stand_in *)(void *)s->batch[i])->of->answer = NO_PAGE;
}

/* Before anything is advised: of the pages that may be part of a large one, those that are not stay in `batch`. */
static size_t set_large_apart(struct sampling *s, struct check **batch, size_t count)
{
    size_t kept = 0, doubtful = 0, large = 0;
    struct check **doubted = s->batch;
    for (size_t i = 0; i < count; i++)
        if (may_be_large(s, batch[i]))
            doubted[doubtful++] = batch[i];
        else
            batch[kept++] = batch[i];
    classify(s, doubted, doubtful);
    for (size_t i = 0; i < doubtful; i++) {
        struct stand_in *one = &s->stand_in[i];
        if (one->check.answer == NO_PAGE)
            one->of->answer = NO_PAGE;
        else if (is_part_of_large(one))
            s->batch[large++] = &one->check;
        else
            batch[kept++] = one->of;
    }
    mark_idle(s, large);
    sort_by_address(batch, kept);
    return kept;
}

/* Advise all of these ranges of one target; owner[i] is the first of the `count` checks in range i. */
static void advise_ranges(struct sampling *s, const struct iovec *range, struct check **const *owner, size_t ranges,
                          struct check **end)
{
    int pidfd = s->in->pidfds.at[(*owner[0])->target];
    for (size_t i = 0; i < ranges;) {
        int64_t began = now_ns();
        ssize_t got = syscall(SYS_process_madvise, pidfd, range + i, ranges - i, MADV_COLD, 0);
        int error = errno;
        int64_t took = now_ns() - began;
        s->longest_ns = took > s->longest_ns ? took : s->longest_ns;
        s->advice_calls++;
        if (got > 0) {
            for (; i < ranges && (size_t)got >= range[i].iov_len; i++)
                got -= (ssize_t)range[i].iov_len;
            continue;
        }
        if (got < 0)
            count_errno(&s->files, error);
        /* Of one range (a hole by now, locked memory), or of all of the target. */
        int all = got < 0 && error != ENOMEM && error != EINVAL;
        struct check **last = all || i + 1 == ranges ? end : owner[i + 1];
        for (struct check **one = owner[i]; one < last; one++)
            (*one)->answer = NO_PAGE;
        i = all ? ranges : i + 1;
    }
}

/* Advise the pages of a batch sorted by (target, address), in calls of one target each. */
static void advise(struct sampling *s, struct check **batch, size_t count)
{
    struct iovec range[MOST_ADVISED];
    struct check **owner[MOST_ADVISED];
    size_t most = s->in->most_advised < MOST_ADVISED ? s->in->most_advised : MOST_ADVISED;
    for (size_t i = 0; i < count;) {
        uint32_t target = batch[i]->target;
        uint64_t key = 0;
        size_t ranges = 0, begin = i;
        for (; i < count && batch[i]->target == target; i++) {
            uint64_t size = UINT64_C(1) << batch[i]->shift;
            if (batch[i]->key == key)
                continue;
            if (ranges == most)
                break;
            key = batch[i]->key;
            owner[ranges] = &batch[i];
            range[ranges++] = (struct iovec){(void *)(uintptr_t)(batch[i]->address & ~(size - 1)), size};
        }
        s->advised += ranges;
        if (lives(s, target)) /* or the advice would go to the program that it executed */
            advise_ranges(s, range, owner, ranges, batch + i);
        else
            for (size_t k = begin; k < i; k++)
                batch[k]->answer = NO_PAGE;
    }
}

/* Pages that still show accessed after the advice: accessed again, unless it did not clear them. */
static void settle(struct sampling *s, struct check **batch, size_t count)
{
    uint64_t entries[TOGETHER];
    size_t left = 0;
    if (count == 0)
        return;
    /* What the last advice deactivated waits with this processor, on no list: any advice puts it there. */
    madvise((void *)((uintptr_t)s->place & ~(uintptr_t)(page_size - 1)), page_size, MADV_COLD);
    classify(s, batch, count);
    for (size_t i = 0, n; i < count; i += n) {
        n = read_entries(&s->files, batch + i, count - i < TOGETHER ? count - i : TOGETHER, entries);
        for (size_t k = 0; k < n; k++) {
            struct stand_in *one = &s->stand_in[i + k];
            int same = (entries[k] & MAP_PRESENT) && (entries[k] & MAP_FRAME) == one->of->own_frame;
            if (!same || one->check.answer == NO_PAGE)
                one->of->answer = NO_PAGE;
            else if ((entries[k] & MAP_EXCLUSIVE) && (one->of->shift == BLOCK_SHIFT || !is_part_of_large(one)))
                one->of->seen = 1;
            else
                s->batch[left++] = &one->check;
        }
    }
    mark_idle(s, left);
}

/* Advise a batch sorted by (target, address), and see to it that all of it was cleared. */
static void clear(struct sampling *s, struct check **batch, size_t count)
{
    size_t kept = 0, still = 0;
    entries_find(&s->entries, batch, count, s->place, s->shift); /* small pages may have become a huge one since */
    for (size_t i = 0; i < count; i++)
        if (s->place[i] == batch[i]->key && s->shift[i] == batch[i]->shift)
            batch[kept++] = batch[i];
        else
            batch[i]->answer = NO_PAGE;
    count = kept;
    advise(s, batch, count);
    for (size_t i = 0; i < count; i++)
        s->place[i] = batch[i]->key;
    entries_read(&s->entries, s->place, count, s->word);
    for (size_t i = 0; i < count; i++)
        if (batch[i]->answer != NO_PAGE && (entry_state(&s->entries, batch[i], s->word[i]) & STATE_ACCESSED))
            batch[still++] = batch[i];
    settle(s, batch, still);
}

static void set(void *self, struct keyed *batch, size_t count)
{
    struct sampling *s = self;
    size_t accessed = 0;
    entries_of(&s->entries, batch, count, s->word);
    for (size_t i = 0; i < count; i++) {
        struct check *check = batch[i].check;
        uint8_t state = entry_state(&s->entries, check, s->word[i]);
        if (!state)
            check->answer = NO_PAGE;
        check->own_frame = entry_frame(&s->entries, check, s->word[i]);
        if (state & STATE_ACCESSED)
            s->some[accessed++] = check;
    }
    sort_by_address(s->some, accessed);
    accessed = set_large_apart(s, s->some, accessed);
    for (size_t i = 0, n; i < accessed; i += n) {
        n = accessed - i < MOST_ADVISED ? accessed - i : MOST_ADVISED;
        while (i + n < accessed && s->some[i + n]->key == s->some[i + n - 1]->key)
            n++;
        clear(s, s->some + i, n);
    }
}

static void look(void *self, struct keyed *batch, size_t count)
{
    struct sampling *s = self;
    entries_of(&s->entries, batch, count, s->word);
    for (size_t i = 0; i < count; i++) {
        struct check *check = batch[i].check;
        uint8_t state = entry_state(&s->entries, check, s->word[i]);
        if (check->answer == NO_PAGE)
            continue;
        if (!state || entry_frame(&s->entries, check, s->word[i]) != check->own_frame)
            check->answer = NO_PAGE;
        else if ((state & STATE_ACCESSED) || check->seen)
            check->answer = ACCESSED;
    }
}

static void confirm(void *self, struct check **batch, size_t count)
{
    struct sampling *s = self;
    entries_find(&s->entries, batch, count, s->place, s->shift);
    for (size_t i = 0; i < count; i++) {
        int living = i > 0 && batch[i]->target == batch[i - 1]->target ? !s->files.gone[batch[i]->target]
                                                                       : lives(s, batch[i]->target);
        if (!living || s->place[i] != batch[i]->key || s->shift[i] != batch[i]->shift)
            batch[i]->answer = NO_PAGE;
    }
}

static int make(struct sampling *s, size_t count)
{
    s->place = calloc(count, sizeof(*s->place));
    s->word = calloc(count, sizeof(*s->word));
    s->shift = calloc(count, sizeof(*s->shift));
    s->some = calloc(count, sizeof(*s->some));
    s->batch = calloc(count, sizeof(*s->batch));
    s->stand_in = calloc(count, sizeof(*s->stand_in));
    s->keyed = calloc(count, sizeof(*s->keyed));
    s->files.gone = calloc(s->in->pagemaps.count + 1, 1);
    return entries_begin(&s->entries, count) && s->place && s->word && s->shift && s->some && s->batch && s->stand_in &&
           s->keyed && s->files.gone;
}

static void drop(struct sampling *s)
{
    void *all[] = {s->place, s->word, s->shift, s->some, s->batch, s->stand_in, s->keyed, s->files.gone};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        free(all[i]);
    entries_end(&s->entries);
}

static PyObject *give(PyObject *module, const struct stretch *stretch, const struct sampling *s)
{
    struct results out = {
        STRETCH_COUNTS(stretch), .errnos.count = ERRNOS, .calls.count = CALLS, .reads = s->entries.source.reads,
        .advised = s->advised, .advice_calls = s->advice_calls, .longest_ns = s->longest_ns,
    };
    if (s->entries.source.error) {
        errno = s->entries.source.error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    if (results_make(&pte_sample_interface, &out) < 0)
        return NULL;
    stretch_answers(stretch, STRETCH_ANSWERS(&out));
    memcpy(out.gone.at, s->files.gone, stretch->targets);
    memcpy(out.errnos.at, s->files.errnos, sizeof(s->files.errnos));
    memcpy(out.calls.at, s->files.calls, sizeof(s->files.calls));
    return results_give(&pte_sample_interface, module, &out);
}

static int sound(const struct arguments *in)
{
    if (!SOURCE_IS_SOUND(in) || !is_sound(in->machine, in->levels, in->mask) || in->most_advised == 0 || in->large_order > 63)
        return 0;
    for (size_t i = 0; i < in->pagemaps.count; i++)
        if ((in->roots.at[i] & (PART - 1)) || in->pagemaps.at[i] == PHYSICAL)
            return 0;
    return 1;
}

static PyObject *pte_sample(PyObject *module, struct arguments *in)
{
    struct stretch stretch = STRETCH_OF(in);
    struct sampling s = {
        .files = {.pagemap = in->pagemaps.at, .flags = in->flags_fd, .bitmap = in->bitmap_fd},
        .entries = {.source = SOURCE_OF(in), .shape = {(int)in->machine, in->levels, in->mask}, .root = in->roots.at},
        .in = in,
    };
    PyObject *result = NULL;
    s.entries.source.words_fd = in->words_fd;
    stretch.primitive = (struct primitive){&s, find, NULL, set, look, confirm};
    if (!sound(in)) {
        PyErr_SetString(PyExc_ValueError, "page tables cannot be sampled so");
        return NULL;
    }
    if (stretch_begin(&stretch) == 0) {
        if (make(&s, stretch.total + 1)) {
            Py_BEGIN_ALLOW_THREADS
            stretch_run(&stretch);
            Py_END_ALLOW_THREADS
            result = give(module, &stretch, &s);
        } else {
            PyErr_NoMemory();
        }
    }
    stretch_end(&stretch);
    drop(&s);
    return result;
}

INTERFACE(pte_sample, "PteSampled", "Checks by page tables; see _native.pyi.")
