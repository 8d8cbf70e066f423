/* Which allocations are sampled, and what becomes of them: Poisson sampling over bytes.
 *
 * Points lie on the bytes that a thread allocates, with exponential gaps of a mean length; an allocation that a point
 * falls into is sampled. So one of n bytes is sampled with chance 1 - exp(-n / mean), whatever came before it. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <linux/futex.h>
#include <unistd.h>
#include "sites.h"

static char where[108];    /* the recorder's socket; empty: nothing is sampled. Programs overwrite their environment */
static uint64_t mean;      /* bytes */
static int started;        /* whether the constructor has run */
static int refused;        /* how often the recorder could not be reached */
static uint32_t lock_word; /* 0 free, 1 held, 2 held and waited for */
static uint64_t own_id;
uint8_t filter[1u << FILTER_BITS];

enum { NEW = 0, CHANGING = 1, NO_RING = 2, RING = 3 };
/* A page that the kernel clears in a forked process (MADV_WIPEONFORK), and not in one that shares this memory (vfork):
 * NEW says that this process has no ring of its own yet. */
static uint32_t *state;
enum { MOST_REFUSALS = 16 };

static void futex(uint32_t *word, int operation, uint32_t value)
{
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void lock(void)
{
    uint32_t free_word = 0;
    if (__atomic_compare_exchange_n(&lock_word, &free_word, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        return;
    while (__atomic_exchange_n(&lock_word, 2, __ATOMIC_ACQUIRE) != 0)
        futex(&lock_word, FUTEX_WAIT, 2);
}

static void unlock(void)
{
    if (__atomic_exchange_n(&lock_word, 0, __ATOMIC_RELEASE) == 2)
        futex(&lock_word, FUTEX_WAKE, 1);
}

/* "MEAN:PATH"; anything else, and nothing is sampled. */
static void read_settings(void)
{
    const char *text = getenv("UDAMON_SITES");
    char *end;
    if (text == NULL)
        return;
    uint64_t bytes = strtoull(text, &end, 10);
    if (end == text || *end != ':' || bytes == 0 || end[1] != '/' || strlen(end + 1) >= sizeof where)
        return;
    mean = bytes;
    strcpy(where, end + 1);
}

void sampling_start(void)
{
    int before = errno;
    read_settings();
    if (*where && finds_code()) {
        python_start();
        void *page = real_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED || madvise(page, 4096, MADV_WIPEONFORK) != 0)
            *where = 0;
        else
            __atomic_store_n(&state, page, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&started, 1, __ATOMIC_RELEASE);
    errno = before;
}

static int enabled(void)
{
    return __atomic_load_n(&state, __ATOMIC_ACQUIRE) != NULL;
}

static uint64_t seed(void)
{
    uint64_t value;
    if (getrandom(&value, sizeof value, GRND_NONBLOCK) != sizeof value)
        value = now_ns() ^ (uint64_t)(uintptr_t)&value ^ (uint64_t)syscall(SYS_gettid) << 40;
    return value | 1;
}

/* -ln(x / 2^53) for x in 1..2^53: by its binary exponent, and the series of atanh for the rest, which is within an
 * error of 1e-13 after 16 terms because |y| <= 1/3. */
static double minus_log(uint64_t x)
{
    int bits = 63 - __builtin_clzll(x);
    double m = (double)x / (double)(1ull << bits), y = (m - 1) / (m + 1), square = y * y, sum = 0, power = y;
    for (int k = 1; k < 33; k += 2, power *= square)
        sum += power / k;
    return (53 - bits) * 0.69314718055994530942 - 2 * sum;
}

static uint64_t gap(void)
{
    self.random += 0x9E3779B97F4A7C15u;
    uint64_t x = (mix64(self.random) >> 11) + 1;
    double bytes = minus_log(x) * (double)mean;
    return bytes < 1e18 ? (uint64_t)bytes + 1 : (uint64_t)1e18;
}

int chosen(uint64_t size)
{
    if (self.busy)
        return 0;
    if (!enabled() || __atomic_load_n(&refused, __ATOMIC_RELAXED) >= MOST_REFUSALS) {
        if (__atomic_load_n(&started, __ATOMIC_ACQUIRE))
            self.left = UINT64_MAX; /* never again in this thread */
        return 0;
    }
    if (!self.ready) {
        int before = errno;
        self.random = seed();
        errno = before;
        self.left = gap();
        self.ready = 1;
    }
    if (size < self.left) {
        self.left -= size;
        return 0;
    }
    self.left = gap();
    return size > 0;
}

/* In a process that was forked: forget the ring of the parent. The live samples are its own now. */
static void forked(void)
{
    uint64_t parent = ring_id, parent_ns = ring_last_ns;
    /* The lock is held where another thread of the parent was in the midst of a change: then what it left is not to be
     * relied on. The parent's own thread is not in here: it forked. */
    int torn = __atomic_load_n(&lock_word, __ATOMIC_RELAXED) != 0;
    lock_word = 0;
    ring_abandon();
    modules_clear();
    told_clear();
    if (torn)
        live_clear();
    self.random = seed();
    own_id = 0;
    refused = 0;
    ring_id = torn ? 0 : parent;
    ring_last_ns = torn ? 0 : parent_ns;
}

/* With this process's ring ready and the lock held: 1. */
static int begin(void)
{
    for (;;) {
        uint32_t was = NEW;
        if (__atomic_compare_exchange_n(state, &was, CHANGING, 0, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
            if (own_id != 0 || ring_id != 0)
                forked();
            __atomic_store_n(state, NO_RING, __ATOMIC_RELEASE);
            continue;
        }
        if (was != CHANGING)
            break;
        sched_yield();
    }
    lock();
    if (__atomic_load_n(state, __ATOMIC_RELAXED) == RING)
        return 1;
    if (refused < MOST_REFUSALS) {
        own_id = seed();
        if (ring_make(where, mean, own_id, ring_id, ring_last_ns)) {
            ring_id = own_id;
            __atomic_store_n(state, RING, __ATOMIC_RELEASE);
            return 1;
        }
        refused++;
    }
    unlock();
    return 0;
}

static void count(uintptr_t address)
{
    uint8_t *counter = filter_of(address);
    if (*counter < UINT8_MAX)
        __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* A counter that has reached the highest value says no more how many there are, and stays. */
static void uncount(uintptr_t address)
{
    uint8_t *counter = filter_of(address);
    if (*counter > 0 && *counter < UINT8_MAX)
        __atomic_store_n(counter, *counter - 1, __ATOMIC_RELAXED);
}

static int write_allocated(const struct live *entry)
{
    uint64_t words[5] = {now_ns(), entry->address, entry->size, entry->requested, entry->stack};
    if (!ring_write(RING_ALLOCATED, words, 5, NULL, 0, FOR_FREED))
        return 0;
    ring_last_ns = words[0];
    return 1;
}

static void write_freed(uintptr_t address)
{
    uint64_t words[2] = {now_ns(), address};
    if (ring_write(RING_FREED, words, 2, NULL, 0, 0))
        ring_last_ns = words[0];
    else
        ring_lost(0);
}

static int write_stack(const struct stack *stack)
{
    uint64_t words[2 + RING_MAX_FRAMES] = {stack->hash, stack->number};
    if (told(stack->hash))
        return 1;
    if (!modules_write(stack) || !python_write(stack) || told_add(stack->hash) < 0)
        return 0;
    for (uint32_t i = 0; i < stack->number; i++)
        words[2 + i] = stack->pc[i];
    if (ring_write(RING_STACK, words, 2 + stack->number, NULL, 0, FOR_FREED))
        return 1;
    told_drop(stack->hash);
    return 0;
}

/* Keep a sample and tell the recorder of it; where there is no room for either it is lost, and counted as that. */
static void keep(const struct live *entry, int (*add)(const struct live *))
{
    struct live same;
    if (add(entry)) {
        if (write_allocated(entry)) {
            count(entry->address);
            return;
        }
        if (add == live_add)
            live_take(entry->address, &same);
        else
            mapped_take(entry->address, entry->address + 1, &same);
    }
    ring_lost(entry->size);
}

static void note(uintptr_t address, uint64_t size, void *caller, int (*add)(const struct live *))
{
    int before = errno;
    struct stack stack;
    self.busy++;
    stack_take(&stack, caller); /* without the lock: it takes the longest, and may allocate */
    if (begin()) {
        struct live entry = {address, size, size, stack.hash};
        if (write_stack(&stack))
            keep(&entry, add);
        else
            ring_lost(size);
        unlock();
    }
    self.busy--;
    errno = before;
}

void sampled(uintptr_t address, uint64_t size, void *caller)
{
    note(address, size, caller, live_add);
}

void sampled_mapping(uintptr_t address, uint64_t size, void *caller)
{
    note(address, size, caller, mapped_add);
}

int forget(uintptr_t address, struct live *taken)
{
    if (address == 0 || self.busy || !enabled())
        return 0;
    int before = errno, was_sampled = 0;
    self.busy++;
    if (begin()) {
        was_sampled = live_take(address, taken);
        if (was_sampled) {
            uncount(address);
            write_freed(address);
        }
        unlock();
    }
    self.busy--;
    errno = before;
    return was_sampled;
}

void restore(const struct live *taken)
{
    int before = errno;
    self.busy++;
    if (begin()) {
        keep(taken, live_add);
        unlock();
    }
    self.busy--;
    errno = before;
}

void forget_mapped(uintptr_t start, uintptr_t end, struct taken *taken)
{
    struct live one;
    taken->number = 0;
    if (self.busy || !enabled() || start >= end)
        return;
    int before = errno;
    self.busy++;
    if (begin()) {
        while (mapped_take(start, end, &one)) {
            if (taken->number == 0) {
                taken->first = one;
                taken->number = 1;
            } else if (kept_add(&one, taken->number == 1 ? &taken->more : NULL)) {
                taken->number++; /* else it could not be restored */
            }
            uncount(one.address);
            write_freed(one.address);
            uintptr_t end_of_one = one.address + one.size;
            if (one.address < start)
                keep(&(struct live){one.address, start - one.address, one.requested, one.stack}, mapped_add);
            if (end_of_one > end)
                keep(&(struct live){end, end_of_one - end, one.requested, one.stack}, mapped_add);
        }
        unlock();
    }
    self.busy--;
    errno = before;
}

static int still_mapped(const struct live *one)
{
    return syscall(SYS_msync, one->address, one->size, MS_ASYNC) == 0 || errno != ENOMEM;
}

static void restore_one(const struct live *one)
{
    struct live part;
    if (!still_mapped(one))
        return;
    while (mapped_take(one->address, one->address + one->size, &part)) { /* what was left on either side */
        uncount(part.address);
        write_freed(part.address);
    }
    keep(one, mapped_add);
}

void settle_mapped(const struct taken *taken, int failed)
{
    if (taken->number == 0 || (taken->number == 1 && !failed))
        return;
    int before = errno;
    self.busy++;
    if (begin()) {
        if (failed) {
            restore_one(&taken->first);
            const struct live *next;
            for (uint32_t i = 0; i + 1 < taken->number && (next = kept_at(taken->more + i)) != NULL; i++)
                restore_one(next);
        }
        if (taken->number > 1)
            kept_drop(taken->more, taken->number - 1);
        unlock();
    }
    self.busy--;
    errno = before;
}
