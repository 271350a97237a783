/* json_path.c - see json_path.h. */
#include "logql/json_path.h"

enum { MAX_STEPS = 100 };

static bool bad(sv text, struct err *e, const char *what)
{
    return err_set(e, ERR_PARSE, "cannot parse expression [%.*s]: syntax error: unexpected %s",
                   (int)MIN(text.n, (size_t)120), text.p ? text.p : "", what);
}

static bool push(struct arena *a, struct json_path *path, struct json_step step, struct err *e)
{
    if (path->n == MAX_STEPS)
        return err_set(e, ERR_PARSE, "an extraction has more than %d steps", MAX_STEPS);
    struct json_step *grown = arena_grow(a, path->at, path->n, &path->cap, sizeof *grown);
    if (!grown)
        return arena_err(a, e, "query text");
    path->at = grown;
    path->at[path->n++] = step;
    return true;
}

static bool field_char(char c)
{
    return c == '_' || c == '-' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (unsigned char)c >= 0x80;
}

/* What stands in brackets: an index or a quoted name (\" and \\ escaped). */
static bool bracket(sv text, sv *rest, struct arena *a, struct json_path *path, struct err *e)
{
    *rest = sv_from(*rest, 1);
    if (rest->n && rest->p[0] == '"') {
        char *name = arena_alloc(a, rest->n);
        size_t n = 0, i = 1;
        if (!name)
            return arena_err(a, e, "query text");
        for (; i < rest->n && rest->p[i] != '"'; i++) {
            if (rest->p[i] == '\\' && i + 1 < rest->n)
                i++;
            name[n++] = rest->p[i];
        }
        if (i + 1 >= rest->n || rest->p[i + 1] != ']')
            return bad(text, e, i >= rest->n ? "$end, expecting STRING" : "token, expecting RSB");
        *rest = sv_from(*rest, i + 2);
        return push(a, path, (struct json_step){.field = {name, n}, .index = -1}, e);
    }
    size_t n = sv_find_char(*rest, ']');
    uint64_t index;
    if (n == SV_NPOS || !sv_to_u64(sv_sub(*rest, 0, n), &index) || index > INT32_MAX)
        return bad(text, e, n == SV_NPOS ? "$end, expecting RSB" : "token, expecting INDEX or STRING");
    *rest = sv_from(*rest, n + 1);
    return push(a, path, (struct json_step){.index = (int64_t)index}, e);
}

bool json_path_parse(sv text, struct arena *a, struct json_path *ret, struct err *e)
{
    struct json_path path = {0};
    sv rest = text;
    if (!text.n)
        return bad(text, e, "$end");
    while (rest.n) {
        if (rest.p[0] == '[') {
            if (!bracket(text, &rest, a, &path, e))
                return false;
            continue;
        }
        if (rest.p[0] == '.')
            rest = sv_from(rest, 1);
        else if (path.n)
            return bad(text, e, "FIELD");
        size_t n = 0;
        while (n < rest.n && field_char(rest.p[n]))
            n++;
        if (!n)
            return bad(text, e, rest.n ? "token, expecting FIELD" : "$end, expecting FIELD");
        if (!push(a, &path, (struct json_step){.field = sv_sub(rest, 0, n), .index = -1}, e))
            return false;
        rest = sv_from(rest, n);
    }
    *ret = path;
    return true;
}
