/* What the recorder is told: records in a ring in memory that both have mapped, made for one process.
 *
 * The ring is a memfd that cannot shrink, handed over on a socket that is closed at once: no descriptor is left in the
 * program. Writing is a copy; who is late in reading loses the newest records, and is told how many. */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "sites.h"

enum { CAPACITY = 1 << 20, HIGH_DESCRIPTOR = 500 };

/* All in the machine's byte order. udamon.sites.ring reads it. */
struct head {
    char magic[8];
    uint64_t capacity; /* bytes of records, behind the head */
    uint64_t mean;     /* of the gaps between samples, bytes */
    uint64_t id;
    uint64_t parent; /* the ring of the process this one was forked from, 0 without one */
    uint64_t parent_ns;
    uint64_t begin_ns;
    uint64_t lost_allocated; /* samples that found no room */
    uint64_t lost_bytes;     /* their size */
    uint64_t lost_freed;     /* ends of samples that found no room */
    uint64_t python;         /* version of the interpreter, as PY_VERSION_HEX; 1 before 3.11, 0 without one */
    uint64_t python_told;    /* whether its calls are told */
    uint64_t unused[4];
    uint64_t written; /* bytes of records since the start */
    uint64_t unused_too[7];
    uint64_t read; /* the recorder's: bytes that it has taken */
};
_Static_assert(offsetof(struct head, read) == RING_READ_AT, "the recorder writes there");
_Static_assert(sizeof(struct head) <= RING_HEAD, "records follow");

static struct head *ring;
uint64_t ring_id, ring_last_ns;

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Away from the low numbers, which a thread that opens files may expect for itself. -1 where that fails. */
static int moved_up(int fd)
{
    if (fd < 0)
        return -1;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR);
    if (high < 0)
        high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return high;
}

/* Without waiting: the recorder may be busy, or gone. */
static int hand_over(const char *path, int memory)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return 0;
    strcpy(address.sun_path, path);
    int fd = moved_up(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd < 0)
        return 0;
    char byte = 'r';
    struct iovec data = {&byte, 1};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.head), &memory, sizeof memory);
    int done =
        connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && sendmsg(fd, &message, MSG_NOSIGNAL) == 1;
    close(fd);
    return done;
}

int ring_make(const char *path, uint64_t mean, uint64_t id, uint64_t parent, uint64_t parent_ns)
{
    int fd = moved_up((int)syscall(SYS_memfd_create, "udamon-sites", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (fd < 0)
        return 0;
    void *memory = MAP_FAILED;
    if (ftruncate(fd, RING_HEAD + CAPACITY) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        memory = real_mmap(NULL, RING_HEAD + CAPACITY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED) {
        struct head *made = memory;
        memcpy(made->magic, "UDMSITE1", 8);
        made->capacity = CAPACITY;
        made->mean = mean;
        made->id = id;
        made->parent = parent;
        made->parent_ns = parent_ns;
        made->begin_ns = now_ns();
        made->python = python_version;
        made->python_told = (uint64_t)python_told();
        if (hand_over(path, fd)) {
            ring = made;
            ring_last_ns = made->begin_ns;
        } else {
            real_munmap(memory, RING_HEAD + CAPACITY);
            memory = MAP_FAILED;
        }
    }
    close(fd);
    return memory != MAP_FAILED;
}

void ring_abandon(void)
{
    if (ring != NULL)
        real_munmap(ring, RING_HEAD + CAPACITY);
    ring = NULL;
}

static void copy_in(uint64_t position, const void *from, size_t size)
{
    char *records = (char *)ring + RING_HEAD;
    size_t at = position % CAPACITY, first = size < CAPACITY - at ? size : CAPACITY - at;
    memcpy(records + at, from, first);
    memcpy(records, (const char *)from + first, size - first);
}

int ring_write(uint32_t type, const uint64_t *words, size_t number, const void *bytes, size_t size, size_t reserve)
{
    if (ring == NULL)
        return 0;
    size_t length = (16 + number * sizeof *words + size + 7) & ~(size_t)7;
    uint64_t written = ring->written, used = written - __atomic_load_n(&ring->read, __ATOMIC_ACQUIRE);
    if (used > CAPACITY || length + reserve > CAPACITY - used)
        return 0;
    /* The position is in each record, so that a reader can tell one from what was there before. */
    uint64_t start[2] = {(uint64_t)length << 32 | type, written};
    copy_in(written, start, sizeof start);
    copy_in(written + sizeof start, words, number * sizeof *words);
    if (size > 0)
        copy_in(written + sizeof start + number * sizeof *words, bytes, size);
    __atomic_store_n(&ring->written, written + length, __ATOMIC_RELEASE);
    return 1;
}

void ring_lost(uint64_t bytes)
{
    if (ring == NULL)
        return;
    if (bytes == 0) {
        ring->lost_freed++;
        return;
    }
    ring->lost_allocated++;
    ring->lost_bytes += bytes;
}
