/* Pieces of JSON in a text that may be cut off anywhere. */
#ifndef UDAMON_JSON_H
#define UDAMON_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* What every function returns: done; the text ends before its token does, and `at` is where it was or at the end;
 * something is wrong at `at`, and `why` says what. */
enum { OK, MORE, WRONG };

typedef struct {
    const unsigned char *begin, *at, *end;
    const char *why;
} Text;

int json_wrong(Text *text, const char *why);
/* The first character that is no space. Indentation is most of damo's text, so eight at a time. */
static inline const unsigned char *json_past_space(const unsigned char *at, const unsigned char *end)
{
    while (at < end && *at <= ' ' && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        uint64_t eight;
        at++;
        while (end - at >= 8) {
            memcpy(&eight, at, 8);
            if ((eight ^= 0x2020202020202020u) != 0) {
                at += __builtin_ctzll(eight) / 8; /* little endian */
                break;
            }
            at += 8;
        }
    }
    return at;
}

/* Skip spaces; MORE when there is nothing else. */
static inline int json_space(Text *text)
{
    text->at = json_past_space(text->at, text->end);
    return text->at < text->end ? OK : MORE;
}

/* The next character that is no space must be `sign`. */
int json_sign(Text *text, char sign, const char *why);
/* A string, without its quotes and as it is written (escapes stay). `at` is on its first quote. */
int json_string(Text *text, const unsigned char **found, size_t *length);
/* A number, true, false or null. */
int json_word(Text *text, const unsigned char **found, size_t *length);
/* Skip a value of any kind; after MORE, `at` may be inside of it. */
int json_skip(Text *text, int depth);
/* What a quantity is: bytes (4096, "4,096", "4 KiB"), a count ("4,096"), a share (60.0, "60"), or a time in us (5, "5",
 * "1 m 26.4 s"). Bytes and counts are whole numbers, unless there is a unit. */
enum { JSON_SIZE, JSON_COUNT, JSON_SHARE, JSON_TIME };
/* A quantity as damo writes it. `whole` is exact for whole numbers. */
int json_quantity(Text *text, int kind, uint64_t *whole, double *value, int *null);
int json_key_is(const unsigned char *key, size_t length, const char *name);

#endif
