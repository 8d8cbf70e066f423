/* How to get from a frame to the one outside of it, by the unwind tables (.eh_frame), for each instruction once.
 *
 * libgcc's unwinder reads the tables anew for each frame of each stack: 350 ns. Nearly all code of x86-64 keeps to one
 * form: the caller's part of the stack begins at the stack pointer or at rbp plus a number, the return address lies
 * right below, and rbp is as it was or was saved at a number from there. These are the rules here, and they are
 * followed in some ns. Whatever else tables say is left to libgcc. The tables are those that it finds itself.
 *
 * A rule is that of the code that was there: where a library is unloaded, another one may come to its place. So all are
 * forgotten then; and as the C library unloads some by itself, the bytes of the call are compared each time, too. */
#include <string.h>
#include "sites.h"

#ifdef __x86_64__
enum { RBP = 6, RSP = 7, RETURN = 16, RULE_BITS = 12, REMEMBERED = 4, WORD = sizeof(uintptr_t) };
enum { LARGEST_FRAME = 1 << 20 };
enum { ASK = 0, BY_RSP = 1, BY_RBP = 2, END = 3 }; /* ASK: libgcc */

/* libgcc's own, which it has no header for */
struct dwarf_eh_bases {
    void *text, *data, *function;
};
const uint8_t *_Unwind_Find_FDE(void *pc, struct dwarf_eh_bases *bases);

/* What holds at an instruction: where the caller's part begins, and how far from there rbp and the return address are. */
struct row {
    uint64_t base; /* a register */
    int64_t offset, rbp, back;
    uint8_t based, rbp_saved, back_known, back_undefined, strange;
};

/* Instructions of a table; `ok` is 0 once something is not understood. */
struct text {
    const uint8_t *at, *end;
    int ok;
};

static struct entry {
    uint64_t ip, rule;
    uint64_t check; /* of both and of the code, so that halves of two entries do not fit each other */
} rules[1u << RULE_BITS];

static uint64_t number(struct text *text, size_t size)
{
    uint64_t value = 0;
    if ((size_t)(text->end - text->at) < size) {
        text->ok = 0;
        return 0;
    }
    memcpy(&value, text->at, size);
    text->at += size;
    return value;
}

static uint64_t leb(struct text *text, int with_sign)
{
    uint64_t value = 0, byte;
    unsigned shift = 0;
    do {
        byte = number(text, 1);
        if (shift < 64)
            value |= (byte & 0x7F) << shift;
        shift += 7;
    } while (byte & 0x80);
    if (with_sign && shift < 64 && (byte & 0x40))
        value |= ~0ull << shift;
    return value;
}

static void skip(struct text *text, uint64_t size)
{
    if ((uint64_t)(text->end - text->at) < size)
        text->ok = 0;
    else
        text->at += size;
}

/* 0 where that is not understood. */
static size_t size_of_pointer(uint8_t encoding)
{
    switch (encoding & 0x0F) {
    case 0x00: case 0x04: case 0x0C: return 8;
    case 0x02: case 0x0A: return 2;
    case 0x03: case 0x0B: return 4;
    default: return 0;
    }
}

/* What all tables of a file have in common. */
struct common {
    struct text code;
    uint64_t step;       /* of addresses */
    int64_t scale;       /* of offsets */
    uint8_t pointers;    /* how they are written */
    uint8_t has_lengths; /* of what is to be passed over */
};

static int read_common(const uint8_t *at, struct common *common)
{
    struct text text = {at, at + 4, 1};
    uint64_t length = number(&text, 4);
    text.end = text.at + length;
    uint64_t id = number(&text, 4), version = number(&text, 1);
    const char *letters = (const char *)text.at;
    size_t letters_size = strnlen(letters, length - 5);
    skip(&text, letters_size + 1);
    if (length == UINT32_MAX || id != 0 || (version != 1 && version != 3) || !text.ok)
        return 0;
    common->step = leb(&text, 0);
    common->scale = (int64_t)leb(&text, 1);
    uint64_t back = version == 1 ? number(&text, 1) : leb(&text, 0);
    common->pointers = 0;
    common->has_lengths = letters[0] == 'z';
    uint64_t size = common->has_lengths ? leb(&text, 0) : 0;
    const uint8_t *code = text.at + size;
    for (const char *letter = letters + common->has_lengths; *letter; letter++) {
        if (*letter == 'R')
            common->pointers = (uint8_t)number(&text, 1);
        else if (*letter == 'L')
            skip(&text, 1);
        else if (*letter == 'P')
            skip(&text, size_of_pointer((uint8_t)number(&text, 1)));
        else
            return 0; /* 'S', what a signal interrupted, and others */
    }
    common->code = (struct text){code, text.end, 1};
    return text.ok && back == RETURN && code <= text.end;
}

