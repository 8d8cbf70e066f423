/* Calls of Python code: which are running in this thread, and what they are called.
 *
 * The interpreter is the program's own, and this library is built without knowing it. What it exports is looked up when
 * the program starts; the places of a few fields are those of its version. It is read by the thread that holds the
 * interpreter's lock, so nothing of it changes meanwhile, and nothing that is called here allocates or counts
 * references: the interpreter may be in the midst of an allocation. */
#include <dlfcn.h>
#include <string.h>
#include <unwind.h>
#include "sites.h"

/* Offsets in bytes, of 64-bit builds. */
static const struct layout {
    unsigned long version; /* major << 8 | minor */
    uint8_t has_cframe;    /* whether the thread's field points to a _PyCFrame, which points to the frame */
    uint8_t in_thread, in_cframe;
    uint8_t code, previous, instruction, owner;      /* of a _PyInterpreterFrame */
    uint8_t file_name, qualified_name, instructions; /* of a PyCodeObject */
} layouts[] = {
    {0x030B, 1, 56, 8, 32, 48, 56, 69, 112, 128, 184},
    {0x030C, 1, 56, 0, 0, 8, 56, 70, 112, 128, 192},
    {0x030D, 0, 72, 0, 0, 8, 56, 70, 112, 128, 200},
};
enum { OWNED_BY_C_STACK = 3, TYPE_OF_OBJECT = 8 };
enum { OLDER = 1 }; /* a version before 3.11, which does not export it as a number */
enum { BYTES_OF_LETTER = 4, FUNCTION_LETTERS = RING_MAX_FUNCTION / BYTES_OF_LETTER };
enum { FILE_LETTERS = RING_MAX_FILE / BYTES_OF_LETTER };

static const struct layout *layout; /* NULL: no calls are told */
static const void *code_type, *text_type, *arenas;
static void *(*current_thread)(void);
static void *(*own_thread)(void);
static int (*line_at)(const void *code, int offset);
static long (*hash_of)(const void *text);
static long (*length_of)(const void *text);
static uint32_t (*letter_of)(const void *text, long place);
uint64_t python_version;

static const char *pointer_at(const void *object, size_t offset)
{
    const char *found;
    memcpy(&found, (const char *)object + offset, sizeof found);
    return found;
}

static int is_a(const void *object, const void *type)
{
    return object != NULL && pointer_at(object, TYPE_OF_OBJECT) == type;
}

