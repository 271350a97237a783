/* keys_format.h - kinds of metadata columns; on disk: docs/formats.md, "Metadata". */
#pragma once

enum key_kind {
    KEY_DICT = 0, /* n varint, length and bytes of each; ids in `ids`, in bits_for(n - 1 + sparse) bits; sparse: 0 is none, else 1 + index */
    KEY_INT = 1,  /* in `wide`: numbers without leading zeros, as ints.h has them */
    KEY_HEX = 2,  /* width varint; in `wide`: two digits a byte, high one first */
    KEY_LAG = 4,  /* as KEY_INT, of each the difference to the row's time in ns, zigzag: times of the same moment */
    KEY_TEXT = 3, /* bytes varint; in `wide`: lengths as ints.h has them, then the bytes */
};
/* After the kind's byte: whether it is sparse, a byte: some rows have no value. Then, but for KEY_DICT, `ids` has a bit for each row, and
 * `wide` values only of those that have one. But for KEY_DICT, a varint ends it: the bytes that it takes in `wide`. */
