/* Many processes in one call: forget which of their pages were accessed (clear_refs), and how much of each was accessed
 * since (smaps_rollup; by mappings only where that is asked for). Nothing is opened for longer than the look at one process.
 *
 * An open directory of /proc belongs to one process for good, so once its start time was compared there a pid that is used
 * again cannot slip in. */
#define ARGUMENTS(ARRAY, VALUE) VALUE(proc, i) ARRAY(pid, i, READ, "n") ARRAY(start_time, Q, READ, "n") ARRAY(what, B, READ, "n")
#define RESULTS(ARRAY, VALUE)                                                                                         \
    ARRAY(error, i) ARRAY(resident, Q) ARRAY(proportional, Q) ARRAY(private, Q) ARRAY(anonymous, Q) ARRAY(merged, Q)  \
    ARRAY(huge, Q) ARRAY(shmem, Q) ARRAY(swapped, Q) ARRAY(referenced, Q) ARRAY(look_ns, Q) ARRAY(clear_ns, Q)        \
    ARRAY(guest, B) ARRAY(idle, Q) ARRAY(sure, Q)
enum { LOOK_GUEST = 1, LOOK = 2, LOOK_CLEAR = 4, LOOK_FLUSH = 8, LOOK_SPLIT = 16 };
#define CONSTANTS(C)                                                                                                  \
    C(LOOK_GUEST, LOOK_GUEST) C(LOOK, LOOK) C(LOOK_CLEAR, LOOK_CLEAR) C(LOOK_FLUSH, LOOK_FLUSH) C(LOOK_SPLIT, LOOK_SPLIT)
#include "clock.h"
#include "interface.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STAT_BYTES = 1024, ROLLUP_BYTES = 4096, MAPS_BYTES = 1 << 16 };
static const char vcpu[] = "anon_inode:kvm-vcpu";

static int open_at(int directory, const char *name, int flags)
{
    int fd;
    while ((fd = openat(directory, name, flags | O_CLOEXEC)) < 0 && errno == EINTR)
        ;
    return fd;
}

/* What a small file holds, as text; its length, -1 with errno set. */
static ssize_t read_text(int directory, const char *name, char *text, size_t room)
{
    int fd = open_at(directory, name, O_RDONLY);
    if (fd < 0)
        return -1;
    size_t length = 0;
    ssize_t got = 0;
    while (length < room - 1 && ((got = read(fd, text + length, room - 1 - length)) > 0 || (got < 0 && errno == EINTR)))
        length += got > 0 ? (size_t)got : 0;
    int number = errno;
    close(fd);
    errno = number;
    text[length] = 0;
    return got < 0 ? -1 : (ssize_t)length;
}

struct stat_line {
    char state;
    long threads;
    uint64_t start_time;
};

static int read_stat(int directory, struct stat_line *stat)
{
    char text[STAT_BYTES];
    if (read_text(directory, "stat", text, sizeof(text)) < 0)
        return -1;
    const char *at = strrchr(text, ')'); /* a name may hold anything, parentheses too */
    errno = ESRCH;
    if (at == NULL || at[1] != ' ')
        return -1;
    stat->state = at[2];
    for (int field = 2; field < 22 && at != NULL; field++) {
        at = strchr(at + 1, ' ');
        if (field == 19 && at != NULL)
            stat->threads = strtol(at, NULL, 10);
    }
    if (at == NULL)
        return -1;
    stat->start_time = strtoull(at, NULL, 10);
    return 0;
}

static int has_ended(char state)
{
    return state == 'Z' || state == 'X' || state == 'x';
}

/* The memory of a process whose main thread ended before the others shows at one of these. */
static int open_living_thread(int directory)
{
    int tasks = open_at(directory, "task", O_RDONLY | O_DIRECTORY), found = -1;
    DIR *listed = tasks >= 0 ? fdopendir(tasks) : NULL;
    if (listed == NULL) {
        if (tasks >= 0)
            close(tasks);
        return -1;
    }
    for (struct dirent *entry; found < 0 && (entry = readdir(listed)) != NULL;) {
        struct stat_line stat;
        if (!isdigit((unsigned char)entry->d_name[0]) || (found = open_at(tasks, entry->d_name, O_PATH | O_DIRECTORY)) < 0)
            continue;
        if (read_stat(found, &stat) < 0 || has_ended(stat.state)) {
            close(found);
            found = -1;
        }
    }
    closedir(listed);
    errno = ESRCH;
    return found;
}