/* ISO C has no conversion from an object's address to a function's. */
static int find(void *function, const char *name)
{
    void *found = dlsym(RTLD_DEFAULT, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}

/* Not later: dlsym takes a lock, which a thread that loads a library holds while it runs code of that library. */
void python_start(void)
{
    const unsigned long *version = dlsym(RTLD_DEFAULT, "Py_Version"); /* since 3.11 */
    const void *type_type = dlsym(RTLD_DEFAULT, "PyType_Type");
    void (*arena_allocator)(void *);
    struct {
        void *context, *(*allocate)(void *, size_t), (*free)(void *, void *, size_t);
    } arena = {0};
    if (find(&arena_allocator, "PyObject_GetArenaAllocator")) {
        arena_allocator(&arena);
        memcpy(&arenas, &arena.allocate, sizeof arenas);
    }
    if (version == NULL) {
        python_version = dlsym(RTLD_DEFAULT, "Py_GetVersion") == NULL ? 0 : OLDER;
        return;
    }
    python_version = *version;
    code_type = dlsym(RTLD_DEFAULT, "PyCode_Type");
    text_type = dlsym(RTLD_DEFAULT, "PyUnicode_Type");
    /* Builds for tracing references, and those without the lock, have objects with another head. */
    if (code_type == NULL || !is_a(text_type, type_type) || (python_version >> 4 & 0xF) != 0xF)
        return;
    if (!find(&current_thread, "PyThreadState_GetUnchecked") && !find(&current_thread, "_PyThreadState_UncheckedGet"))
        return; /* the first is its name since 3.13 */
    if (!find(&own_thread, "PyGILState_GetThisThreadState") || !find(&line_at, "PyCode_Addr2Line") ||
        !find(&hash_of, "PyObject_Hash") || !find(&length_of, "PyUnicode_GetLength") ||
        !find(&letter_of, "PyUnicode_ReadChar"))
        return;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        if (layouts[i].version == python_version >> 16)
            layout = &layouts[i];
}

int python_told(void)
{
    return layout != NULL;
}

int python_arena(const void *caller)
{
    return UNLIKELY(arenas != NULL) && _Unwind_FindEnclosingFunction((char *)caller - 1) == arenas;
}

static int on_c_stack(const char *frame)
{
    return frame[layout->owner] == OWNED_BY_C_STACK;
}

struct python python_now(void)
{
    struct python now = {NULL, 0};
    if (LIKELY(layout == NULL))
        return now;
    const char *thread = current_thread();
    if (thread == NULL || thread != own_thread())
        return now; /* another thread holds the lock, or nobody */
    const char *from = pointer_at(thread, layout->in_thread);
    if (from == NULL)
        return now;
    if (layout->has_cframe) {
        now.frame = pointer_at(from, layout->in_cframe);
        now.inside = (uintptr_t)from;
        return now;
    }
    now.frame = from;
    while (from != NULL && !on_c_stack(from))
        from = pointer_at(from, layout->previous);
    now.inside = (uintptr_t)from;
    return now;
}

static uint64_t id_of(const void *code, int line)
{
    uint64_t file = (uint64_t)hash_of(pointer_at(code, layout->file_name));
    uint64_t function = (uint64_t)hash_of(pointer_at(code, layout->qualified_name));
    return mix64(mix64(file + 0x9E3779B97F4A7C15u * function) + (uint64_t)line) | PYTHON_CALL;
}

void python_calls(struct stack *stack, const struct python *now)
{
    for (const char *frame = now->frame; frame != NULL && stack->number < RING_MAX_FRAMES;
         frame = pointer_at(frame, layout->previous)) {
        if (on_c_stack(frame))
            continue;
        const char *code = pointer_at(frame, layout->code);
        /* A code object without references is being taken apart. */
        if (!is_a(code, code_type) || *(const uint32_t *)code == 0 ||
            !is_a(pointer_at(code, layout->file_name), text_type) ||
            !is_a(pointer_at(code, layout->qualified_name), text_type))
            return;
        long offset = pointer_at(frame, layout->instruction) - (code + layout->instructions);
        int line = offset < INT32_MAX ? line_at(code, offset < 0 ? -1 : (int)offset) : 0;
        uint32_t at = stack->number++;
        stack->line[at] = line > 0 ? (uint32_t)line : 0;
        stack->code[at] = code;
        stack->pc[at] = id_of(code, line);
    }
}

/* In UTF-8, at most `most` letters of it, its begin or its end; the number of bytes. */
static size_t copy_text(char *into, const void *text, long most, int its_end)
{
    long length = length_of(text), from = its_end && length > most ? length - most : 0;
    size_t used = 0;
    for (long at = from; at < length && at < from + most; at++) {
        uint32_t letter = letter_of(text, at);
        if (letter >= 0xD800 && letter < 0xE000)
            letter = '?'; /* half a surrogate: UTF-8 has none */
        if (letter < 0x80) {
            into[used++] = (char)letter;
            continue;
        }
        int more = letter < 0x800 ? 1 : letter < 0x10000 ? 2 : 3;
        into[used++] = (char)(0xFF00 >> (more + 1) | letter >> 6 * more);
        while (more-- > 0)
            into[used++] = (char)(0x80 | (letter >> 6 * more & 0x3F));
    }
    return used;
}

static int write_call(uint64_t id, const void *code, uint32_t line)
{
    static const char small[] = "Python small objects";
    char bytes[BYTES_OF_LETTER * (FUNCTION_LETTERS + FILE_LETTERS)];
    size_t function = sizeof small - 1, file = 0;
    if (code == NULL) {
        memcpy(bytes, small, function);
    } else {
        function = copy_text(bytes, pointer_at(code, layout->qualified_name), FUNCTION_LETTERS, 0);
        file = copy_text(bytes + function, pointer_at(code, layout->file_name), FILE_LETTERS, 1);
    }
    uint64_t words[4] = {id, line, function, file};
    return ring_write(RING_PYTHON, words, 4, bytes, function + file, FOR_FREED);
}

int python_write(const struct stack *stack)
{
    for (uint32_t i = 0; i < stack->number; i++) {
        if (!(stack->pc[i] & PYTHON_CALL))
            continue;
        int is_new = told_add(stack->pc[i]);
        if (is_new < 0)
            return 0;
        if (is_new && !write_call(stack->pc[i], stack->code[i], stack->line[i])) {
            told_drop(stack->pc[i]);
            return 0;
        }
    }
    return 1;
}