static void saved(struct row *row, uint64_t which, int64_t offset, int known)
{
    if (which == RBP) {
        row->rbp = offset;
        row->rbp_saved = 1;
        row->strange |= !known;
    } else if (which == RETURN) {
        row->back = offset;
        row->back_known = (uint8_t)known;
        row->back_undefined = 0;
    } else if (which == RSP) {
        row->strange = 1;
    }
}

static void as_it_was(struct row *row, uint64_t which, const struct row *first)
{
    if (which == RBP) {
        row->rbp = first->rbp;
        row->rbp_saved = first->rbp_saved;
    } else if (which == RETURN) {
        row->back = first->back;
        row->back_known = first->back_known;
        row->back_undefined = first->back_undefined;
    }
}

/* Follow one instruction that is no step; 0 where it is not understood. */
static int follow(struct text *text, uint8_t op, const struct common *common, struct row *row, const struct row *first)
{
    uint64_t which;
    switch (op) {
    case 0x00: return 1;
    case 0x05: which = leb(text, 0); saved(row, which, (int64_t)leb(text, 0) * common->scale, 1); return 1;
    case 0x06: as_it_was(row, leb(text, 0), first); return 1;
    case 0x07:
        which = leb(text, 0);
        saved(row, which, 0, 0);
        row->back_undefined |= which == RETURN;
        return 1;
    case 0x08:
        which = leb(text, 0);
        if (which == RBP)
            row->rbp_saved = 0;
        return which != RETURN;
    case 0x09: saved(row, leb(text, 0), 0, 0); leb(text, 0); return 1;
    case 0x0C: row->base = leb(text, 0); row->offset = (int64_t)leb(text, 0); row->based = 1; return 1;
    case 0x0D: row->base = leb(text, 0); return row->based;
    case 0x0E: row->offset = (int64_t)leb(text, 0); return row->based;
    case 0x0F: row->based = 0; skip(text, leb(text, 0)); return 1;
    case 0x10: case 0x16: saved(row, leb(text, 0), 0, 0); skip(text, leb(text, 0)); return 1;
    case 0x11: which = leb(text, 0); saved(row, which, (int64_t)leb(text, 1) * common->scale, 1); return 1;
    case 0x14: case 0x15: saved(row, leb(text, 0), 0, 0); leb(text, 0); return 1;
    case 0x2E: leb(text, 0); return 1;
    default: break;
    }
    if ((op & 0xC0) == 0x80)
        saved(row, op & 0x3F, (int64_t)leb(text, 0) * common->scale, 1);
    else if ((op & 0xC0) == 0xC0)
        as_it_was(row, op & 0x3F, first);
    else
        return 0;
    return 1;
}

/* Follow the instructions as far as they are about `pc`; 0 where they are not understood. `first`: as it was before. */
static int run(struct text text, const struct common *common, uint64_t at, uint64_t pc, struct row *row)
{
    struct row first = *row, remembered[REMEMBERED];
    unsigned depth = 0;
    while (text.at < text.end && text.ok) {
        uint8_t op = (uint8_t)number(&text, 1);
        uint64_t step = 0;
        if ((op & 0xC0) == 0x40)
            step = op & 0x3F;
        else if (op >= 0x02 && op <= 0x04)
            step = number(&text, (size_t)1 << (op - 2));
        else if (op == 0x0A && depth < REMEMBERED)
            remembered[depth++] = *row;
        else if (op == 0x0B && depth > 0)
            *row = remembered[--depth];
        else if (!follow(&text, op, common, row, &first))
            return 0;
        at += step * common->step;
        if (at > pc)
            break;
    }
    return text.ok;
}

static uint64_t packed(unsigned kind, int64_t offset, int64_t rbp)
{
    return (uint64_t)kind << 62 | (uint64_t)(offset & 0x7FFFFFFF) << 31 | (uint64_t)(rbp & 0x7FFFFFFF);
}

