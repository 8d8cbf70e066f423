/* damo's JSON, scanned as it comes: the regions, which are nearly all of the text, become columns; what is
 * around them is handed back as JSON without spaces, each array of regions replaced by its length.
 *
 * A scan stops before anything that the text cuts off, and the caller gives the rest again with more behind it.
 * So there is no state inside of a token: only whether the text begins inside an array of regions. */
#include "json.h"

#define ARGUMENTS(ARRAY, VALUE) ARRAY(text, B, READ, "") VALUE(inside, q)
#define RESULTS(ARRAY, VALUE)                                                                                         \
    VALUE(done, Q) VALUE(inside, q) ARRAY(skeleton, B) ARRAY(start, Q) ARRAY(end, Q) ARRAY(nr_accesses, I)            \
    ARRAY(age, I) ARRAY(touched, Q) ARRAY(odd, d)
#include "interface.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { START, END, NR_ACCESSES, AGE, COLUMNS, PERCENT = COLUMNS, USEC };
enum { LONGEST_USUAL = 1024 }; /* bytes of a region with damo's own spaces, at most */

typedef struct {
    uint64_t start, end, touched;
    uint32_t nr_accesses, age;
    double usec, percent; /* negative: not given */
} Region;

/* Columns under construction, all malloc'd; `odd` has triples of doubles: row, age in us, nr_accesses in %. */
typedef struct {
    uint64_t *start, *end, *touched;
    uint32_t *nr_accesses, *age;
    double *odd;
    size_t count, room, odd_count, odd_room;
    unsigned char *skeleton;
    size_t written;
} Found;

enum { IN_REGION, IN_NR_ACCESSES, IN_AGE };
#define KEY_SEEN (1u << 8)

/* One member of a region, or of what is nested in it; `seen` has a bit for each column that has a value, and KEY_SEEN and
 * what is above for each of `keys` that was there. */
static int member(Text *text, Region *region, int where, const unsigned char *key, size_t length, unsigned *seen);

static int object(Text *text, Region *region, int where, unsigned *seen)
{
    int state;
    text->at++; /* the brace */
    for (int first = 1;; first = 0) {
        const unsigned char *key;
        size_t length;
        if (json_space(text) != OK)
            return MORE;
        if (*text->at == '}' && first)
            break;
        if (*text->at != '"')
            return json_wrong(text, "a key in quotes should be here");
        if ((state = json_string(text, &key, &length)) != OK || (state = json_sign(text, ':', "a colon should be here")) != OK)
            return state;
        if (json_space(text) != OK)
            return MORE;
        if ((state = member(text, region, where, key, length, seen)) != OK)
            return state;
        if (json_space(text) != OK)
            return MORE;
        if (*text->at == '}')
            break;
        if (*text->at != ',')
            return json_wrong(text, "a comma should be here");
        text->at++;
    }
    text->at++;
    return OK;
}

/* The keys that are read: where they are, which column they give, what their values are. */
static const struct {
    const char *name;
    int where, column, kind;
} keys[] = {
    {"start", IN_REGION, START, JSON_SIZE},
    {"end", IN_REGION, END, JSON_SIZE},
    {"nr_accesses", IN_REGION, NR_ACCESSES, JSON_COUNT},
    {"samples", IN_NR_ACCESSES, NR_ACCESSES, JSON_COUNT},
    {"percent", IN_NR_ACCESSES, PERCENT, JSON_SHARE},
    {"age", IN_REGION, AGE, JSON_COUNT},
    {"aggr_intervals", IN_AGE, AGE, JSON_COUNT},
    {"usec", IN_AGE, USEC, JSON_TIME},
};
enum { KEYS = sizeof(keys) / sizeof(*keys) };

static int member(Text *text, Region *region, int where, const unsigned char *key, size_t length, unsigned *seen)
{
    uint64_t whole;
    double value;
    int null, state, i = 0;
    const unsigned char *begin = text->at;
    while (i < KEYS && !(keys[i].where == where && json_key_is(key, length, keys[i].name)))
        i++;
    if (i == KEYS)
        return json_skip(text, 0);
    if (*seen & KEY_SEEN << i)
        return json_wrong(text, "a region has a key twice");
    *seen |= KEY_SEEN << i;
    int column = keys[i].column;
    if (where == IN_REGION && *begin == '{' && (column == NR_ACCESSES || column == AGE))
        return object(text, region, column == AGE ? IN_AGE : IN_NR_ACCESSES, seen);
    if ((state = json_quantity(text, keys[i].kind, &whole, &value, &null)) != OK || null)
        return state;
    if ((column == NR_ACCESSES || column == AGE) && whole > UINT32_MAX)
        return text->at = begin, json_wrong(text, "a count does not fit into 32 bits");
    *seen |= 1u << column;
    switch (column) {
    case START: region->start = whole; break;
    case END: region->end = whole; break;
    case NR_ACCESSES: region->nr_accesses = (uint32_t)whole; break;
    case AGE: region->age = (uint32_t)whole; break;
    case PERCENT: region->percent = value; break;
    default: region->usec = value;
    }
    return OK;
}

