/* regex.cpp - RE2 behind the C face of regex.h.
 * (1) RE2 runs in linear time and within max_mem, so a pattern that a stranger wrote cannot hang or bloat the process.
 * (2) Errors carry the wording of Go's regexp/syntax package, because that is what users of LogQL see elsewhere and what
 *     they search for; RE2 reports the same causes under other names.
 * (3) C++ exceptions stop here: running out of memory is ERR_NOMEM.
 * Text that is not UTF-8 is matched byte-wise only by \C; `.` skips no invalid byte (Go would see U+FFFD there). */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers" /* C leaves members out and means zero */
extern "C" {
#include "base/regex.h"
}
#pragma GCC diagnostic pop
#include <new>
#include <re2/re2.h>
#include <string>
#include <vector>

static const int64_t max_mem = 8 << 20;
static const size_t max_literals = 256, max_literal_bytes = 1 << 16, max_literal_depth = 16;
static const int max_groups = 256;

struct regex {
    re2::RE2 re2;
    bool full;
    std::vector<std::string> names;    /* of group i at i - 1; empty: unnamed */
    std::vector<std::string> literals; /* the whole language, when it is a finite set of plain texts */
    regex(const std::string &pattern, const re2::RE2::Options &o, bool f) : re2(pattern, o), full(f) {}
};

static re2::StringPiece piece(sv s)
{
    return re2::StringPiece(s.p ? s.p : "", s.n);
}

static const char *go_wording(re2::RE2::ErrorCode c)
{
    switch (c) {
    case re2::RE2::ErrorBadEscape:
        return "invalid escape sequence";
    case re2::RE2::ErrorBadCharClass:
        return "invalid character class";
    case re2::RE2::ErrorBadCharRange:
        return "invalid character class range";
    case re2::RE2::ErrorMissingBracket:
        return "missing closing ]";
    case re2::RE2::ErrorMissingParen:
        return "missing closing )";
    case re2::RE2::ErrorUnexpectedParen:
        return "unexpected )";
    case re2::RE2::ErrorTrailingBackslash:
        return "trailing backslash at end of expression";
    case re2::RE2::ErrorRepeatArgument:
        return "missing argument to repetition operator";
    case re2::RE2::ErrorRepeatSize:
        return "invalid repeat count";
    case re2::RE2::ErrorRepeatOp:
        return "invalid nested repetition operator";
    case re2::RE2::ErrorBadPerlOp:
        return "invalid or unsupported Perl syntax";
    case re2::RE2::ErrorBadUTF8:
        return "invalid UTF-8";
    case re2::RE2::ErrorBadNamedCapture:
        return "invalid named capture";
    default:
        return "internal error";
    }
}

/* Works out the language of a pattern made of plain text, escaped punctuation, groups and alternation only. Gives up
 * (false) at the first thing that is more, or when the set outgrows its caps. */
class literal_reader
{
  public:
    typedef std::vector<std::string> set;
    explicit literal_reader(sv s) : text(s), at(0) {}
    bool read(set *out) { return alternatives(out, 0) && at == text.n; }

  private:
    sv text;
    size_t at;

    static bool fits(const set &s)
    {
        size_t bytes = 0;
        for (const std::string &x : s)
            bytes += x.size();
        return s.size() <= max_literals && bytes <= max_literal_bytes;
    }
    bool alternatives(set *out, size_t depth)
    {
        for (;;) {
            set one(1);
            if (!sequence(&one, depth))
                return false;
            out->insert(out->end(), one.begin(), one.end());
            if (!fits(*out))
                return false;
            if (at == text.n || text.p[at] != '|')
                return true;
            at++;
        }
    }
    bool sequence(set *out, size_t depth)
    {
        while (at < text.n && text.p[at] != '|' && text.p[at] != ')') {
            char c = text.p[at];
            if (c == '(') {
                set inner;
                if (depth == max_literal_depth || !group(&inner, depth + 1) || !append(out, inner))
                    return false;
                continue;
            }
            if (c == '\\') {
                if (++at == text.n || !ispunct((unsigned char)text.p[at]))
                    return false;
                c = text.p[at];
            } else if (strchr("*+?{[.^$", c) || c == 0) {
                return false;
            }
            at++;
            if (at < text.n && strchr("*+?{", text.p[at]) && text.p[at])
                return false;
            for (std::string &x : *out)
                x.push_back(c);
        }
        return fits(*out);
    }
    bool group(set *inner, size_t depth)
    {
        at++;
        if (at < text.n && text.p[at] == '?') {
            if (at + 1 >= text.n || text.p[at + 1] != ':')
                return false; /* names and flags: RE2's business */
            at += 2;
        }
        if (!alternatives(inner, depth) || at == text.n || text.p[at] != ')')
            return false;
        at++;
        return at == text.n || !strchr("*+?{", text.p[at]);
    }
    static bool append(set *out, const set &inner)
    {
        if (out->size() * inner.size() > max_literals)
            return false;
        set product;
        for (const std::string &a : *out)
            for (const std::string &b : inner)
                product.push_back(a + b);
        out->swap(product);
        return fits(*out);
    }
};

