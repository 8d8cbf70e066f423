/* The files of idle page tracking: /proc/PID/pagemap, /proc/kpageflags, /sys/kernel/mm/page_idle/bitmap
 * (Documentation/admin-guide/mm/pagemap.rst and idle_page_tracking.rst).
 *
 * System calls are nearly all of the cost, so neighbours share them: page map entries that lie close are read
 * together, and checks whose frames share a word of the bitmap share its reads and writes.
 */
#include "idle.h"
#include "sampler.h"

#define ARGUMENTS(ARRAY, VALUE) STRETCH_ARGUMENTS(ARRAY, VALUE)
#define RESULTS(ARRAY, VALUE) STRETCH_RESULTS(ARRAY, VALUE) VALUE(longest_ns, q)
#define CONSTANTS(C) C(GONE, GONE) C(PHYSICAL, PHYSICAL) C(WITHHELD, WITHHELD) C(ERRNOS, ERRNOS)
#include "interface.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NEAR = 32 };  /* pages; reading so many entries costs less than a second call */
/* Frames of the largest compound page that is looked into: as many as a table has entries, with pages of 64 KiB at most. */
enum { MOST_BLOCK = 8192 };
#define BLOCK (page_size / 8 < MOST_BLOCK ? (size_t)page_size / 8 : (size_t)MOST_BLOCK)

/* Page flags */
#define ON_LRU (UINT64_C(1) << 5)
#define HEAD (UINT64_C(1) << 15)
#define TAIL (UINT64_C(1) << 16)
#define HUGETLB (UINT64_C(1) << 17)
#define ZERO_PAGE (UINT64_C(1) << 24)

void count_errno(struct files *files, int number)
{
    files->errnos[number >= 0 && number < ERRNOS - 1 ? number : ERRNOS - 2]++;
}

/* pread that counts; returns whole items read, and what is missing is zero. */
static size_t read_items(struct files *files, int which, int fd, uint64_t index, uint64_t *items, size_t count)
{
    files->calls[which]++;
    ssize_t got = pread(fd, items, count * 8, (off_t)(index * 8));
    if (got < 0)
        count_errno(files, errno);
    size_t whole = got > 0 ? (size_t)got / 8 : 0;
    for (size_t i = whole; i < count; i++)
        items[i] = 0;
    return whole;
}

/* How many checks of a batch sorted by (target, address) one read of the page map serves. */
static size_t neighbours(struct check **batch, size_t count)
{
    size_t n = 1;
    while (n < count && batch[n]->target == batch[0]->target &&
           batch[n]->address - batch[n - 1]->address <= (uint64_t)NEAR << page_shift &&
           batch[n]->address - batch[0]->address < (uint64_t)TOGETHER << page_shift)
        n++;
    return n;
}

size_t read_entries(struct files *files, struct check **batch, size_t count, uint64_t *entries)
{
    uint64_t items[TOGETHER];
    size_t n = neighbours(batch, count);
    int fd = files->pagemap[batch[0]->target];
    uint64_t first = batch[0]->address >> page_shift;
    size_t span = (size_t)((batch[n - 1]->address >> page_shift) - first) + 1;
    if (fd == PHYSICAL) {
        for (size_t i = 0; i < n; i++)
            entries[i] = MAP_PRESENT | batch[i]->address >> page_shift;
        return n;
    }
    int64_t began = now_ns();
    size_t got = fd < 0 ? 0 : read_items(files, READ_MAP, fd, first, items, span);
    int64_t took = now_ns() - began;
    files->longest_ns = took > files->longest_ns ? took : files->longest_ns;
    if (got == 0)
        files->gone[batch[0]->target] = 1; /* the address space ended: nothing at all can be read */
    for (size_t i = 0; i < n; i++)
        entries[i] = got ? items[(batch[i]->address >> page_shift) - first] : 0;
    return n;
}

static void idle_find(void *self, struct check **batch, size_t count)
{
    struct files *files = self;
    uint64_t entries[TOGETHER];
    for (size_t i = 0, n; i < count; i += n) {
        n = read_entries(files, batch + i, count - i < TOGETHER ? count - i : TOGETHER, entries);
        for (size_t k = 0; k < n; k++) {
            struct check *check = batch[i + k];
            check->key = check->own_frame = entries[k] & MAP_FRAME;
            int withheld = check->key == 0 && files->pagemap[check->target] != PHYSICAL;
            files->errnos[WITHHELD] += (entries[k] & MAP_PRESENT) && withheld;
            check->answer = (entries[k] & MAP_PRESENT) && !withheld ? NOT_ACCESSED : NO_PAGE;
        }
    }
}

/* A compound page answers by its head alone: find head and size in the flags of the block around it. */
static uint64_t find_head(struct check *check, const uint64_t *flags, uint64_t base)
{
    size_t head = (size_t)(check->own_frame - base), end = head + 1;
    while (head > 0 && (flags[head] & TAIL))
        head--;
    if (!(flags[head] & HEAD))
        return 0; /* changed under us, or larger than a block */
    while (end < BLOCK && (flags[end] & TAIL))
        end++;
    while (end - head > (size_t)1 << (check->shift - page_shift))
        check->shift++;
    check->key = base + head;
    return flags[head];
}

/* How many checks of a batch sorted by frame one read of the flags serves. */
static size_t near_frames(const struct keyed *batch, size_t count)
{
    size_t n = 1;
    while (n < count && batch[n].key - batch[n - 1].key <= NEAR && batch[n].key - batch[0].key < TOGETHER)
        n++;
    return n;
}