/* A region from its brace on, checked. */
static int region_of(Text *text, Region *region)
{
    const unsigned char *begin = text->at;
    unsigned seen = 0;
    *region = (Region){.usec = -1, .percent = -1};
    int state = object(text, region, IN_REGION, &seen);
    if (state != OK)
        return state;
    if ((seen & 3) != 3)
        return text->at = begin, json_wrong(text, "a region has no start or no end");
    if (region->start >= region->end)
        return text->at = begin, json_wrong(text, "a region ends where it begins, or before");
    if (!(seen & 1u << NR_ACCESSES) && region->percent < 0)
        return text->at = begin, json_wrong(text, "a region has no nr_accesses");
    if (seen & 1u << NR_ACCESSES)
        region->percent = -1; /* samples are what was counted */
    if (seen & 1u << AGE)
        region->usec = -1;
    region->touched = region->nr_accesses > 0 || region->percent > 0 ? region->end - region->start : 0;
    return OK;
}

/* Digits, and commas between them, less than 20 of both: more are for the slow way. */
static const unsigned char *digits(const unsigned char *at, uint64_t *number)
{
    uint64_t value = 0;
    int i = 0;
    for (; i < 20; i++) {
        if (at[i] >= '0' && at[i] <= '9')
            value = 10 * value + (at[i] - '0');
        else if (at[i] != ',' || at[i + 1] < '0' || at[i + 1] > '9')
            break;
    }
    *number = value;
    return i > 0 && i < 20 ? at + i : NULL;
}

/* A region with damo's own spaces and order, which is nearly every one: where it ends, or NULL for anything else.
 * It is a shortcut of region_of, several times as fast, and tells nothing else of a text. */
static const unsigned char *usual(const unsigned char *at, const unsigned char *end, Region *region)
{
#define LINE(spaces) "\n                    " spaces
#define NUMBER(column, before)                                                                                      \
    if (memcmp(at, before, sizeof(before) - 1) != 0 ||                                                              \
        (at = digits(at + sizeof(before) - 1, &number[column])) == NULL)                                            \
        return NULL;
    static const char after[] = "\"" LINE("    ") "}," LINE("    ") "\"probe_hits\": []," LINE("    ")
        "\"sz_filter_passed\": \"0 B\"" LINE("") "}";
    uint64_t number[COLUMNS];
    if (end - at < LONGEST_USUAL)
        return NULL;
    NUMBER(START, "{" LINE("    ") "\"start\": \"")
    NUMBER(END, "\"," LINE("    ") "\"end\": \"")
    NUMBER(NR_ACCESSES, "\"," LINE("    ") "\"nr_accesses\": {" LINE("        ") "\"samples\": ")
    NUMBER(AGE, "," LINE("        ") "\"percent\": null" LINE("    ") "}," LINE("    ") "\"age\": {" LINE("        ")
           "\"usec\": null," LINE("        ") "\"aggr_intervals\": \"")
#undef NUMBER
#undef LINE
    if (memcmp(at, after, sizeof(after) - 1) != 0 || number[START] >= number[END] ||
        number[NR_ACCESSES] > UINT32_MAX || number[AGE] > UINT32_MAX)
        return NULL;
    *region = (Region){number[START], number[END], number[NR_ACCESSES] ? number[END] - number[START] : 0,
                       (uint32_t)number[NR_ACCESSES], (uint32_t)number[AGE], -1, -1};
    return at + sizeof(after) - 1;
}

static int grow(void **memory, size_t room, size_t size)
{
    void *larger = realloc(*memory, room * size);
    if (larger == NULL)
        return 0;
    *memory = larger;
    return 1;
}

/* 0 when memory is short. */
static int keep(Found *found, const Region *region)
{
    if (found->count == found->room) {
        size_t room = found->room ? 2 * found->room : 4096;
        if (!grow((void **)&found->start, room, 8) || !grow((void **)&found->end, room, 8) ||
            !grow((void **)&found->touched, room, 8) || !grow((void **)&found->nr_accesses, room, 4) ||
            !grow((void **)&found->age, room, 4))
            return 0;
        found->room = room;
    }
    size_t row = found->count++;
    found->start[row] = region->start;
    found->end[row] = region->end;
    found->touched[row] = region->touched;
    found->nr_accesses[row] = region->nr_accesses;
    found->age[row] = region->age;
    if (region->usec < 0 && region->percent < 0)
        return 1;
    if (found->odd_count == found->odd_room) {
        size_t room = found->odd_room ? 2 * found->odd_room : 256;
        if (!grow((void **)&found->odd, room, 3 * sizeof(double)))
            return 0;
        found->odd_room = room;
    }
    double *odd = found->odd + 3 * found->odd_count++;
    odd[0] = (double)row, odd[1] = region->usec, odd[2] = region->percent;
    return 1;
}