bool regex_compile(sv pattern, unsigned flags, struct regex **ret, struct err *e)
{
    try {
        re2::RE2::Options o;
        o.set_log_errors(false);
        o.set_max_mem(max_mem);
        o.set_case_sensitive(!(flags & REGEX_NOCASE));
        struct regex *re = new regex(std::string(pattern.p ? pattern.p : "", pattern.n), o, flags & REGEX_FULL);
        if (!re->re2.ok() || re->re2.NumberOfCapturingGroups() > max_groups) {
            std::string arg = re->re2.error_arg();
            re2::RE2::ErrorCode code = re->re2.ok() ? re2::RE2::ErrorPatternTooLarge : re->re2.error_code();
            delete re;
            if (code == re2::RE2::ErrorPatternTooLarge)
                return err_set(e, ERR_LIMIT, "error parsing regexp: expression too large");
            if (code == re2::RE2::ErrorTrailingBackslash)
                arg.clear();
            return err_set(e, ERR_PARSE, "error parsing regexp: %s: `%.*s`", go_wording(code),
                           (int)std::min(arg.size(), (size_t)120), arg.c_str());
        }
        re->names.resize((size_t)re->re2.NumberOfCapturingGroups());
        for (const auto &g : re->re2.CapturingGroupNames())
            re->names[(size_t)g.first - 1] = g.second;
        if (flags & REGEX_NOCASE || !literal_reader(pattern).read(&re->literals))
            re->literals.clear();
        *ret = re;
        return true;
    } catch (const std::bad_alloc &) {
        return err_nomem(e);
    }
}

void regex_free(struct regex *re)
{
    delete re;
}

static re2::RE2::Anchor anchor_of(const struct regex *re)
{
    return re->full ? re2::RE2::ANCHOR_BOTH : re2::RE2::UNANCHORED;
}

bool regex_match(const struct regex *re, sv text)
{
    return re->re2.Match(piece(text), 0, text.n, anchor_of(re), nullptr, 0);
}

bool regex_match_groups(const struct regex *re, sv text, sv *groups, size_t n)
{
    ASSERT(n <= 1 + regex_groups(re));
    re2::StringPiece found[max_groups + 1];
    if (!re->re2.Match(piece(text), 0, text.n, anchor_of(re), found, (int)n))
        return false;
    for (size_t i = 0; i < n; i++)
        groups[i] = sv_make(found[i].data(), found[i].size());
    return true;
}

size_t regex_groups(const struct regex *re)
{
    return re->names.size();
}

sv regex_group_name(const struct regex *re, size_t i)
{
    ASSERT(i >= 1 && i <= re->names.size());
    const std::string &name = re->names[i - 1];
    return name.empty() ? SV_NULL : sv_make(name.data(), name.size());
}

bool regex_matches_empty(const struct regex *re)
{
    return regex_match(re, SV_NULL);
}

static bool is_name_char(char c)
{
    return c == '_' || isalnum((unsigned char)c);
}

static void put_group(const struct regex *re, const re2::StringPiece *groups, sv name, struct buf *out)
{
    uint64_t number;
    if (sv_to_u64(name, &number)) {
        if (number <= re->names.size())
            buf_put(out, groups[number].data(), groups[number].size());
        return;
    }
    for (size_t i = 0; i < re->names.size(); i++)
        if (sv_eq(name, sv_make(re->names[i].data(), re->names[i].size()))) {
            buf_put(out, groups[i + 1].data(), groups[i + 1].size());
            return;
        }
}

/* Go's Expand: $name takes the longest run of name characters, $$ is a dollar, anything malformed stands for itself. */
static void expand(const struct regex *re, const re2::StringPiece *groups, sv with, struct buf *out)
{
    while (with.n) {
        size_t dollar = sv_find_char(with, '$');
        buf_sv(out, sv_sub(with, 0, dollar));
        if (dollar == SV_NPOS)
            return;
        with = sv_from(with, dollar + 1);
        if (with.n && with.p[0] == '$') {
            buf_char(out, '$');
            with = sv_from(with, 1);
            continue;
        }
        bool braces = with.n && with.p[0] == '{';
        size_t from = braces, end = from;
        while (end < with.n && is_name_char(with.p[end]))
            end++;
        if (end == from || (braces && (end == with.n || with.p[end] != '}'))) {
            buf_char(out, '$');
            continue;
        }
        put_group(re, groups, sv_sub(with, from, end - from), out);
        with = sv_from(with, end + braces);
    }
}

static size_t rune_bytes(sv s)
{
    size_t n = 1;
    while (n < s.n && n < 4 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n++;
    return n;
}

void regex_replace_all(const struct regex *re, sv text, sv with, bool literal, struct buf *out)
{
    re2::StringPiece groups[max_groups + 1];
    int n_groups = literal ? 1 : (int)re->names.size() + 1;
    size_t done = 0, from = 0; /* text before `done` is written; the next search starts at `from` */
    while (from <= text.n && re->re2.Match(piece(text), from, text.n, anchor_of(re), groups, n_groups)) {
        size_t start = (size_t)(groups[0].data() - piece(text).data()), end = start + groups[0].size();
        buf_sv(out, sv_sub(text, done, start - done));
        if (end > done || start == 0) { /* no empty match right behind another match */
            if (literal)
                buf_sv(out, with);
            else
                expand(re, groups, with, out);
        }
        done = end;
        size_t step = from < text.n ? rune_bytes(sv_from(text, from)) : 1;
        from = MAX(from + step, end);
        if (re->full)
            break;
    }
    buf_sv(out, sv_from(text, done));
}

size_t regex_literals(const struct regex *re, sv *ret, size_t max)
{
    if (re->literals.size() > max)
        return 0;
    for (size_t i = 0; i < re->literals.size(); i++)
        ret[i] = sv_make(re->literals[i].data(), re->literals[i].size());
    return re->literals.size();
}
