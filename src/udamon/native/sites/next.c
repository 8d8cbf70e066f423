/* What this library stands before: the functions that the program would call without it, and what there is until they
 * are found. */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sites.h"

__thread struct thread self __attribute__((tls_model("initial-exec")));

static void *early_malloc(size_t size);
static void *early_calloc(size_t number, size_t size);
static void *early_realloc(void *block, size_t size);
static void early_free(void *block);
static void *early_memalign(size_t alignment, size_t size);
static void *early_valloc(size_t size);
static int early_posix_memalign(void **block, size_t alignment, size_t size);

/* Until they are known, ones that find them out first: a program may allocate before this library is initialised. */
struct allocator real = {
    early_malloc,   early_calloc, early_realloc, early_free,           early_memalign,
    early_memalign, early_valloc, early_valloc,  early_posix_memalign,
};
static struct allocator next; /* the same, without what `real` may have around them */
void *(*next_mmap)(void *, size_t, int, int, int, off_t);
int (*next_munmap)(void *, size_t);
void *(*next_mremap)(void *, size_t, size_t, int, ...);
static int (*next_find_object)(void *, struct dl_find_object *);
static int finding; /* dlsym may allocate: from `early` */

/* For allocations before the real functions are known, and those of dlsym. Never given back. */
static _Alignas(64) char early[1 << 16];
static size_t early_used;

int is_early(const void *block)
{
    return (const char *)block >= early && (const char *)block < early + sizeof early;
}

