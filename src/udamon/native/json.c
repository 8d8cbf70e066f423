/* Pieces of JSON in a text that may be cut off anywhere: see json.h. No Python in here. */
#include "json.h"

#include <string.h>

enum { DEPTH = 32 };

int json_wrong(Text *text, const char *why)
{
    text->why = why;
    return WRONG;
}

/* The next character that is no space must be `sign`. */
int json_sign(Text *text, char sign, const char *why)
{
    if (json_space(text) != OK)
        return MORE;
    if (*text->at != (unsigned char)sign)
        return json_wrong(text, why);
    text->at++;
    return OK;
}

/* A string, without its quotes and as it is written (escapes stay). */
int json_string(Text *text, const unsigned char **found, size_t *length)
{
    const unsigned char *at = text->at + 1, *end = text->end;
    for (; at < end && *at != '"'; at++) {
        if (*at == '\\')
            at++;
        else if (*at < 0x20)
            return text->at = at, json_wrong(text, "a string does not end in its line");
    }
    if (at >= end)
        return MORE;
    *found = text->at + 1;
    *length = (size_t)(at - *found);
    text->at = at + 1;
    return OK;
}

/* A number, true, false or null: all up to what may follow it. */
int json_word(Text *text, const unsigned char **found, size_t *length)
{
    const unsigned char *at = text->at;
    while (at < text->end && ((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'z') || *at == '-' ||
                              *at == '+' || *at == '.' || *at == 'E'))
        at++;
    if (at == text->end)
        return MORE;
    if (at == text->at)
        return json_wrong(text, "there is no value where one should be");
    *found = text->at;
    *length = (size_t)(at - text->at);
    text->at = at;
    return OK;
}

/* Skip a value of any kind. */
int json_skip(Text *text, int depth)
{
    const unsigned char *found;
    size_t length;
    if (json_space(text) != OK)
        return MORE;
    if (*text->at == '"')
        return json_string(text, &found, &length);
    if (*text->at != '{' && *text->at != '[')
        return json_word(text, &found, &length);
    if (depth == DEPTH)
        return json_wrong(text, "values are nested too deeply");
    int object = *text->at++ == '{', first = 1;
    for (;; first = 0) {
        if (json_space(text) != OK)
            return MORE;
        if (*text->at == (object ? '}' : ']') && first)
            break;
        int state = OK;
        if (object) {
            if (*text->at != '"')
                return json_wrong(text, "a key in quotes should be here");
            state = json_string(text, &found, &length);
            if (state == OK)
                state = json_sign(text, ':', "a colon should be here");
        }
        if (state == OK)
            state = json_skip(text, depth + 1);
        if (state == OK)
            state = json_space(text);
        if (state != OK)
            return state;
        if (*text->at == (object ? '}' : ']'))
            break;
        if (*text->at != ',')
            return json_wrong(text, "a comma should be here");
        text->at++;
    }
    text->at++;
    return OK;
}

/* What a number is multiplied by, for a unit as people write it; 0 for none that is known. */
static double factor(const unsigned char *unit, size_t length, int time)
{
    static const char *const times[] = {"us", "ms", "s", "m", "h", "d", "ns"};
    static const double us[] = {1, 1e3, 1e6, 60e6, 3600e6, 86400e6, 1e-3};
    if (length == 0)
        return 1;
    if (time) {
        for (size_t i = 0; i < sizeof(us) / sizeof(*us); i++)
            if (strlen(times[i]) == length && memcmp(times[i], unit, length) == 0)
                return us[i];
        return 0;
    }
    static const char letters[] = "BKMGTPE";
    const char *place = strchr(letters, unit[0] & ~0x20);
    int plain = length == 1 || (length == 3 && unit[1] == 'i' && unit[2] == 'B') ||
                (length == 2 && (unit[1] | 0x20) == 'b');
    return place != NULL && plain ? (double)((uint64_t)1 << (10 * (place - letters))) : 0;
}

/* A quantity as damo writes it: 4096, "4,096", "4 KiB", "1 m 26.4 s". Whole numbers are exact. */
int json_quantity(Text *text, int time, uint64_t *whole, double *value, int *null)
{
    const unsigned char *at, *start = text->at;
    size_t length;
    int state = *start == '"' ? json_string(text, &at, &length) : json_word(text, &at, &length);
    if (state != OK)
        return state;
    const unsigned char *end = at + length;
    *whole = 0, *value = 0, *null = 0;
    if (length == 4 && memcmp(at, "null", 4) == 0 && *start != '"')
        return *null = 1, OK;
    for (int parts = 0; at < end; parts++) {
        uint64_t number = 0;
        double part, scale = 1, by;
        const unsigned char *digits = at;
        for (; at < end && ((*at >= '0' && *at <= '9') || *at == ','); at++) {
            if (*at == ',')
                continue;
            if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, *at - '0', &number))
                return text->at = start, json_wrong(text, "a number does not fit into 64 bits");
        }
        if (at == digits)
            return text->at = start, json_wrong(text, "this is not a number that is at least 0");
        part = (double)number;
        if (at == end && parts == 0)
            return *whole = number, *value = part, OK;
        int fraction = *at == '.';
        if (fraction)
            for (at++; at < end && *at >= '0' && *at <= '9'; at++)
                part += (*at - '0') * (scale /= 10);
        while (at < end && *at == ' ')
            at++;
        const unsigned char *unit = at;
        while (at < end && ((*at | 0x20) >= 'a' && (*at | 0x20) <= 'z'))
            at++;
        by = factor(unit, (size_t)(at - unit), time);
        while (at < end && *at == ' ')
            at++;
        if (by == 0)
            return text->at = start, json_wrong(text, "this number has a unit that is not known");
        if (part * by >= 18446744073709551616.0)
            return text->at = start, json_wrong(text, "a number does not fit into 64 bits");
        *whole += fraction || by < 1 ? (uint64_t)(part * by) : number * (uint64_t)by;
        *value += part * by;
    }
    return start + 2 < text->at ? OK : (text->at = start, json_wrong(text, "this is not a number that is at least 0"));
}

int json_key_is(const unsigned char *key, size_t length, const char *name)
{
    return length == strlen(name) && memcmp(key, name, length) == 0;
}