/* The directory that shows the memory of exactly this process; -1 with errno set. */
static int open_process(int proc, int pid, uint64_t start_time)
{
    char name[16];
    struct stat_line stat;
    snprintf(name, sizeof(name), "%d", pid);
    int directory = open_at(proc, name, O_PATH | O_DIRECTORY), thread = -1, number;
    if (directory < 0)
        return -1;
    if (read_stat(directory, &stat) == 0) {
        if (stat.start_time == start_time && !has_ended(stat.state))
            return directory;
        errno = ESRCH;
        if (stat.start_time == start_time && stat.threads > 1)
            thread = open_living_thread(directory);
    }
    number = errno;
    close(directory);
    errno = number;
    return thread;
}

/* Whether it runs a virtual machine; -1 with errno set. */
static int is_guest(int directory)
{
    char text[MAPS_BYTES + sizeof(vcpu)];
    int fd = open_at(directory, "maps", O_RDONLY), found = 0;
    if (fd < 0)
        return -1;
    size_t kept = 0;
    for (ssize_t got; !found && ((got = read(fd, text + kept, MAPS_BYTES)) > 0 || (got < 0 && errno == EINTR));) {
        size_t length = kept + (got > 0 ? (size_t)got : 0);
        found = memmem(text, length, vcpu, sizeof(vcpu) - 1) != NULL;
        kept = length < sizeof(vcpu) - 1 ? length : sizeof(vcpu) - 1;
        memmove(text, text + length - kept, kept); /* it may lie across two reads */
    }
    close(fd);
    return found;
}

static void take_amount(struct results *out, size_t i, const char *line)
{
    const struct {
        const char *name;
        uint64_t *into;
    } known[] = {
        {"Rss:", out->resident.at},         {"Pss:", out->proportional.at},     {"Private_Clean:", out->private.at},
        {"Private_Dirty:", out->private.at}, {"Anonymous:", out->anonymous.at}, {"KSM:", out->merged.at},
        {"AnonHugePages:", out->huge.at},   {"ShmemPmdMapped:", out->huge.at},  {"FilePmdMapped:", out->huge.at},
        {"Pss_Shmem:", out->shmem.at},      {"SwapPss:", out->swapped.at},      {"Referenced:", out->referenced.at},
    };
    for (size_t k = 0; k < sizeof(known) / sizeof(*known); k++) {
        size_t length = strlen(known[k].name);
        if (strncmp(line, known[k].name, length) == 0) {
            known[k].into[i] += strtoull(line + length, NULL, 10) << 10;
            return;
        }
    }
}

/* What is summed over mappings. */
struct mapping {
    uint64_t resident, private, referenced, anonymous, merged;
    uint64_t start, end;
};

/* Private pages that were not accessed, at least, and those that the process itself accessed, at least. */
static void take_bounds(const struct mapping *m, struct results *out, size_t i)
{
    uint64_t shared = m->resident - (m->private < m->resident ? m->private : m->resident), doubtful = shared + m->merged;
    uint64_t own = m->anonymous > doubtful ? m->anonymous - doubtful : 0, others = m->resident - (own < m->resident ? own : m->resident);
    out->idle.at[i] += m->private > m->referenced ? m->private - m->referenced : 0;
    out->sure.at[i] += m->referenced > others ? m->referenced - others : 0;
}

static void take_line(struct mapping *m, const char *line, struct results *out, size_t i)
{
    const struct {
        const char *name;
        uint64_t *into;
    } known[] = {
        {"Rss:", &m->resident},           {"Private_Clean:", &m->private}, {"Private_Dirty:", &m->private},
        {"Referenced:", &m->referenced}, {"Anonymous:", &m->anonymous},   {"KSM:", &m->merged},
    };
    if (!isupper((unsigned char)line[0])) { /* the next one begins */
        char *dash = NULL;
        struct mapping next = {.start = strtoull(line, &dash, 16)};
        next.end = *dash == '-' ? strtoull(dash + 1, NULL, 16) : 0;
        if (next.start >= m->end)
            take_bounds(m, out, i);
        else if (next.start < m->start) /* what was counted already grew, too: 0 is a lower bound of both */
            out->idle.at[i] = out->sure.at[i] = 0;
        *m = next; /* in between, the last one grew while it was read, and comes again */
        return;
    }
    for (size_t k = 0; k < sizeof(known) / sizeof(*known); k++) {
        size_t length = strlen(known[k].name);
        if (strncmp(line, known[k].name, length) == 0) {
            *known[k].into += strtoull(line + length, NULL, 10) << 10;
            return;
        }
    }
}

