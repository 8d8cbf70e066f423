/* The floor of a check: the system calls it needs, in a bare loop and nothing else.
 *
 * floor PAGEMAP KPAGEFLAGS BITMAP PAGES N: PAGES is a file of page numbers (64 bits each), N of which make a tick.
 * Each tick: read the page map entry of each page, then the flags of each frame, then set each idle bit; wait as
 * a tick is waited for; then read each idle bit. That is all for a page that was not accessed (the page map has
 * to be read again for one that was). Prints the CPU time in ns of each of the four calls, over all pages.
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

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Add the time since `begin`, which becomes now. */
static void take(double *spent, double *begin)
{
    double now = cpu_ns();
    *spent += now - *begin;
    *begin = now;
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
    double spent[4] = {0};
    for (size_t first = 0; first + (size_t)per_tick <= count; first += (size_t)per_tick) {
        size_t last = first + (size_t)per_tick;
        double begin = cpu_ns();
        for (size_t i = first; i < last; i++)
            frames[i] = get(map, pages[i]) & ((UINT64_C(1) << 55) - 1);
        take(&spent[0], &begin);
        for (size_t i = first; i < last; i++)
            seen += get(flags, frames[i]);
        take(&spent[1], &begin);
        for (size_t i = first; i < last; i++) {
            uint64_t bit = UINT64_C(1) << frames[i] % 64;
            if (pwrite(bitmap, &bit, 8, (off_t)(frames[i] / 64 * 8)) != 8)
                return 3;
        }
        take(&spent[2], &begin);
        ppoll(&event, 1, &(struct timespec){0, 0}, NULL);
        for (size_t i = first; i < last; i++)
            seen += get(bitmap, frames[i] / 64);
        take(&spent[3], &begin);
    }
    printf("%.0f %.0f %.0f %.0f\n", spent[0], spent[1], spent[2], spent[3]);
    return seen == 42;
}
