/* lines_format.h - what the two sides of lines.h share: kinds of slots, kinds of columns. Numbers on disk: docs/formats.md, "Lines". */
#pragma once
#include "base/def.h"

/* What a slot may hold, and the byte that stands for it in a template's text. */
enum lines_slot {
    SLOT_DIGITS = 1, /* 1 to 19 digits */
    SLOT_HEX = 2,    /* 8 or more of 0-9 a-f */
    SLOT_UUID = 3,   /* 36 bytes, lower case */
    SLOT_WORD = 4,   /* letters and digits */
};

enum lines_column {
    COLUMN_INT = 0,    /* base varint, bits u8: numbers without leading zeros */
    COLUMN_PADDED = 1, /* width u8, base varint, bits u8: all of one width, leading zeros */
    COLUMN_WIDTHS = 2, /* least width u8, bits u8, base varint, bits u8: widths, then numbers */
    COLUMN_DELTA = 3,  /* width u8 (0: without leading zeros), first varint, least difference zigzag, bits u8 */
    COLUMN_DICT = 4,   /* width u8 (0: without leading zeros), n varint, the numbers, ascending, as differences */
    COLUMN_HEX = 5,    /* width varint: two digits a byte, high one first */
    COLUMN_UUID = 6,   /* 16 bytes each */
    COLUMN_WORDS = 7,  /* n varint, length and bytes of each; ids */
    COLUMN_TEXT = 8,   /* least length varint, bits u8, sum varint, most varint, which characters u64: lengths; bytes in `text` */
};

enum { DIGITS_MAX = 19, HEX_MIN = 8, UUID_BYTES = 36, WORD_MAX = 255 };

enum { CLASS_DIGIT = 1, CLASS_HEX = 2 /* a-f */, CLASS_LETTER = 4 /* of either case, a-f too */ };
extern const uint8_t lines_class[256];

/* A bit for each character that a slot may hold: 0-9, a-z, A-Z, and the dash of a UUID. */
static inline uint64_t lines_char_bit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return 1ull << (c - '0');
    if (c >= 'a' && c <= 'z')
        return 1ull << (10 + c - 'a');
    if (c >= 'A' && c <= 'Z')
        return 1ull << (36 + c - 'A');
    return c == '-' ? 1ull << 62 : 0;
}
#define CHARS_DIGITS 0x3ffull
#define CHARS_HEX (CHARS_DIGITS | 0x3full << 10)
#define CHARS_WORD ((1ull << 62) - 1)
#define CHARS_DASH (1ull << 62)

static inline unsigned lines_digits(uint64_t v) /* 1 to 20 */
{
    static const uint64_t pow10[20] = {0, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000,
                                       100000000000, 1000000000000, 10000000000000, 100000000000000, 1000000000000000,
                                       10000000000000000, 100000000000000000, 1000000000000000000, 10000000000000000000u};
    unsigned guess = (unsigned)(64 - __builtin_clzll(v | 1)) * 1233 >> 12;
    return guess + (v >= pow10[guess]);
}