int idle_classify(struct files *files, struct keyed *batch, size_t count)
{
    uint64_t flags[TOGETHER], block[MOST_BLOCK], block_base = UINT64_MAX;
    int changed = 0;
    for (size_t i = 0, n; i < count; i += n) {
        n = near_frames(batch + i, count - i);
        uint64_t first = batch[i].key;
        read_items(files, READ_FLAGS, files->flags, first, flags, (size_t)(batch[i + n - 1].key - first) + 1);
        for (size_t k = 0; k < n; k++) {
            struct check *check = batch[i + k].check;
            uint64_t own = flags[check->own_frame - first];
            if ((own & (HEAD | TAIL)) && !(own & HUGETLB)) {
                uint64_t base = check->own_frame & ~(uint64_t)(BLOCK - 1);
                if (base != block_base)
                    read_items(files, READ_FLAGS, files->flags, block_base = base, block, BLOCK);
                own = find_head(check, block, base);
                changed = 1;
            }
            /* Only pages on an LRU list take the idle bit; others silently read 0, as if always accessed. */
            if (!(own & ON_LRU) || (own & (HUGETLB | ZERO_PAGE))) {
                check->answer = NO_PAGE;
                changed = 1;
            }
        }
    }
    return changed;
}

void idle_set(struct files *files, struct keyed *batch, size_t count)
{
    for (size_t i = 0; i < count;) {
        uint64_t word = batch[i].key / 64, bits = 0;
        size_t first = i;
        for (; i < count && batch[i].key / 64 == word; i++)
            bits |= UINT64_C(1) << batch[i].key % 64;
        files->calls[WRITE_BITMAP]++;
        if (pwrite(files->bitmap, &bits, 8, (off_t)(word * 8)) == 8)
            continue;
        count_errno(files, errno);
        for (size_t k = first; k < i; k++)
            batch[k].check->answer = NO_PAGE;
    }
}

void idle_read(void *self, struct keyed *batch, size_t count)
{
    struct files *files = self;
    for (size_t i = 0; i < count;) {
        uint64_t word = batch[i].key / 64, bits;
        size_t got = read_items(files, READ_BITMAP, files->bitmap, word, &bits, 1);
        for (; i < count && batch[i].key / 64 == word; i++) {
            struct check *check = batch[i].check;
            if (check->answer == NO_PAGE)
                continue; /* its bit could not be set */
            if (got == 0)
                check->answer = NO_PAGE;
            else if (!((bits >> batch[i].key % 64) & 1) || check->seen)
                check->answer = ACCESSED;
        }
    }
}

/* A check that is NOT_ACCESSED and has no neighbour to share the call with is believed without it: a frame that is freed
 * loses its idle bit, so its page is still in memory and was not accessed, even should it be unmapped by now. */
static void idle_confirm(void *self, struct check **batch, size_t count)
{
    struct files *files = self;
    uint64_t entries[TOGETHER];
    for (size_t i = 0, n = 1; i < count; i += n) {
        size_t left = count - i < TOGETHER ? count - i : TOGETHER;
        if (neighbours(batch + i, left) == 1 && batch[i]->answer == NOT_ACCESSED) {
            n = 1;
            continue;
        }
        n = read_entries(files, batch + i, left, entries);
        for (size_t k = 0; k < n; k++)
            if (!(entries[k] & MAP_PRESENT) || (entries[k] & MAP_FRAME) != batch[i + k]->own_frame)
                batch[i + k]->answer = NO_PAGE;
    }
}

static int classify(void *self, struct keyed *batch, size_t count)
{
    return idle_classify(self, batch, count);
}

static void set(void *self, struct keyed *batch, size_t count)
{
    idle_set(self, batch, count);
}

static PyObject *give(PyObject *module, const struct stretch *s, const struct files *files)
{
    struct results out = {STRETCH_COUNTS(s), .errnos.count = ERRNOS, .calls.count = CALLS,
                          .longest_ns = files->longest_ns};
    if (results_make(&idle_sample_interface, &out) < 0)
        return NULL;
    stretch_answers(s, STRETCH_ANSWERS(&out));
    memcpy(out.gone.at, files->gone, s->targets);
    memcpy(out.errnos.at, files->errnos, sizeof(files->errnos));
    memcpy(out.calls.at, files->calls, sizeof(files->calls));
    return results_give(&idle_sample_interface, module, &out);
}

static PyObject *idle_sample(PyObject *module, struct arguments *in)
{
    struct stretch s = STRETCH_OF(in);
    struct files files = {.pagemap = in->pagemaps.at, .flags = in->flags_fd, .bitmap = in->bitmap_fd,
                          .gone = calloc(in->pagemaps.count + 1, 1)};
    PyObject *result = NULL;
    s.primitive = (struct primitive){&files, idle_find, classify, set, idle_read, idle_confirm};
    if (files.gone == NULL) {
        PyErr_NoMemory();
    } else if (stretch_begin(&s) == 0) {
        Py_BEGIN_ALLOW_THREADS
        stretch_run(&s);
        Py_END_ALLOW_THREADS
        result = give(module, &s, &files);
    }
    stretch_end(&s);
    free(files.gone);
    return result;
}

INTERFACE(idle_sample, "Sampled", "Checks by idle page tracking; see _native.pyi.")
