/* The functions of malloc and mmap that are interposed. The short way of each is a subtraction or a look at a table. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <malloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sites.h"

#define CALLER __builtin_return_address(0)

__attribute__((constructor)) static void start(void)
{
    found();
    sampling_start();
}

static inline int fits(size_t size)
{
    if (UNLIKELY(size >= self.left))
        return 0;
    self.left -= size;
    return 1;
}

EXPORT void *malloc(size_t size)
{
    if (LIKELY(fits(size)))
        return real.malloc(size);
    int wanted = chosen(size);
    void *block = real.malloc(size);
    if (wanted && block != NULL)
        sampled((uintptr_t)block, size, CALLER);
    return block;
}

EXPORT void *calloc(size_t number, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(number, size, &bytes) || LIKELY(fits(bytes)))
        return real.calloc(number, size);
    int wanted = chosen(bytes);
    void *block = real.calloc(number, size);
    if (wanted && block != NULL)
        sampled((uintptr_t)block, bytes, CALLER);
    return block;
}

static void slow_free(void *block)
{
    struct live taken;
    if (is_early(block))
        return;
    forget((uintptr_t)block, &taken);
    real.free(block);
}

EXPORT void free(void *block)
{
    if (LIKELY(*filter_of((uintptr_t)block) == 0))
        real.free(block);
    else
        slow_free(block);
}

/* C23. Where the C library has none, a program that finds these works all the same. */
EXPORT void free_sized(void *block, size_t size)
{
    (void)size;
    free(block);
}

EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    (void)alignment, (void)size;
    free(block);
}

static void *moved(void *old, size_t size, void *caller)
{
    struct live taken;
    int was_sampled = 0;
    if (is_early(old)) {
        void *block = real.malloc(size);
        if (block != NULL)
            memcpy(block, old, early_size(old) < size ? early_size(old) : size);
        return block;
    }
    /* Before it is freed: right after, another thread may get the same address. */
    if (old != NULL && *filter_of((uintptr_t)old) != 0)
        was_sampled = forget((uintptr_t)old, &taken);
    int wanted = !fits(size) && chosen(size);
    void *block = real.realloc(old, size);
    if (block == NULL) {
        if (was_sampled && size > 0)
            restore(&taken);
    } else if (wanted) {
        sampled((uintptr_t)block, size, caller);
    }
    return block;
}

EXPORT void *realloc(void *old, size_t size)
{
    return moved(old, size, CALLER);
}

EXPORT void *reallocarray(void *old, size_t number, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(number, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return moved(old, bytes, CALLER);
}

#define ALIGNED(name, call)                                                                                            \
    if (LIKELY(fits(size)))                                                                                            \
        return call;                                                                                                   \
    int wanted = chosen(size);                                                                                         \
    void *block = call;                                                                                                \
    if (wanted && block != NULL)                                                                                       \
        sampled((uintptr_t)block, size, CALLER);                                                                       \
    return block

EXPORT void *memalign(size_t alignment, size_t size)
{
    ALIGNED(memalign, real.memalign(alignment, size));
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    ALIGNED(aligned_alloc, real.aligned_alloc(alignment, size));
}

EXPORT void *valloc(size_t size)
{
    ALIGNED(valloc, real.valloc(size));
}

EXPORT void *pvalloc(size_t size)
{
    ALIGNED(pvalloc, real.pvalloc(size));
}

EXPORT int posix_memalign(void **block, size_t alignment, size_t size)
{
    if (LIKELY(fits(size)))
        return real.posix_memalign(block, alignment, size);
    int wanted = chosen(size);
    int failed = real.posix_memalign(block, alignment, size);
    if (wanted && !failed && *block != NULL)
        sampled((uintptr_t)*block, size, CALLER);
    return failed;
}

static uint64_t whole_pages(size_t size)
{
    uint64_t page = (uint64_t)getpagesize();
    return ((uint64_t)size + page - 1) & ~(page - 1);
}

static void *map(void *address, size_t size, int protection, int flags, int fd, off_t offset, void *caller)
{
    if (!found() || next_mmap == NULL)
        return real_mmap(address, size, protection, flags, fd, offset);
    if (self.busy)
        return next_mmap(address, size, protection, flags, fd, offset);
    struct taken taken = {0};
    if ((flags & MAP_FIXED) && (flags & MAP_FIXED_NOREPLACE) != MAP_FIXED_NOREPLACE)
        forget_mapped((uintptr_t)address, (uintptr_t)address + whole_pages(size), &taken);
    /* What may not be accessed is addresses, not memory. */
    int counts = (flags & MAP_ANONYMOUS) && (protection & (PROT_READ | PROT_WRITE));
    int wanted = counts && !fits(whole_pages(size)) && chosen(whole_pages(size));
    void *mapped = next_mmap(address, size, protection, flags, fd, offset);
    settle_mapped(&taken, mapped == MAP_FAILED);
    if (mapped != MAP_FAILED && wanted)
        sampled_mapping((uintptr_t)mapped, whole_pages(size), caller);
    return mapped;
}

EXPORT void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return map(address, size, protection, flags, fd, offset, CALLER);
}

EXPORT void *mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return map(address, size, protection, flags, fd, offset, CALLER);
}

EXPORT int munmap(void *address, size_t size)
{
    if (!found() || next_munmap == NULL)
        return (int)syscall(SYS_munmap, address, size);
    if (self.busy)
        return next_munmap(address, size);
    struct taken taken;
    forget_mapped((uintptr_t)address, (uintptr_t)address + whole_pages(size), &taken);
    int failed = next_munmap(address, size);
    settle_mapped(&taken, failed);
    return failed;
}

EXPORT void *mremap(void *old, size_t old_size, size_t size, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    void *fixed_address = flags & MREMAP_FIXED ? va_arg(rest, void *) : NULL;
    va_end(rest);
    if (!found() || next_mremap == NULL)
        return (void *)syscall(SYS_mremap, old, old_size, size, flags, fixed_address);
    if (self.busy)
        return next_mremap(old, old_size, size, flags, fixed_address);
    int wanted = !fits(whole_pages(size)) && chosen(whole_pages(size));
    struct taken replaced = {0}, taken;
    if (flags & MREMAP_FIXED)
        forget_mapped((uintptr_t)fixed_address, (uintptr_t)fixed_address + whole_pages(size), &replaced);
    forget_mapped((uintptr_t)old, (uintptr_t)old + whole_pages(old_size), &taken);
    void *mapped = next_mremap(old, old_size, size, flags, fixed_address);
    settle_mapped(&replaced, mapped == MAP_FAILED);
    settle_mapped(&taken, mapped == MAP_FAILED);
    if (mapped != MAP_FAILED && wanted)
        sampled_mapping((uintptr_t)mapped, whole_pages(size), CALLER);
    return mapped;
}

/* Other code may come to the place of what is unloaded. */
EXPORT int dlclose(void *library)
{
    int failed = real_dlclose(library);
    rules_clear();
    return failed;
}
