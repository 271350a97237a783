/* level.c - see rules.h: which level a record has when its sender did not say so plainly.
 * (1) Never fails and never reads past the line: the JSON and logfmt readers here are scanners that give up quietly,
 *     since the answer is a hint beside the record and not part of it.
 * (2) One pass over the line each; a record with a level label, metadata or severity number never gets here. */
#include "store/rules.h"

/* By priority. `folded` rows are compared without regard to case by the logfmt scan alone. */
static const sv level_names[] = {
    SV("level"), SV("LEVEL"), SV("Level"), SV("log.level"), SV("log_level"), SV("severity"), SV("SEVERITY"),
    SV("Severity"), SV("SeverityText"), SV("lvl"), SV("LVL"), SV("Lvl"), SV("severity_text"), SV("Severity_Text"),
    SV("SEVERITY_TEXT"),
};
#define NO_RANK ARRAY_LEN(level_names)

static size_t rank_of(sv name)
{
    if (name.n < 3 || name.n > 13 || !strchr("lLsS", name.p[0]))
        return NO_RANK;
    for (size_t i = 0; i < NO_RANK; i++)
        if (sv_eq(level_names[i], name))
            return i;
    return NO_RANK;
}

bool rules_is_level_name(sv name)
{
    return rank_of(name) < NO_RANK;
}

static bool known_word(sv value, sv *ret)
{
    static const struct {
        sv text, word;
    } words[] = {
        {SV("info"), SV("info")},         {SV("error"), SV("error")},   {SV("warn"), SV("warn")},
        {SV("debug"), SV("debug")},       {SV("warning"), SV("warn")},  {SV("trace"), SV("trace")},
        {SV("fatal"), SV("fatal")},       {SV("critical"), SV("critical")}, {SV("information"), SV("info")},
        {SV("err"), SV("error")},         {SV("inf"), SV("info")},      {SV("wrn"), SV("warn")},
        {SV("dbg"), SV("debug")},         {SV("trc"), SV("trace")},
    };
    for (size_t i = 0; value.n <= 11 && i < ARRAY_LEN(words); i++)
        if (sv_eq_nocase(words[i].text, value)) {
            *ret = words[i].word;
            return true;
        }
    return false;
}

sv rules_level_word(sv value)
{
    sv word = value;
    return known_word(value, &word) ? word : value;
}

sv rules_level_of_labels(const struct label *at, size_t n)
{
    size_t best = NO_RANK;
    sv value = SV_NULL;
    for (size_t i = 0; i < n; i++) {
        size_t r = at[i].value.n ? rank_of(at[i].name) : NO_RANK;
        if (r < NO_RANK && r <= best) {
            best = r;
            value = at[i].value;
        }
    }
    return best < NO_RANK ? rules_level_word(value) : SV_NULL;
}

sv rules_level_of_number(int64_t n)
{
    static const sv words[] = {SV("trace"), SV("debug"), SV("info"), SV("warn"), SV("error"), SV("fatal")};
    return n >= 1 && n <= 24 ? words[(n - 1) / 4] : SV("unknown");
}

/* A JSON string that starts at s.p[*at] == '"'. *ret is its raw inside (escapes as they are); *at goes behind it. */
static bool json_string_at(sv s, size_t *at, sv *ret)
{
    size_t from = *at + 1;
    for (size_t i = from; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"') {
            *ret = sv_sub(s, from, i - from);
            *at = i + 1;
            return true;
        }
    }
    return false;
}

static size_t skip_blank(sv s, size_t at)
{
    while (at < s.n && strchr(" \t\r\n", s.p[at]) && s.p[at])
        at++;
    return at;
}

/* The first string member with a level's name, in document order, in objects nested at most two deep. Objects inside arrays
 * are not looked into. */
static bool level_in_json(sv s, sv *ret)
{
    enum { DEPTH_MAX = 64 };
    uint64_t arrays = 0; /* bit per depth: an array is open there */
    unsigned depth = 0;
    for (size_t i = 0; i < s.n;) {
        char c = s.p[i];
        if (c == '{' || c == '[') {
            if (++depth >= DEPTH_MAX)
                return false;
            arrays = c == '[' ? arrays | 1ull << depth : arrays & ~(1ull << depth);
            i++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return false;
            depth--;
            i++;
        } else if (c == '"') {
            sv key, value;
            if (!json_string_at(s, &i, &key))
                return false;
            size_t at = skip_blank(s, i);
            bool in_array = (arrays & ((2ull << depth) - 1)) != 0;
            if (at >= s.n || s.p[at] != ':' || in_array)
                continue;
            i = skip_blank(s, at + 1);
            if (depth > 2 || i >= s.n || s.p[i] != '"')
                continue;
            if (!json_string_at(s, &i, &value))
                return false;
            if (rank_of(key) < NO_RANK)
                return known_word(value, ret);
        } else {
            i++;
        }
    }
    return false;
}

static bool level_in_logfmt(sv s, sv *ret)
{
    size_t best = NO_RANK;
    for (size_t i = 0; i < s.n;) {
        while (i < s.n && (unsigned char)s.p[i] <= ' ')
            i++;
        size_t from = i;
        while (i < s.n && (unsigned char)s.p[i] > ' ' && s.p[i] != '=' && s.p[i] != '"')
            i++;
        sv key = sv_sub(s, from, i - from), value = SV_NULL;
        if (i >= s.n)
            break;
        if (s.p[i] != '=') {
            i += s.p[i] == '"';
            continue;
        }
        if (++i < s.n && s.p[i] == '"') {
            if (!json_string_at(s, &i, &value))
                break;
        } else {
            from = i;
            while (i < s.n && (unsigned char)s.p[i] > ' ' && s.p[i] != '"')
                i++;
            value = sv_sub(s, from, i - from);
        }
        for (size_t k = 0; key.n >= 3 && key.n <= 13 && k < best; k++)
            if (sv_eq_nocase(level_names[k], key) && known_word(value, ret))
                best = k;
    }
    return best < NO_RANK;
}

static bool level_in_words(sv s, sv *ret)
{
    static const sv words[] = {SV("trace"), SV("debug"), SV("fatal"),   SV("critical"), SV("error"),
                               SV("err"),   SV("warn"),  SV("warning"), SV("info")};
    bool start = true;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (start && strchr("tdfcewiTDFCEWI", c) && c) {
            for (size_t w = 0; w < ARRAY_LEN(words); w++) {
                size_t end = i + words[w].n;
                if (end > s.n || !sv_eq_nocase(sv_sub(s, i, words[w].n), words[w]))
                    continue;
                if (end == s.n || (s.p[end] && strchr(" \t\n\r[]({)}\"'=|:,!", s.p[end])))
                    return known_word(words[w], ret);
            }
        }
        start = c && strchr(" \t\n[({\"'=|", c);
    }
    return false;
}

sv rules_level_of_line(sv line)
{
    sv trimmed = sv_trim(line), word;
    if (trimmed.n >= 2 && trimmed.p[0] == '{' && trimmed.p[trimmed.n - 1] == '}') {
        if (level_in_json(trimmed, &word))
            return word;
    } else if (sv_find_char(line, '=') != SV_NPOS && level_in_logfmt(line, &word)) {
        return word;
    }
    return level_in_words(line, &word) ? word : SV("unknown");
}
