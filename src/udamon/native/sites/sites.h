/* The preload library of `udamon record --sites`: which code allocates memory. See docs/recording.md#allocations.
 *
 * It is a shared object of its own, loaded into programs that are not udamon's: no Python, no C++ runtime, no libm,
 * no signal handler, nothing written to a descriptor of the program, and errno as it was. */
#ifndef UDAMON_SITES_H
#define UDAMON_SITES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "format.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define EXPORT __attribute__((visibility("default")))

enum { PAGE_BITS = 12, FILTER_BITS = 18 };

/* What a thread keeps. All zeros is a new thread. */
struct thread {
    uint64_t left;   /* bytes until the next sample; what does not fit takes the slow way */
    uint64_t random; /* state of the generator */
    uint32_t ready;  /* whether `left` was drawn */
    uint32_t busy;   /* above 0 in the library's own work, and in another allocator's: nothing is sampled */
};
extern __thread struct thread self __attribute__((tls_model("initial-exec")));

/* A sampled allocation that was not freed. */
struct live {
    uintptr_t address;  /* 0: no entry */
    uint64_t size;      /* bytes */
    uint64_t requested; /* bytes when it was sampled: what its weight follows from */
    uint64_t stack;     /* hash of the stack */
};

/* Mappings that were forgotten, and may have to be restored. */
struct taken {
    uint32_t number;
    uint32_t more; /* where those behind the first are kept (live.c) */
    struct live first;
};

/* A counter for each page of addresses (modulo the table): 0 where no sampled allocation begins. */
extern uint8_t filter[1u << FILTER_BITS];

static inline uint8_t *filter_of(uintptr_t address)
{
    return &filter[(address >> PAGE_BITS) & ((1u << FILTER_BITS) - 1)];
}

/* next.c */
/* What the program would call without this library: another library's, or the C library's. */
struct allocator {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    void *(*memalign)(size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    int (*posix_memalign)(void **, size_t, size_t);
};
extern struct allocator real;
extern void *(*next_mmap)(void *, size_t, int, int, int, off_t);
extern int (*next_munmap)(void *, size_t);
extern void *(*next_mremap)(void *, size_t, size_t, int, ...);
/* 0 while they are not known: this very thread, or another one, still finds them. */
int found(void);
/* Whether this C library tells code without a lock, so that stacks can be taken; after `found`. */
int finds_code(void);
/* Blocks that were handed out before, from memory of this library. */
int is_early(const void *block);
size_t early_size(const void *block);
/* System calls: nothing that is interposed. */
void *real_mmap(void *address, size_t size, int protection, int flags, int fd, long offset);
void real_munmap(void *address, size_t size);
int real_dlclose(void *library);

/* sampling.c */
void sampling_start(void);
/* Whether an allocation of `size` bytes is sampled; draws what is needed. For what does not fit into self.left. */
int chosen(uint64_t size);
/* Note what was chosen. `caller` is the return address of the hook. */
void sampled(uintptr_t address, uint64_t size, void *caller);
void sampled_mapping(uintptr_t address, uint64_t size, void *caller);
/* Forget a block that is about to be freed; 1 and `taken` when it had been sampled. */
int forget(uintptr_t address, struct live *taken);
/* Take back `forget`: the block was not freed. */
void restore(const struct live *taken);
/* Forget what is mapped in [start, end), as it is about to be unmapped or replaced; what is left of a mapping on
 * either side stays. They are kept in `taken` until `settle_mapped`. */
void forget_mapped(uintptr_t start, uintptr_t end, struct taken *taken);
/* The call has ended. Where it failed, take `forget_mapped` back: of what is still mapped. */
void settle_mapped(const struct taken *taken, int failed);

/* live.c: called with the lock held */
int live_add(const struct live *entry); /* 0 where there is no room */
int live_take(uintptr_t address, struct live *taken);
int mapped_add(const struct live *entry);
/* The first sampled mapping that has a byte in [start, end) is taken out; 0 where there is none. */
int mapped_take(uintptr_t start, uintptr_t end, struct live *taken);
/* Keep what was taken out for the time of a call; where it is comes in `at` (if not NULL), the next ones follow it as
 * long as the lock is held. 0 where there is no room; NULL where it is not kept. `kept_drop` gives up those of a call. */
int kept_add(const struct live *entry, uint32_t *at);
const struct live *kept_at(uint32_t at);
void kept_drop(uint32_t at, uint32_t number);
void live_clear(void);
/* What the ring has been told already, stacks and calls of Python, by their hashes. `told_add` is 1 when one was not in
 * the set and now is, 0 when it was, -1 where there is no room; `told_drop` is for the one that was added last. */
int told(uint64_t hash);
int told_add(uint64_t hash);
void told_drop(uint64_t hash);
void told_clear(void);

/* stacks.c */
struct stack {
    uint64_t hash;
    uint32_t number;
    /* Within the instruction that called, the innermost first; with the bit PYTHON_CALL, the hash of a call of Python. */
    uintptr_t pc[RING_MAX_FRAMES];
    const void *code[RING_MAX_FRAMES]; /* of calls of Python, while they last; NULL for small objects */
    uint32_t line[RING_MAX_FRAMES];    /* of calls of Python, 0 where it is not known */
};
#define PYTHON_CALL (1ull << RING_PYTHON_CALL_BIT) /* no address of a program has it */
void stack_take(struct stack *stack, void *caller);
/* Write those modules of the stack that the ring does not have yet; 0 where they did not fit. With the lock held. */
int modules_write(const struct stack *stack);
void modules_clear(void);

/* rules.c */
/* A function at work: where it goes on, where its part of the stack ends then, and its rbp. */
struct frame {
    uintptr_t ip, sp, bp;
};
enum { NOT_KNOWN = 0, FRAME_FOUND = 1, STACK_ENDS = 2 };
/* Make it the one outside of it. NOT_KNOWN: it takes more than the rules have. */
int frame_outside(struct frame *frame);
void rules_clear(void);

/* python.c */
/* Where a thread is in Python: its innermost frame, and an address in the stack frame of the interpreter's loop that
 * runs it. Zeros: nowhere. */
struct python {
    const char *frame;
    uintptr_t inside;
};
extern uint64_t python_version; /* as PY_VERSION_HEX; 1 before 3.11, 0 without an interpreter */
void python_start(void);
int python_told(void); /* whether calls are told of this interpreter */
/* Whether this caller of mmap gets memory for small objects of Python, of any code. */
int python_arena(const void *caller);
struct python python_now(void);
/* Append the calls of Python. */
void python_calls(struct stack *stack, const struct python *now);
/* Write those calls that the ring does not have yet; 0 where they did not fit. With the lock held. */
int python_write(const struct stack *stack);

/* ring.c */
/* Room that only records of what was freed may take: what is not known to be freed would look alive for ever. */
enum { FOR_FREED = 1 << 18 };
extern uint64_t ring_id;
extern uint64_t ring_last_ns; /* the time of the last record */
/* Make a ring and hand it to the recorder at `path`. `parent` is the ring of the process this one was forked from, 0
 * without one. 0 where that fails. */
int ring_make(const char *path, uint64_t mean, uint64_t id, uint64_t parent, uint64_t parent_ns);
void ring_abandon(void);
/* Append a record of words and bytes; 0 where it does not fit beside `reserve` bytes. */
int ring_write(uint32_t type, const uint64_t *words, size_t number, const void *bytes, size_t size, size_t reserve);
void ring_lost(uint64_t bytes);
uint64_t now_ns(void);

/* splitmix64 (Steele, Lea, Flood 2014) */
static inline uint64_t mix64(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

#endif
