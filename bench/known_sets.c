/* Working sets whose bytes are known: known_sets KIND MIB FILE. It makes the memory, writes a line with its pid, and
 * touches the hot part for ever. FILE is where it may keep a file of that size. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <time.h>
#include <unistd.h>

#define HUGE_BYTES (2UL << 20)

static size_t page;
static volatile unsigned char sink;

static void *checked(void *memory)
{
	if (memory == MAP_FAILED || !memory) {
		perror("known_sets");
		exit(1);
	}
	return memory;
}

static unsigned char *anonymous(size_t size, int shared, int advice)
{
	unsigned char *memory = checked(
		mmap(NULL, size, PROT_READ | PROT_WRITE, (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0));

	madvise(memory, size, advice);
	return memory;
}

static void store(unsigned char *memory, size_t size, size_t step)
{
	for (size_t at = 0; at < size; at += step)
		*(volatile unsigned char *)(memory + at) += 1;
}

static void load(const unsigned char *memory, size_t size, size_t step)
{
	for (size_t at = 0; at < size; at += step)
		sink = *(volatile const unsigned char *)(memory + at);
}

static void ready(void)
{
	printf("%d\n", getpid());
	fflush(stdout);
}

struct part {
	unsigned char *memory;
	size_t size;
};

static void *own_part(void *given)
{
	struct part *part = given;

	for (;;)
		store(part->memory, part->size, page);
	return NULL;
}

static int descriptor(const char *path, size_t size, int memory)
{
	int fd = memory ? memfd_create("known_sets", 0) : open(path, O_RDWR | O_CREAT | O_EXCL, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)size)) {
		perror("known_sets");
		exit(1);
	}
	return fd;
}

static unsigned char *mapped(int fd, size_t size, int flags)
{
	unsigned char *memory = checked(mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0));

	madvise(memory, size, MADV_RANDOM);
	return memory;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	const char *kind = argv[1];
	size_t size = strtoul(argv[2], NULL, 10) << 20, step;
	unsigned char *memory;
	int loads = 0;

	page = step = (size_t)sysconf(_SC_PAGESIZE);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!strncmp(kind, "anonymous", 9)) {
		memory = anonymous(size, 0, MADV_NOHUGEPAGE);
		store(memory, size, page);
		if (!strcmp(kind, "anonymous-half"))
			size /= 2;
		else if (!strcmp(kind, "anonymous-scattered"))
			step = 4 * page;
		loads = !strcmp(kind, "anonymous-read");
	} else if (!strcmp(kind, "locked")) {
		memory = anonymous(size, 0, MADV_NOHUGEPAGE);
		if (mlock(memory, size))
			return 1;
	} else if (!strcmp(kind, "heap")) {
		size_t count = size / 1008; /* what malloc takes for 1000 */
		unsigned char **pieces = checked(malloc(count * sizeof *pieces));

		for (size_t i = 0; i < count; i++) {
			pieces[i] = checked(malloc(1000));
			memset(pieces[i], 1, 1000);
		}
		ready();
		for (;;)
			for (size_t i = 0; i < count; i++)
				*(volatile unsigned char *)pieces[i] += 1;
	} else if (!strcmp(kind, "moving")) {
		size_t part = size / 4;

		memory = anonymous(size, 0, MADV_NOHUGEPAGE);
		store(memory, size, page);
		ready();
		for (;;)
			store(memory + time(NULL) / 2 % 4 * part, part, page);
	} else if (!strcmp(kind, "zero-page")) {
		memory = anonymous(size, 0, MADV_NOHUGEPAGE);
		loads = 1;
	} else if (!strncmp(kind, "huge", 4)) {
		memory = anonymous(size + HUGE_BYTES, 0, MADV_HUGEPAGE);
		memory += HUGE_BYTES - (size_t)memory % HUGE_BYTES;
		if (!strcmp(kind, "huge-one-byte"))
			step = HUGE_BYTES;
		store(memory, size, page);
	} else if (!strcmp(kind, "mappings")) {
		size_t part = size / 16;

		memory = anonymous(2 * size, 0, MADV_NOHUGEPAGE);
		store(memory, 2 * size, page);
		for (int i = 0; i < 16; i++)
			mprotect(memory + (2 * i + 1) * part, part, PROT_READ);
		ready();
		for (;;)
			for (int i = 0; i < 16; i++)
				store(memory + 2 * i * part, part, page);
	} else if (!strcmp(kind, "threads")) {
		struct part parts[4];
		pthread_t thread;

		memory = anonymous(size, 0, MADV_NOHUGEPAGE);
		store(memory, size, page);
		for (int i = 0; i < 4; i++) {
			parts[i] = (struct part){memory + i * (size / 4), size / 4};
			pthread_create(&thread, NULL, own_part, &parts[i]);
		}
		ready();
		for (;;)
			pause();
	} else if (!strncmp(kind, "forked", 6)) {
		int shared = !strcmp(kind, "forked-shared");
		pid_t parent = getpid();

		/* Half is what the parent made and all read, half is each one's own. */
		memory = anonymous(size / 2, shared, MADV_NOHUGEPAGE);
		store(memory, size / 2, page);
		for (int i = 0; i < 3; i++)
			if (!fork()) {
				unsigned char *own = anonymous(size / 8, 0, MADV_NOHUGEPAGE);

				prctl(PR_SET_PDEATHSIG, SIGKILL);
				if (getppid() != parent)
					return 1;
				for (;;) {
					load(memory, size / 2, page);
					store(own, size / 8, page);
				}
			}
		ready();
		for (;;)
			load(memory, size / 2, page);
	} else if (!strcmp(kind, "shared")) {
		memory = anonymous(size, 1, MADV_NOHUGEPAGE);
	} else if (!strcmp(kind, "memfd")) {
		memory = mapped(descriptor(argv[3], size, 1), size, MAP_SHARED);
	} else if (!strcmp(kind, "sysv")) {
		int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);

		memory = shmat(id, NULL, 0);
		shmctl(id, IPC_RMID, NULL);
		if (memory == (void *)-1)
			return 1;
	} else if (!strncmp(kind, "file", 4)) {
		int fd = descriptor(argv[3], size, 0);
		int private = !strcmp(kind, "file-private");

		memory = mapped(fd, size, MAP_SHARED);
		store(memory, size, page);
		munmap(memory, size);
		memory = mapped(fd, size, private ? MAP_PRIVATE : MAP_SHARED);
		unlink(argv[3]);
		store(memory, size, page);
		loads = !private;
		if (!strcmp(kind, "file-scattered"))
			step = 8 * page;
	} else {
		return 2;
	}
	store(memory, loads && !strcmp(kind, "zero-page") ? 0 : size, page);
	ready();
	for (;;) {
		if (loads)
			load(memory, size, step);
		else
			store(memory, size, step);
	}
}
