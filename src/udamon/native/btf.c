/* Offsets of members in the kernel's structures, by its own type information (BTF). Whatever the file says is checked:
 * every type, string and number is inside of it, and members within members end at some depth. */
#include "native.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER = 24, TYPE = 12, MEMBER = 12, DEPTH = 8, STRUCT = 4, UNION = 5, KINDS = 20 };
enum { MOST_TYPES = 1 << 20 };

struct btf {
    const uint8_t *data;
    uint32_t types, types_end; /* bytes from the start of the file */
    uint32_t strings, strings_end;
    uint32_t *at; /* of each type, from 1 on */
    uint32_t number;
};

static uint32_t word(const struct btf *b, uint32_t at)
{
    uint32_t value;
    memcpy(&value, b->data + at, 4);
    return value;
}

/* Strings end within the file: the last byte of all is zero. */
static const char *name_at(const struct btf *b, uint32_t offset)
{
    return offset < b->strings_end - b->strings ? (const char *)b->data + b->strings + offset : "";
}

static unsigned kind_of(const struct btf *b, uint32_t id)
{
    return id > 0 && id <= b->number ? word(b, b->at[id] + 4) >> 24 & 31 : 0;
}

/* 0 when the heads make no sense. */
static int header(struct btf *b, size_t length)
{
    if (length < HEADER || length > UINT32_MAX || b->data[0] != 0x9f || b->data[1] != 0xeb || b->data[2] != 1)
        return 0;
    uint64_t head = word(b, 4), types = head + word(b, 8), strings = head + word(b, 16);
    uint64_t types_end = types + word(b, 12), strings_end = strings + word(b, 20);
    if (head < HEADER || types_end > length || strings_end > length || strings >= strings_end || types > types_end)
        return 0;
    b->types = (uint32_t)types, b->types_end = (uint32_t)types_end;
    b->strings = (uint32_t)strings, b->strings_end = (uint32_t)strings_end;
    return b->data[strings_end - 1] == 0;
}

/* Find where each type begins; 0 when one is cut off or of an unknown kind, or there is no memory for them. */
static int index_types(struct btf *b)
{
    static const uint8_t fixed[KINDS] = {[1] = 4, [3] = 12, [14] = 4, [17] = 4}; /* bytes behind the head */
    static const uint8_t each[KINDS] = {[4] = 12, [5] = 12, [6] = 8, [13] = 8, [15] = 12, [19] = 12};
    size_t room = 1024;
    b->at = malloc(room * sizeof *b->at);
    for (uint64_t at = b->types; b->at != NULL && at < b->types_end;) {
        if (at + TYPE > b->types_end)
            return 0;
        uint32_t info = word(b, (uint32_t)at + 4), kind = info >> 24 & 31;
        if (kind == 0 || kind >= KINDS || b->number + 1 >= MOST_TYPES)
            return 0;
        if (b->number + 1 >= room) {
            uint32_t *more = realloc(b->at, (room *= 2) * sizeof *b->at);
            if (more == NULL)
                return 0;
            b->at = more;
        }
        b->at[++b->number] = (uint32_t)at;
        at += TYPE + fixed[kind] + (uint64_t)each[kind] * (info & 0xffff);
        if (at > b->types_end)
            return 0;
    }
    return b->at != NULL;
}

/* The offset in bits of a member, also in members without a name; -1 where there is none. */
static int64_t member(const struct btf *b, uint32_t id, const char *name, int depth)
{
    uint32_t head = b->at[id], info = word(b, head + 4);
    for (uint32_t i = 0; i < (info & 0xffff); i++) {
        uint32_t at = head + TYPE + MEMBER * i, offset = word(b, at + 8), type = word(b, at + 4);
        const char *own = name_at(b, word(b, at));
        if (info >> 31)
            offset &= 0xffffff; /* the rest is the width of a bit field */
        if (*own && strcmp(own, name) == 0)
            return offset;
        unsigned kind = kind_of(b, type);
        if (!*own && depth < DEPTH && (kind == STRUCT || kind == UNION)) {
            int64_t inner = member(b, type, name, depth + 1);
            if (inner >= 0)
                return offset + inner;
        }
    }
    return -1;
}

/* Bytes; the size of the structure for the name "". */
static int64_t wanted(const struct btf *b, const char *structure, const char *name)
{
    for (uint32_t id = 1; id <= b->number; id++) {
        unsigned kind = kind_of(b, id);
        if ((kind != STRUCT && kind != UNION) || strcmp(name_at(b, word(b, b->at[id])), structure) != 0)
            continue;
        int64_t bits = *name ? member(b, id, name, 0) : 8 * (int64_t)word(b, b->at[id] + 8);
        if (bits >= 0)
            return bits % 8 ? -1 : bits / 8;
    }
    return -1;
}

static PyObject *btf_members(PyObject *self, PyObject *args)
{
    (void)self;
    Py_buffer data;
    PyObject *names, *found = NULL;
    struct btf b = {0};
    if (!PyArg_ParseTuple(args, "y*O!", &data, &PyTuple_Type, &names))
        return NULL;
    b.data = data.buf;
    if (!header(&b, (size_t)data.len) || !index_types(&b)) {
        PyErr_SetString(PyExc_ValueError, "this is no type information of a kernel");
    } else if ((found = PyTuple_New(PyTuple_Size(names))) != NULL) {
        for (Py_ssize_t i = 0; i < PyTuple_Size(names); i++) {
            const char *structure, *name;
            PyObject *offset = NULL;
            if (PyArg_ParseTuple(PyTuple_GetItem(names, i), "ss", &structure, &name))
                offset = PyLong_FromLongLong(wanted(&b, structure, name));
            if (offset == NULL || PyTuple_SetItem(found, i, offset) < 0) {
                Py_CLEAR(found);
                break;
            }
        }
    }
    free(b.at);
    PyBuffer_Release(&data);
    return found;
}

PyMethodDef btf_methods[] = {
    {"btf_members", btf_members, METH_VARARGS, "Offsets of members by BTF; see _native.pyi."},
    {NULL, NULL, 0, NULL},
};
