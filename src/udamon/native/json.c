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

/* Digits from `at` on, with commas between two of them where `commas`; NULL where there are none, or too many. */
static const unsigned char *whole_digits(const unsigned char *at, const unsigned char *end, int commas, uint64_t *number)
{
    const unsigned char *begin = at;
    for (*number = 0; at < end; at++) {
        if (commas && *at == ',' && at > begin && at + 1 < end && at[-1] != ',' && at[1] >= '0' && at[1] <= '9')
            continue;
        if (*at < '0' || *at > '9')
            break;
        if (__builtin_mul_overflow(*number, 10, number) || __builtin_add_overflow(*number, *at - '0', number))
            return NULL;
    }
    return at > begin ? at : NULL;
}

static const unsigned char *fraction_digits(const unsigned char *at, const unsigned char *end, double *fraction)
{
    double scale = 1;
    for (*fraction = 0; at < end && *at >= '0' && *at <= '9'; at++)
        *fraction += (*at - '0') * (scale /= 10);
    return at;
}

static const char not_a_number[] = "this is not a number that is at least 0";
static const char too_large[] = "a number does not fit into 64 bits";

/* JSON's own numbers from 0 on: 4096, 60.0, 1e-05. `whole` is exact where there is neither a point nor an exponent. */
static const unsigned char *plain_number(const unsigned char *at, const unsigned char *end, uint64_t *whole, double *value,
                                         const char **why)
{
    const unsigned char *begin = at;
    double fraction = 0;
    uint64_t exponent = 0;
    if ((at = whole_digits(at, end, 0, whole)) == NULL)
        return *why = *begin >= '0' && *begin <= '9' ? too_large : *why, NULL;
    if (*begin == '0' && at > begin + 1)
        return NULL;
    *value = (double)*whole;
    if (at < end && *at == '.') {
        begin = ++at;
        if ((at = fraction_digits(at, end, &fraction)) == begin)
            return NULL;
        *value += fraction;
    }
    if (at < end && (*at | 0x20) == 'e') {
        int smaller = ++at < end && *at == '-';
        at += at < end && (*at == '-' || *at == '+');
        if ((at = whole_digits(at, end, 0, &exponent)) == NULL)
            return NULL;
        for (uint64_t i = 0; i < exponent && i < 700; i++)
            *value = smaller ? *value / 10 : *value * 10;
        if (*value >= 18446744073709551616.0)
            return *why = too_large, NULL;
        *whole = (uint64_t)*value;
    }
    return at;
}

/* One number of a string and its unit: "4,096", "4 KiB", "26.4 s"; the place behind it, or NULL and why. */
static const unsigned char *part_of(const unsigned char *at, const unsigned char *end, int time, uint64_t *whole,
                                    double *value, int *unit, const char **why)
{
    const unsigned char *begin = at;
    double fraction = 0;
    if ((at = whole_digits(at, end, 1, whole)) == NULL)
        return *why = *begin >= '0' && *begin <= '9' ? too_large : not_a_number, NULL;
    int point = at < end && *at == '.';
    if (point)
        at = fraction_digits(at + 1, end, &fraction);
    *value = (double)*whole + fraction;
    while (at < end && *at == ' ')
        at++;
    const unsigned char *word = at;
    while (at < end && ((*at | 0x20) >= 'a' && (*at | 0x20) <= 'z'))
        at++;
    if ((*unit = at > word)) {
        double by = factor(word, (size_t)(at - word), time);
        if (by == 0)
            return *why = "this number has a unit that is not known", NULL;
        if ((*value *= by) >= 18446744073709551616.0)
            return *why = too_large, NULL;
        *whole = point || by < 1 ? (uint64_t)*value : *whole * (uint64_t)by;
    }
    while (at < end && *at == ' ')
        at++;
    return at;
}

int json_quantity(Text *text, int kind, uint64_t *whole, double *value, int *null)
{
    const unsigned char *at, *start = text->at;
    size_t length;
    const char *why = not_a_number;
    int unit = 0, parts = 0;
    int state = *start == '"' ? json_string(text, &at, &length) : json_word(text, &at, &length);
    if (state != OK)
        return state;
    const unsigned char *end = at + length;
    *whole = 0, *value = 0;
    if ((*null = length == 4 && memcmp(at, "null", 4) == 0 && *start != '"'))
        return OK;
    if (*start != '"') {
        if (plain_number(at, end, whole, value, &why) != end)
            return text->at = start, json_wrong(text, why);
    } else
        for (; at < end; parts++) {
            uint64_t one;
            double amount;
            if ((parts && !(kind == JSON_TIME && unit)) || (at = part_of(at, end, kind == JSON_TIME, &one, &amount, &unit, &why)) == NULL)
                return text->at = start, json_wrong(text, why);
            if ((parts && !unit) || (unit && (kind == JSON_COUNT || kind == JSON_SHARE)))
                return text->at = start, json_wrong(text, unit ? "a count has no unit" : why);
            if (__builtin_add_overflow(*whole, one, whole))
                return text->at = start, json_wrong(text, too_large);
            *value += amount;
        }
    if (*start == '"' && parts == 0)
        return text->at = start, json_wrong(text, why);
    if (!unit && (kind == JSON_SIZE || kind == JSON_COUNT) && (double)*whole != *value)
        return text->at = start, json_wrong(text, "this is not a whole number");
    return OK;
}

int json_key_is(const unsigned char *key, size_t length, const char *name)
{
    return length == strlen(name) && memcmp(key, name, length) == 0;
}
