/* Allocates in known ways for tests of record --sites, and prints what is alive: "live ADDRESS SIZE" lines. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define SITE __attribute__((noinline))

static void live(void *at, size_t size)
{
    char text[80];
    int length = snprintf(text, sizeof text, "live %d %lu %zu\n", getpid(), (unsigned long)at, size);
    if (write(1, text, length) != length)
        _exit(3);
}

SITE static void kinds(void)
{
    void *p = NULL;
    live(malloc(MIB), MIB);
    live(calloc(2, MIB), 2 * MIB);
    live(realloc(NULL, MIB), MIB);
    live(reallocarray(NULL, 3, MIB), 3 * MIB);
    live(memalign(64, MIB), MIB);
    live(aligned_alloc(4096, MIB), MIB);
    live(valloc(MIB), MIB);
    live(pvalloc(MIB), MIB);
    if (posix_memalign(&p, 128, MIB) == 0)
        live(p, MIB);
    live(mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), MIB);
    live(strdup("x") ? malloc(5 * MIB) : NULL, 5 * MIB);
    mmap(NULL, 64 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* addresses, not memory */
    free(malloc(MIB));
    free(aligned_alloc(64, MIB));
    free(NULL);
    free(realloc(malloc(MIB), 7 * MIB));
    volatile size_t all = (size_t)-1;
    if (malloc(all / 2) != NULL || calloc(all, 2) != NULL || reallocarray(NULL, all, 2) != NULL)
        _exit(4);
}