/* The regions of an array, up to the bracket that ends it. `inside` counts them; it is -1 after that bracket. */
static int regions(Text *text, Found *found, long long *inside)
{
    for (;;) {
        const unsigned char *begin = text->at;
        Region region;
        if (json_space(text) != OK)
            return MORE;
        if (*text->at == ']')
            break;
        if (*inside > 0) {
            if (*text->at != ',')
                return json_wrong(text, "a comma should be here");
            text->at++;
            if (json_space(text) != OK)
                return text->at = begin, MORE;
        }
        if (*text->at != '{')
            return json_wrong(text, "a region in braces should be here");
        const unsigned char *after = usual(text->at, text->end, &region);
        int state = after != NULL ? (text->at = after, OK) : region_of(text, &region);
        if (state == MORE)
            text->at = begin;
        if (state != OK)
            return state;
        if (!keep(found, &region))
            return json_wrong(text, NULL);
        ++*inside;
    }
    text->at++;
    found->written += (size_t)sprintf((char *)found->skeleton + found->written, "%lld", *inside);
    *inside = -1;
    return OK;
}

/* All of the text, or what is whole of it. The skeleton has room for the text and a number for each bracket. */
static int scan(Text *text, Found *found, long long *inside)
{
    int state = OK;
    if (*inside >= 0 && (state = regions(text, found, inside)) != OK)
        return state;
    while (json_space(text) == OK) {
        const unsigned char *token = text->at, *key;
        size_t length;
        if (*token != '"') {
            /* a word must be whole, or two halves would look like two */
            if (strchr("{}[],:", *token) != NULL)
                text->at++;
            else if ((state = json_word(text, &key, &length)) != OK)
                return state;
        } else if ((state = json_string(text, &key, &length)) != OK)
            return state;
        else if (json_key_is(key, length, "regions")) {
            if (json_space(text) != OK)
                return text->at = token, MORE;
            if (*text->at == ':') {
                text->at++;
                if (json_space(text) != OK)
                    return text->at = token, MORE;
                if (*text->at == '[') {
                    text->at++;
                    memcpy(found->skeleton + found->written, "\"regions\":", 10);
                    found->written += 10;
                    *inside = 0;
                    if ((state = regions(text, found, inside)) != OK)
                        return state;
                    continue;
                }
                text->at = token + length + 2;
            }
        }
        memcpy(found->skeleton + found->written, token, (size_t)(text->at - token));
        found->written += (size_t)(text->at - token);
    }
    return OK;
}

static PyObject *damo_scan(PyObject *module, struct arguments *in)
{
    const unsigned char *begin = in->text.count > 0 ? in->text.at : (const void *)"";
    Text text = {begin, begin, begin + in->text.count, NULL};
    Found found = {0};
    long long inside = in->inside;
    int state = WRONG;
    /* every number stands for a bracket and a quoted key, which are longer than any but the first */
    found.skeleton = malloc(in->text.count + 32);
    if (found.skeleton != NULL) {
        Py_BEGIN_ALLOW_THREADS
        state = scan(&text, &found, &inside);
        Py_END_ALLOW_THREADS
    }
    size_t done = (size_t)(text.at - text.begin), n = found.count;
    struct results out = {
        .done = done, .inside = inside, .skeleton = {found.skeleton, found.written}, .start = {found.start, n},
        .end = {found.end, n}, .nr_accesses = {found.nr_accesses, n}, .age = {found.age, n}, .touched = {found.touched, n},
        .odd = {found.odd, 3 * found.odd_count},
    };
    if (state != WRONG)
        return results_give(&damo_scan_interface, module, &out);
    results_drop(&damo_scan_interface, &out);
    if (text.why == NULL)
        return PyErr_NoMemory();
    PyObject *about = Py_BuildValue("sn", text.why, (Py_ssize_t)done);
    if (about != NULL) {
        PyErr_SetObject(PyExc_ValueError, about);
        Py_DECREF(about);
    }
    return NULL;
}

INTERFACE(damo_scan, "DamoRegions", "Regions of damo's JSON as columns; see _native.pyi.")
