/* config_text.h - the scalars of a declarative configuration: references to the environment in them, and what a plain one is. */
#pragma once
#include "base/yaml.h"

typedef const char *config_getenv_fn(const char *name);

/* Replaces ${NAME}, ${env:NAME}, ${NAME:-default} and $$ in every value below `root`, never in keys (specification, "Environment
 * variable substitution"). False: a reference is none; `e` names its place. `file` is for messages. */
MUST_USE bool config_substitute(struct yaml *root, const char *file, config_getenv_fn *getenv_fn, struct arena *a, struct err *e);

/* What a scalar is in the core schema of YAML 1.2. A quoted one is a string, whatever it says. */
enum scalar_kind { SCALAR_NULL, SCALAR_BOOL, SCALAR_INT, SCALAR_FLOAT, SCALAR_STRING };
struct scalar {
    enum scalar_kind kind;
    bool yes;
    bool fits;      /* SCALAR_INT: in 64 bits, else `integer` is not set */
    int64_t integer;
    double number;  /* SCALAR_INT, SCALAR_FLOAT */
};
struct scalar scalar_of(const struct yaml *y); /* of a YAML_SCALAR or YAML_NULL */

/* '*' is any run of characters, '?' one character (of UTF-8), the rest itself. */
bool config_matches(sv pattern, sv text);
