/* The floor of a check: the system calls that the sampler makes, in a bare loop and nothing else.
 *
 * floor PAGEMAP KPAGEFLAGS BITMAP PAGES FRAMES MAP FLAGS SET READ ROUNDS: in each of ROUNDS rounds, MAP reads of
 * the page map, FLAGS reads of the flags, SET writes and READ reads of the bitmap, 8 bytes each, at random
 * places in ascending order, as the sampler's sorted batches are, and one poll, which is how a tick is waited for. Prints the CPU time of all in nanoseconds.
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

static int fd[3];
static uint64_t state = 88172645463325252u; /* xorshift64 (Marsaglia 2003) */

static void calls(int kind, long count, uint64_t items)
{
    for (long i = 0; i < count; i++) {
        /* Somewhere in the i-th of `count` equal parts: places that caches do not know from the last round. */
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        uint64_t value = 1, part = items / (uint64_t)count;
        uint64_t place = (part * (uint64_t)i + (state >> 32) % part) * 8;
        ssize_t got = kind == 3 ? pwrite(fd[2], &value, 8, (off_t)place)
                                : pread(fd[kind == 4 ? 2 : kind], &value, 8, (off_t)place);
        if (got != 8) {
            perror("floor");
            exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 11)
        return 2;
    long number[11];
    for (int i = 4; i < 11; i++)
        number[i] = atol(argv[i]);
    for (int i = 0; i < 3; i++)
        if ((fd[i] = open(argv[1 + i], i == 2 ? O_RDWR : O_RDONLY)) < 0) {
            perror(argv[1 + i]);
            return 1;
        }
    uint64_t pages = (uint64_t)number[4], frames = (uint64_t)number[5];
    struct timespec begin, end;
    struct pollfd event = {.fd = eventfd(0, 0), .events = POLLIN};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    for (long round = 0; round < number[10]; round++) {
        calls(0, number[6], pages);
        calls(1, number[7], frames);
        calls(3, number[8], frames / 64);
        calls(4, number[9], frames / 64);
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        ppoll(&event, 1, &(struct timespec){0, 0}, NULL);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    printf("%lld\n", (end.tv_sec - begin.tv_sec) * 1000000000LL + end.tv_nsec - begin.tv_nsec);
    return 0;
}
