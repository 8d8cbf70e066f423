/* Call stacks, by the unwind tables that every program has (.eh_frame), and the modules that their code lies in. */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>
#include "sites.h"

enum { MOST_OWN = 8 };

struct walk {
    struct stack *stack;
    uintptr_t caller; /* what called the hook: frames before it are this library's */
    uintptr_t inside; /* stop in the function whose stack frame has this address; 0: nowhere */
};

/* Append a frame, and say whether others may follow. `exact`: its instruction was interrupted, and called nothing. */
static int append(const struct walk *walk, uintptr_t ip, uintptr_t sp, int exact)
{
    struct stack *stack = walk->stack;
    if (walk->inside != 0 && sp > walk->inside) {
        if (stack->number > 0)
            stack->number--; /* the stack frame before had it: the interpreter's loop, which its own calls stand for */
        return 0;
    }
    /* A return address lies behind the call, perhaps in the next line or function. */
    stack->pc[stack->number++] = exact ? ip : ip - 1;
    return stack->number < RING_MAX_FRAMES;
}

static _Unwind_Reason_Code unwound(struct _Unwind_Context *context, void *into)
{
    const struct walk *walk = into;
    int exact = 0;
    uintptr_t ip = _Unwind_GetIPInfo(context, &exact);
    if (walk->stack->number == 0 && ip != walk->caller)
        return _URC_NO_REASON;
    return ip != 0 && append(walk, ip, _Unwind_GetCFA(context), exact) ? _URC_NO_REASON : _URC_END_OF_STACK;
}

/* From this function outwards; 0 where the rules do not suffice. */
static inline __attribute__((always_inline)) int by_rules(const struct walk *walk)
{
    struct frame frame = {0, 0, 0};
#ifdef __x86_64__
    __asm__ volatile("lea 1f(%%rip), %0\n1:\tmov %%rsp, %1\n\tmov %%rbp, %2"
                     : "=&r"(frame.ip), "=&r"(frame.sp), "=&r"(frame.bp));
#endif
    for (int own = 0; frame.ip != walk->caller; own++)
        if (own == MOST_OWN || frame_outside(&frame) != FRAME_FOUND)
            return 0;
    while (append(walk, frame.ip, frame.sp, 0)) {
        int found = frame_outside(&frame);
        if (found != FRAME_FOUND)
            return found == STACK_ENDS;
    }
    return 1;
}

void stack_take(struct stack *stack, void *caller)
{
    if (python_arena(caller)) {
        stack->number = 1;
        stack->pc[0] = PYTHON_CALL;
        stack->code[0] = NULL;
        stack->line[0] = 0;
        stack->hash = PYTHON_CALL | 1;
        return;
    }
    struct python now = python_now();
    struct walk walk = {stack, (uintptr_t)caller, now.inside > (uintptr_t)&walk ? now.inside : 0};
    stack->number = 0;
    if (!by_rules(&walk)) {
        stack->number = 0;
        _Unwind_Backtrace(unwound, &walk);
    }
    if (stack->number == 0) { /* the unwinder did not get as far: the caller at least is known */
        stack->pc[0] = (uintptr_t)caller - 1;
        stack->number = 1;
    }
    if (now.frame != NULL)
        python_calls(stack, &now);
    uint64_t hash = stack->number;
    for (uint32_t i = 0; i < stack->number; i++)
        hash = mix64(hash * 0x9E3779B97F4A7C15u + stack->pc[i]);
    stack->hash = hash | 1; /* 0 is no stack */
}

/* The modules that the ring has. They are few, and those of one stack fewer. */
static struct module {
    uintptr_t start, end;
    const void *map;
} modules[256];
static uint32_t modules_used;

static int known(uintptr_t pc, const void *map)
{
    for (uint32_t i = 0; i < modules_used; i++)
        if (modules[i].start <= pc && pc < modules[i].end && modules[i].map == map)
            return 1;
    return 0;
}

void modules_clear(void)
{
    modules_used = 0;
}

/* The build id in a note of a loaded ELF file whose head is at `start`; its length, 0 without one. */
static size_t build_id(uintptr_t start, uintptr_t end, uintptr_t bias, const unsigned char **id)
{
    const ElfW(Ehdr) *head = (const void *)start;
    if (end - start < 4096 || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
        head->e_phoff + (uint64_t)head->e_phnum * sizeof(ElfW(Phdr)) > 4096)
        return 0;
    const ElfW(Phdr) *header = (const void *)(start + head->e_phoff);
    for (int i = 0; i < head->e_phnum; i++) {
        uintptr_t at = bias + header[i].p_vaddr, stop = at + header[i].p_filesz;
        if (header[i].p_type != PT_NOTE || at < start || stop > end || stop < at)
            continue;
        while (stop - at >= sizeof(ElfW(Nhdr))) {
            const ElfW(Nhdr) *note = (const void *)at;
            uint64_t name = ((uint64_t)note->n_namesz + 3) & ~3ull, size = ((uint64_t)note->n_descsz + 3) & ~3ull;
            if (name + size > stop - at - sizeof *note)
                break;
            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp(note + 1, "GNU", 4) == 0 &&
                note->n_descsz <= RING_MAX_BUILD_ID) {
                *id = (const unsigned char *)(note + 1) + name;
                return note->n_descsz;
            }
            at += sizeof *note + name + size;
        }
    }
    return 0;
}

static int write_module(const struct dl_find_object *object, const struct link_map *map)
{
    char bytes[RING_MAX_BUILD_ID + 512];
    const unsigned char *id = NULL;
    uintptr_t start = (uintptr_t)object->dlfo_map_start, end = (uintptr_t)object->dlfo_map_end;
    size_t id_size = build_id(start, end, map->l_addr, &id);
    if (id_size > 0)
        memcpy(bytes, id, id_size);
    size_t name_size = map->l_name == NULL ? 0 : strlen(map->l_name);
    if (name_size == 0) { /* the program itself */
        size_t room = sizeof bytes - id_size;
        ssize_t read = readlink("/proc/self/exe", bytes + id_size, room);
        name_size = read > 0 && (size_t)read < room ? (size_t)read : 0; /* none of a path that was cut off */
    } else if (name_size <= sizeof bytes - id_size) {
        memcpy(bytes + id_size, map->l_name, name_size);
    } else {
        name_size = 0; /* a path that is too long for anything: its build id tells */
    }
    uint64_t words[5] = {start, end, map->l_addr, id_size, name_size};
    return ring_write(RING_MODULE, words, 5, bytes, id_size + name_size, FOR_FREED);
}

int modules_write(const struct stack *stack)
{
    for (uint32_t i = 0; i < stack->number; i++) {
        struct dl_find_object object;
        if ((stack->pc[i] & PYTHON_CALL) || _dl_find_object((void *)stack->pc[i], &object) != 0)
            continue; /* code that was made at run time */
        const struct link_map *map = object.dlfo_link_map;
        if (known(stack->pc[i], map))
            continue;
        if (!write_module(&object, map))
            return 0;
        if (modules_used == sizeof modules / sizeof *modules)
            modules_used = 0; /* they are only written again */
        modules[modules_used++] =
            (struct module){(uintptr_t)object.dlfo_map_start, (uintptr_t)object.dlfo_map_end, map};
    }
    return 1;
}
