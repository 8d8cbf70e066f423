/* Two ways to read many tables by physical address at once: /proc/kcore, one pread for each, and a BPF program that
 * reads up to 512 in one call. Which addresses are RAM was told by Python; nothing else is ever read. */
#include "tables.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int within(const struct segment *s, uint64_t physical, uint64_t size)
{
    return physical >= s->physical && s->size >= size && physical - s->physical <= s->size - size;
}

uint64_t place_of(struct source *source, uint64_t physical, uint64_t size)
{
    size_t low = 0, high = source->segments;
    if (source->last >= high || !within(&source->segment[source->last], physical, size)) {
        while (low < high) { /* the last segment that begins at or before it */
            size_t middle = (low + high) / 2;
            if (source->segment[middle].physical <= physical)
                low = middle + 1;
            else
                high = middle;
        }
        if (low == 0 || !within(&source->segment[low - 1], physical, size))
            return 0;
        source->last = low - 1;
    }
    const struct segment *s = &source->segment[source->last];
    return s->place + (physical - s->physical);
}

static void run(struct source *source, size_t number)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.test.prog_fd = (uint32_t)source->fd;
    if (number < ENTRIES)
        ((uint64_t *)(void *)source->window)[number] = 0;
    if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof attr) < 0)
        source->error = errno;
}

void fetch(struct source *source, const uint64_t *physical, size_t number, int *where)
{
    uint64_t *go = (uint64_t *)(void *)source->window, place;
    int64_t *status = (int64_t *)(void *)(source->window + STATUS_AT);
    size_t asked = 0;
    source->reads += number;
    for (size_t i = 0; i < number; i++) {
        where[i] = -1;
        if ((place = place_of(source, physical[i], TABLE)) == 0)
            continue;
        where[i] = (int)asked;
        status[asked] = -1;
        go[asked++] = place;
    }
    if (source->bpf) {
        if (asked > 0)
            run(source, asked);
    } else {
        for (size_t i = 0; i < asked; i++) {
            ssize_t got = pread(source->fd, source->window + TABLES_AT + i * TABLE, TABLE, (off_t)go[i]);
            status[i] = got == TABLE ? 0 : -1;
            if (got < 0 && errno != EFAULT && errno != EIO && errno != EINVAL) /* those are of this address alone */
                source->error = errno;
        }
    }
    for (size_t i = 0; i < number; i++)
        if (where[i] >= 0 && (source->error || status[where[i]] != 0))
            where[i] = -1;
}
