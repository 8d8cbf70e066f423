/* The floor of a check: the system calls it needs, in a bare loop and nothing else.
 *
 * floor PAGEMAP KPAGEFLAGS BITMAP PAGES N: PAGES is a file of page numbers (64 bits each), N of which make a tick.
 * Each tick: for each page, read its page map entry and its frame's flags and set its idle bit; wait as a tick
 * is waited for; then for each page read the idle bit and the page map entry again. Prints the CPU time in ns.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static uint64_t get(int fd, uint64_t index)
{
    uint64_t value = 0;
    if (pread(fd, &value, 8, (off_t)(index * 8)) != 8)
        exit(3);
    return value;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    int map = open(argv[1], O_RDONLY), flags = open(argv[2], O_RDONLY), bitmap = open(argv[3], O_RDWR);
    int list = open(argv[4], O_RDONLY);
    long per_tick = atol(argv[5]);
    if (map < 0 || flags < 0 || bitmap < 0 || list < 0 || per_tick < 1)
        return 2;
    size_t size = (size_t)lseek(list, 0, SEEK_END), count = size / 8;
    uint64_t *pages = malloc(size), *frames = malloc(size), seen = 0;
    if (pread(list, pages, size, 0) != (ssize_t)size)
        return 2;
    struct pollfd event = {.fd = eventfd(0, 0), .events = POLLIN};
    struct timespec begin, end;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    for (size_t first = 0; first + (size_t)per_tick <= count; first += (size_t)per_tick) {
        for (size_t i = first; i < first + (size_t)per_tick; i++) {
            frames[i] = get(map, pages[i]) & ((UINT64_C(1) << 55) - 1);
            seen += get(flags, frames[i]);
            uint64_t bit = UINT64_C(1) << frames[i] % 64;
            if (pwrite(bitmap, &bit, 8, (off_t)(frames[i] / 64 * 8)) != 8)
                return 3;
        }
        ppoll(&event, 1, &(struct timespec){0, 0}, NULL);
        for (size_t i = first; i < first + (size_t)per_tick; i++)
            seen += get(bitmap, frames[i] / 64) + get(map, pages[i]);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    printf("%lld\n", (end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec);
    return seen == 42;
}