static void *from_early(size_t alignment, size_t size)
{
    if (alignment < 16)
        alignment = 16;
    if (size > sizeof early || alignment > sizeof early)
        return NULL;
    for (;;) {
        size_t used = __atomic_load_n(&early_used, __ATOMIC_RELAXED);
        size_t header = used + sizeof(size_t);
        uintptr_t from = ((uintptr_t)early + header + alignment - 1) & ~(uintptr_t)(alignment - 1);
        size_t begin = (size_t)(from - (uintptr_t)early), end = (begin + size + 15) & ~(size_t)15;
        if (end > sizeof early) {
            errno = ENOMEM;
            return NULL;
        }
        if (__atomic_compare_exchange_n(&early_used, &used, end, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            memcpy(early + begin - sizeof size, &size, sizeof size);
            *filter_of(from) = UINT8_MAX; /* so that freeing it takes the slow way, for ever */
            return early + begin;
        }
    }
}

size_t early_size(const void *block)
{
    size_t size;
    memcpy(&size, (const char *)block - sizeof size, sizeof size);
    return size;
}

/* Another library's allocator may call mmap, or malloc for its calloc: the same bytes must not be counted twice. */
#define WITHIN(call)                                                                                                   \
    uint64_t left = self.left;                                                                                         \
    self.left = UINT64_MAX, self.busy++;                                                                               \
    call;                                                                                                              \
    self.left = left, self.busy--

static void *foreign_malloc(size_t size)
{
    WITHIN(void *block = next.malloc(size));
    return block;
}
static void *foreign_calloc(size_t number, size_t size)
{
    WITHIN(void *block = next.calloc(number, size));
    return block;
}
static void *foreign_realloc(void *old, size_t size)
{
    WITHIN(void *block = next.realloc(old, size));
    return block;
}
static void foreign_free(void *block)
{
    WITHIN(next.free(block));
}
static void *foreign_memalign(size_t alignment, size_t size)
{
    WITHIN(void *block = next.memalign(alignment, size));
    return block;
}
static void *foreign_aligned_alloc(size_t alignment, size_t size)
{
    WITHIN(void *block = next.aligned_alloc(alignment, size));
    return block;
}
static void *foreign_valloc(size_t size)
{
    WITHIN(void *block = next.valloc(size));
    return block;
}
static void *foreign_pvalloc(size_t size)
{
    WITHIN(void *block = next.pvalloc(size));
    return block;
}
static int foreign_posix_memalign(void **block, size_t alignment, size_t size)
{
    WITHIN(int failed = next.posix_memalign(block, alignment, size));
    return failed;
}

static const struct allocator foreign = {
    foreign_malloc,        foreign_calloc, foreign_realloc, foreign_free,           foreign_memalign,
    foreign_aligned_alloc, foreign_valloc, foreign_pvalloc, foreign_posix_memalign,
};

/* ISO C has no conversion from an object's address to a function's. */
static void find(void *function, const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(function, &found, sizeof found);
}

/* Not by dladdr where that can be spared: it looks at all names of the C library, at each start of a program. */
static int module_of(const void *pointer_to_function, const void **base)
{
    void *address;
    Dl_info info;
    struct dl_find_object object;
    memcpy(&address, pointer_to_function, sizeof address);
    if (address == NULL)
        return 0;
    if (next_find_object != NULL) {
        *base = next_find_object(address, &object) == 0 ? object.dlfo_map_start : NULL;
        return *base != NULL;
    }
    *base = dladdr(address, &info) ? info.dli_fbase : NULL;
    return *base != NULL;
}

/* 0 while this very thread, or another one, still finds them. */
int found(void)
{
    if (__atomic_load_n(&next.malloc, __ATOMIC_ACQUIRE) != NULL)
        return 1;
    if (__atomic_exchange_n(&finding, 1, __ATOMIC_ACQUIRE))
        return 0;
    int before = errno;
    struct allocator all = {0};
    find(&all.malloc, "malloc");
    find(&all.calloc, "calloc");
    find(&all.realloc, "realloc");
    find(&all.free, "free");
    find(&all.memalign, "memalign");
    find(&all.aligned_alloc, "aligned_alloc");
    find(&all.valloc, "valloc");
    find(&all.pvalloc, "pvalloc");
    find(&all.posix_memalign, "posix_memalign");
    find(&next_mmap, "mmap");
    find(&next_munmap, "munmap");
    find(&next_mremap, "mremap");
    find(&next_find_object, "_dl_find_object");
    const void *of_malloc, *of_mmap;
    int own = module_of(&all.malloc, &of_malloc) && module_of(&next_mmap, &of_mmap) && of_malloc == of_mmap;
    next = all;
    real = own ? all : foreign;
    __atomic_store_n(&next.malloc, all.malloc, __ATOMIC_RELEASE);
    errno = before;
    return all.malloc != NULL;
}

/* What stacks.c and the unwinder that is linked in call. glibc has it since 2.35, and this library is also linked for
 * older ones. */
int _dl_find_object(void *address, struct dl_find_object *result)
{
    return next_find_object == NULL ? -1 : next_find_object(address, result);
}

int finds_code(void)
{
    return next_find_object != NULL;
}

static void *early_malloc(size_t size)
{
    return found() ? real.malloc(size) : from_early(16, size);
}
static void *early_calloc(size_t number, size_t size)
{
    size_t bytes;
    if (found())
        return real.calloc(number, size);
    return __builtin_mul_overflow(number, size, &bytes) ? NULL : from_early(16, bytes); /* zeros, as all of it */
}
static void *early_realloc(void *old, size_t size)
{
    if (found())
        return real.realloc(old, size);
    void *block = from_early(16, size);
    if (block != NULL && old != NULL)
        memcpy(block, old, early_size(old) < size ? early_size(old) : size);
    return block;
}
static void early_free(void *block)
{
    if (found() && block != NULL && !is_early(block))
        real.free(block);
}
static void *early_memalign(size_t alignment, size_t size)
{
    return found() ? real.memalign(alignment, size) : from_early(alignment, size);
}
static void *early_valloc(size_t size)
{
    return found() ? real.valloc(size) : from_early((size_t)getpagesize(), size);
}
static int early_posix_memalign(void **block, size_t alignment, size_t size)
{
    if (found())
        return real.posix_memalign(block, alignment, size);
    void *made = from_early(alignment, size);
    if (made == NULL)
        return ENOMEM;
    *block = made;
    return 0;
}

int real_dlclose(void *library)
{
    static int (*next_dlclose)(void *);
    int (*close)(void *) = __atomic_load_n(&next_dlclose, __ATOMIC_RELAXED);
    if (close == NULL) {
        find(&close, "dlclose");
        __atomic_store_n(&next_dlclose, close, __ATOMIC_RELAXED);
    }
    return close == NULL ? 0 : close(library); /* it stays where it is */
}

void *real_mmap(void *address, size_t size, int protection, int flags, int fd, long offset)
{
    return (void *)syscall(SYS_mmap, address, size, protection, flags, fd, offset);
}

void real_munmap(void *address, size_t size)
{
    syscall(SYS_munmap, address, size);
}