SITE static void moves(void)
{
    char *p = malloc(MIB);
    p = realloc(p, MIB + 4096); /* in place, or not */
    char *q = malloc(2 * MIB);
    volatile size_t most = (size_t)-1 / 2;
    if (realloc(q, most) != NULL) /* fails: q stays */
        _exit(4);
    char *r = malloc(MIB);
    r = realloc(r, 0); /* freed */
    live(p, MIB + 4096), live(q, 2 * MIB);
    char *m = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(m + 2 * MIB, 2 * MIB); /* in the middle */
    live(m, 2 * MIB), live(m + 4 * MIB, 4 * MIB);
    mmap(m + 6 * MIB, MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    char *n = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    n = mremap(n, MIB, 16 * MIB, MREMAP_MAYMOVE);
    live(n, 16 * MIB);
    char *stays = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mremap(stays, MIB, (size_t)1 << 60, 0) != MAP_FAILED)
        _exit(4);
    live(stays, MIB);
    char *kept = mmap(NULL, 3 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mmap(kept + MIB, MIB, PROT_READ, MAP_PRIVATE | MAP_FIXED, -1, 0) != MAP_FAILED) /* of no file */
        _exit(4);
    live(kept, 3 * MIB);
    char *room = mmap(NULL, 16 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *row[6];
    for (int i = 0; i < 6; i++)
        row[i] = mmap(room + 2 * i * MIB, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (munmap(row[0] + 1, 5 * MIB) == 0 || /* each of several at once */
        mremap(row[4], MIB, 4 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED, row[0] + 1) != MAP_FAILED ||
        mmap(row[2], 6 * MIB, PROT_READ, MAP_PRIVATE | MAP_FIXED, -1, 0) != MAP_FAILED)
        _exit(4);
    munmap(row[0], 3 * MIB); /* two of them, after all */
    for (int i = 2; i < 6; i++)
        live(row[i], MIB);
}

static int churns = 300;
/* Fills the ring, which nobody reads, and then takes the second half of a mapping of 64 KiB away. */
SITE static void cut(void)
{
    char *mapping = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 20000; i++)
        if (malloc(1000) == NULL)
            _exit(4);
    munmap(mapping + (1 << 15), 1 << 15);
}

static void *churn(void *number)
{
    void *kept[64] = {0};
    unsigned seed = (unsigned)(size_t)number;
    for (int i = 0; i < churns; i++) {
        int at = rand_r(&seed) % 64;
        free(kept[at]);
        kept[at] = malloc(65536);
    }
    for (int at = 0; at < 64; at++)
        if (kept[at])
            live(kept[at], 65536);
    return NULL;
}

static void threads(void)
{
    pthread_t id[4];
    for (size_t i = 0; i < 4; i++)
        pthread_create(&id[i], NULL, churn, (void *)i);
    for (int i = 0; i < 4; i++)
        pthread_join(id[i], NULL);
}

static void forks(int raw)
{
    char *a = malloc(MIB), *b = malloc(2 * MIB);
    pid_t child = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();
    if (child == 0) {
        free(a);
        live(b, 2 * MIB);
        live(malloc(3 * MIB), 3 * MIB);
        _exit(0);
    }
    live(a, MIB), live(b, 2 * MIB), live(malloc(4 * MIB), 4 * MIB);
    waitpid(child, NULL, 0);
}

static volatile int stop;
static void *hammer(void *unused)
{
    (void)unused;
    while (!stop)
        free(malloc(65536));
    return NULL;
}

/* Forks while other threads are in the midst of anything. */
static int many_forks(void)
{
    pthread_t id[3];
    int bad = 0, status;
    for (int i = 0; i < 3; i++)
        pthread_create(&id[i], NULL, hammer, NULL);
    for (int i = 0; i < 300; i++) {
        pid_t child = fork();
        if (child == 0) {
            for (int k = 0; k < 20; k++)
                free(malloc(65536));
            _exit(7);
        }
        waitpid(child, &status, 0);
        bad += !WIFEXITED(status) || WEXITSTATUS(status) != 7;
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(id[i], NULL);
    return bad;
}

/* Nothing of the program's own is touched: errno, descriptors, and closed standard streams. */
static int manners(void)
{
    int before = open("/dev/zero", O_RDONLY);
    close(before);
    errno = EXDEV;
    char *p = malloc(MIB);
    int kept = errno == EXDEV;
    free(p);
    kept = kept && errno == EXDEV;
    int after = open("/dev/zero", O_RDONLY);
    for (int fd = 3; fd < 1024; fd++)
        if (fd != after && fcntl(fd, F_GETFD) != -1)
            return 5;
    return kept && before == after ? 0 : 6;
}

SITE static void small(size_t number)
{
    for (size_t i = 0; i < number; i++) {
        void **p = malloc(64);
        *p = p;
    }
}

#define BIG(n)                                                                                                        \
    SITE char *site_##n(size_t size)                                                                                  \
    {                                                                                                                 \
        /* The last page of the mapping that malloc makes is closed, so that each is one of its own. */               \
        char *p = malloc(size + 4080);                                                                                \
        memset(p, 1, size);                                                                                           \
        mprotect((char *)(((size_t)p + size + 4079) & ~(size_t)4095), 4096, PROT_NONE);                               \
        return p;                                                                                                     \
    }
BIG(0) BIG(1) BIG(2) BIG(3) BIG(4) BIG(5) BIG(6) BIG(7) BIG(8) BIG(9)

/* Ten sites of (4 + n) MiB; those of even numbers are read on and on. */
static void ten(double seconds)
{
    static char *(*const make[])(size_t) = {site_0, site_1, site_2, site_3, site_4,
                                            site_5, site_6, site_7, site_8, site_9};
    volatile char *at[10];
    struct timespec now;
    for (int n = 0; n < 10; n++)
        at[n] = make[n]((4 + n) * MIB);
    clock_gettime(CLOCK_MONOTONIC, &now);
    double end = now.tv_sec + now.tv_nsec / 1e9 + seconds;
    do {
        for (int n = 0; n < 10; n += 2)
            for (size_t i = 0; i < (4 + n) * MIB; i += 4096)
                (void)at[n][i];
        usleep(5000);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec + now.tv_nsec / 1e9 < end);
}

/* A size says by which way an allocation came: of the six lowest bits of `way` each chooses the function that calls on,
 * one of which has more on the stack from time to time. */
enum { WAYS = 64, BITS = 6, FIRST = 1 << 16 };

SITE static void changing(unsigned way, unsigned at);

SITE static void steady(unsigned way, unsigned at)
{
    volatile char room[64];
    room[0] = 0;
    if (at == BITS)
        live(malloc(FIRST + 16 * way), FIRST + 16 * way);
    else if (way >> at & 1)
        changing(way, at + 1);
    else
        steady(way, at + 1);
    room[1] = 0;
}

SITE static void changing(unsigned way, unsigned at)
{
    volatile char *room = __builtin_alloca(16 + (way + at) % 5 * 16);
    room[0] = 0;
    if (at == BITS)
        live(malloc(FIRST + 16 * way), FIRST + 16 * way);
    else if (way >> at & 1)
        changing(way, at + 1);
    else
        steady(way, at + 1);
    room[1] = 0;
}

static void *all_ways(void *from)
{
    for (int round = 0; round < 3; round++)
        for (unsigned way = 0; way < WAYS; way++)
            steady(way + (unsigned)(size_t)from, 0);
    return NULL;
}

static void ways(void)
{
    pthread_t thread;
    all_ways(NULL);
    if (pthread_create(&thread, NULL, all_ways, (void *)(size_t)WAYS) == 0)
        pthread_join(thread, NULL);
}

SITE static void allocate(size_t size)
{
    live(malloc(size), size);
}

SITE static void *somewhere(void)
{
    return __builtin_return_address(0);
}

/* One library and then another at its place, whose function has more on the stack, and has code of this program there. */
static int reload(char **paths)
{
    void *before = NULL;
    for (int i = 0; i < 2; i++) {
        void (*call)(void (*)(size_t), size_t, void *);
        void *library = dlopen(paths[i], RTLD_NOW), *found = library ? dlsym(library, "call") : NULL;
        if (found == NULL || (before != NULL && found != before))
            return 3;
        before = found;
        memcpy(&call, &found, sizeof call);
        for (int round = 0; round < 3; round++)
            call(allocate, MIB + (size_t)i * 4096, somewhere());
        dlclose(library);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "kinds") == 0)
        kinds();
    else if (strcmp(mode, "moves") == 0)
        moves();
    else if (strcmp(mode, "cut") == 0)
        cut();
    else if (strcmp(mode, "ways") == 0)
        ways();
    else if (strcmp(mode, "reload") == 0)
        return reload(argv + 2);
    else if (strcmp(mode, "threads") == 0) {
        churns = argc > 2 ? atoi(argv[2]) : churns;
        threads();
    }
    else if (strcmp(mode, "fork") == 0 || strcmp(mode, "clone") == 0)
        forks(mode[0] == 'c');
    else if (strcmp(mode, "forks") == 0)
        return many_forks();
    else if (strcmp(mode, "manners") == 0)
        return manners();
    else if (strcmp(mode, "small") == 0)
        small(strtoul(argv[2], NULL, 10));
    else if (strcmp(mode, "ten") == 0)
        ten(atof(argv[2]));
    else if (strcmp(mode, "sleep") == 0)
        sleep(1);
    else if (strcmp(mode, "exec") == 0) {
        malloc(9 * MIB);
        execl(argv[0], argv[0], "kinds", NULL);
    } else if (strcmp(mode, "vfork") == 0) {
        live(malloc(MIB), MIB);
        for (int i = 0; i < 20; i++) {
            pid_t child = vfork();
            if (child == 0)
                execl("/bin/true", "true", NULL);
            waitpid(child, NULL, 0);
        }
        live(malloc(2 * MIB), 2 * MIB);
    } else
        return 2;
    return 0;
}