/* The same by mappings: tighter bounds, for pages of one are none of another. */
static int look_by_mappings(int directory, struct results *out, size_t i)
{
    char text[MAPS_BYTES + 1];
    struct mapping mapping = {0};
    size_t kept = 0;
    ssize_t got;
    int fd = open_at(directory, "smaps", O_RDONLY), whole = 1;
    if (fd < 0)
        return -1;
    out->idle.at[i] = out->sure.at[i] = 0;
    while ((got = read(fd, text + kept, MAPS_BYTES - kept)) > 0 || (got < 0 && errno == EINTR)) {
        size_t length = kept + (got > 0 ? (size_t)got : 0);
        char *line = text, *end;
        text[length] = 0;
        while ((end = memchr(line, '\n', length - (size_t)(line - text))) != NULL) {
            *end = 0;
            if (whole)
                take_line(&mapping, line, out, i);
            whole = 1;
            line = end + 1;
        }
        kept = length - (size_t)(line - text);
        if (kept == MAPS_BYTES) { /* a name of such length: the rest of its line is none */
            take_line(&mapping, line, out, i);
            kept = whole = 0;
        }
        memmove(text, line, kept);
    }
    int number = errno;
    close(fd);
    errno = number;
    take_bounds(&mapping, out, i);
    return got < 0 ? -1 : 0;
}

static int look_at(int directory, struct results *out, size_t i)
{
    char text[ROLLUP_BYTES];
    ssize_t length = read_text(directory, "smaps_rollup", text, sizeof(text));
    if (length < 0)
        return -1;
    if (length == 0) { /* its memory has gone */
        errno = ESRCH;
        return -1;
    }
    for (const char *line = strchr(text, '\n'); line != NULL; line = strchr(line + 1, '\n'))
        take_amount(out, i, line + 1);
    if (out->referenced.at[i] > out->resident.at[i])
        out->referenced.at[i] = out->resident.at[i];
    const struct mapping all = {out->resident.at[i], out->private.at[i], out->referenced.at[i], out->anonymous.at[i],
                                out->merged.at[i], 0, 0};
    take_bounds(&all, out, i);
    return 0;
}

static int clear(int directory, int flush)
{
    int fd = open_at(directory, "clear_refs", O_WRONLY), failed;
    if (fd < 0)
        return -1;
    failed = write(fd, "1", 1) != 1;
    int number = errno;
    if (!failed && flush)
        (void)!write(fd, "4", 1); /* where the kernel refuses it, the TLB stays as it is */
    close(fd);
    errno = number;
    return failed ? -1 : 0;
}

static int all_of(int directory, struct arguments *in, struct results *out, size_t i)
{
    int what = in->what.at[i];
    if (what & LOOK_GUEST) {
        int found = is_guest(directory);
        if (found < 0)
            return -1;
        out->guest.at[i] = (uint8_t)found;
    }
    int64_t begin = now_ns(), end;
    if (what & LOOK) {
        if (look_at(directory, out, i) < 0 || ((what & LOOK_SPLIT) && look_by_mappings(directory, out, i) < 0))
            return -1;
        end = now_ns();
        out->look_ns.at[i] = (uint64_t)(end - begin);
        begin = end;
    }
    if (what & LOOK_CLEAR) {
        if (clear(directory, (what & LOOK_FLUSH) && !out->guest.at[i]) < 0)
            return -1;
        out->clear_ns.at[i] = (uint64_t)(now_ns() - begin);
    }
    return 0;
}

static PyObject *look_processes(PyObject *module, struct arguments *in)
{
    struct results out = {0};
    size_t n = in->pid.count;
    out.error.count = out.resident.count = out.proportional.count = out.private.count = out.anonymous.count = n;
    out.merged.count = out.huge.count = out.shmem.count = out.swapped.count = out.referenced.count = n;
    out.look_ns.count = out.clear_ns.count = out.guest.count = out.idle.count = out.sure.count = n;
    if (results_make(&look_processes_interface, &out) < 0)
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    for (size_t i = 0; i < n; i++) {
        int directory = open_process(in->proc, in->pid.at[i], in->start_time.at[i]);
        if (directory < 0 || all_of(directory, in, &out, i) < 0)
            out.error.at[i] = errno == ENOENT && directory < 0 ? ESRCH : errno;
        if (directory >= 0)
            close(directory);
    }
    Py_END_ALLOW_THREADS
    return results_give(&look_processes_interface, module, &out);
}

INTERFACE(look_processes, "ProcessLooks", "Clear and read what many processes accessed; see _native.pyi.")
