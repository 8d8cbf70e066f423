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

int are_sound(const struct segment *segment, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (segment[i].size == 0 || segment[i].physical + segment[i].size < segment[i].physical ||
            (i > 0 && segment[i].physical < segment[i - 1].physical + segment[i - 1].size))
            return 0;
    return count > 0;
}

/* A program of BPF over the first `number` of the `most` places in the window. */
static void run(struct source *source, int fd, uint64_t *place, size_t number, size_t most)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.test.prog_fd = (uint32_t)fd;
    if (number < most)
        place[number] = 0;
    if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof attr) < 0)
        source->error = errno;
}

/* 1 where all of it was read. */
static int read_kcore(struct source *source, int fd, uint64_t place, void *to, size_t size)
{
    ssize_t got = pread(fd, to, size, (off_t)place);
    if (got < 0 && errno != EFAULT && errno != EIO && errno != EINVAL) /* those are of this address alone */
        source->error = errno;
    return got == (ssize_t)size;
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
            run(source, source->fd, go, asked, ENTRIES);
    } else {
        for (size_t i = 0; i < asked; i++)
            status[i] = read_kcore(source, source->fd, go[i], source->window + TABLES_AT + i * TABLE, TABLE) ? 0 : -1;
    }
    for (size_t i = 0; i < number; i++)
        if (where[i] >= 0 && (source->error || status[where[i]] != 0))
            where[i] = -1;
}

static void fetch_some_words(struct source *source, const uint64_t *physical, size_t number, uint64_t *word)
{
    uint64_t *words = (uint64_t *)(void *)(source->window + WORDS_AT);
    uint16_t from[WORDS];
    size_t asked = 0;
    for (size_t i = 0; i < number; i++) {
        uint64_t place = place_of(source, physical[i], sizeof(*word));
        word[i] = 0;
        if (place == 0)
            continue;
        from[asked] = (uint16_t)i;
        words[asked++] = place;
    }
    if (asked == 0)
        return;
    if (source->bpf)
        run(source, source->words_fd, words, asked, WORDS);
    for (size_t i = 0; i < asked && !source->error; i++) {
        if (!source->bpf && !read_kcore(source, source->words_fd, words[i], &words[i], sizeof(*words)))
            continue;
        word[from[i]] = words[i];
    }
}

void fetch_words(struct source *source, const uint64_t *physical, size_t number, uint64_t *word)
{
    source->reads += number;
    for (size_t done = 0; done < number; done += WORDS)
        fetch_some_words(source, physical + done, number - done < WORDS ? number - done : WORDS, word + done);
}