static int64_t unpacked(uint64_t part)
{
    return (int64_t)(part << 33) >> 33;
}

/* rbp is 0 where it is as it was: it cannot have been saved there, in the caller's own part. */
static uint64_t rule_at(uintptr_t pc)
{
    struct dwarf_eh_bases bases;
    struct common common;
    const uint8_t *at = _Unwind_Find_FDE((void *)pc, &bases);
    if (at == NULL)
        return packed(ASK, 0, 0);
    struct text text = {at, at + 8, 1};
    uint64_t length = number(&text, 4);
    const uint8_t *from = text.at;
    int32_t back_to_common = (int32_t)number(&text, 4);
    if (length == UINT32_MAX || !read_common(from - back_to_common, &common))
        return packed(ASK, 0, 0);
    text.end = from + length;
    size_t pointer = size_of_pointer(common.pointers);
    skip(&text, 2 * pointer); /* the function's begin, which `bases` has, and its size */
    if (common.has_lengths)
        skip(&text, leb(&text, 0));
    struct row row = {0};
    uint64_t begin = (uint64_t)bases.function;
    if (pointer == 0 || !text.ok || !run(common.code, &common, 0, UINT64_MAX, &row) ||
        !run(text, &common, begin, pc, &row))
        return packed(ASK, 0, 0);
    if (row.back_undefined)
        return packed(END, 0, 0);
    int usual = row.based && !row.strange && row.back_known && row.back == -WORD &&
                (row.base == RSP || row.base == RBP) && row.offset > 0 && row.offset <= LARGEST_FRAME &&
                (!row.rbp_saved || (row.rbp < 0 && row.rbp >= -LARGEST_FRAME));
    return usual ? packed(row.base == RSP ? BY_RSP : BY_RBP, row.offset, row.rbp_saved ? row.rbp : 0)
                 : packed(ASK, 0, 0);
}

static uint64_t check_of(uintptr_t ip, uint64_t rule)
{
    uint64_t code;
    memcpy(&code, (const void *)(ip - sizeof code), sizeof code);
    return mix64(mix64(ip ^ code) + rule);
}

static uint64_t rule_of(uintptr_t ip)
{
    struct entry *entry = &rules[ip * 0x9E3779B97F4A7C15u >> (64 - RULE_BITS)];
    uint64_t rule = __atomic_load_n(&entry->rule, __ATOMIC_RELAXED);
    if (__atomic_load_n(&entry->ip, __ATOMIC_RELAXED) == ip &&
        __atomic_load_n(&entry->check, __ATOMIC_RELAXED) == check_of(ip, rule))
        return rule;
    rule = rule_at(ip - 1);
    if (rule == packed(ASK, 0, 0) || ip % 4096 < sizeof entry->check)
        return rule; /* perhaps no code, or none before it */
    __atomic_store_n(&entry->ip, ip, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->rule, rule, __ATOMIC_RELAXED);
    __atomic_store_n(&entry->check, check_of(ip, rule), __ATOMIC_RELAXED);
    return rule;
}

static uintptr_t word_at(uintptr_t address)
{
    return *(const uintptr_t *)address;
}

int frame_outside(struct frame *frame)
{
    uint64_t rule = rule_of(frame->ip);
    unsigned kind = (unsigned)(rule >> 62);
    if (kind == END)
        return STACK_ENDS;
    uintptr_t from = kind == BY_RSP ? frame->sp : frame->bp, sp = from + (uintptr_t)unpacked(rule >> 31);
    int64_t rbp = unpacked(rule);
    if (kind == ASK || sp <= frame->sp || sp - frame->sp > LARGEST_FRAME || sp % WORD != 0)
        return NOT_KNOWN;
    if (rbp != 0) {
        if (sp + (uintptr_t)rbp < frame->sp)
            return NOT_KNOWN;
        frame->bp = word_at(sp + (uintptr_t)rbp);
    }
    frame->ip = word_at(sp - WORD);
    frame->sp = sp;
    return frame->ip == 0 ? STACK_ENDS : FRAME_FOUND;
}

void rules_clear(void)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].ip != 0)
            __atomic_store_n(&rules[i].ip, 0, __ATOMIC_RELAXED);
}
#else /* elsewhere tables have other forms */
int frame_outside(struct frame *frame)
{
    (void)frame;
    return NOT_KNOWN;
}

void rules_clear(void)
{
}
#endif
