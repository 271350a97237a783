/* err.h - one error type: filled where the error happens, given context on the way up, reported once at the edge.
 * Reporting needs no memory, so it cannot itself fail. err_set, err_sys and err_ctx return false, so failing is one
 * line: `return err_set(e, ERR_PARSE, "…");`. `e` may be NULL where the caller does not care. */
#pragma once
#include "base/def.h"

enum err_code {
    ERR_NONE = 0,
    ERR_PARSE,       /* malformed input; `pos` says where */
    ERR_INVALID,     /* well-formed, but not acceptable (a value, an option, a state) */
    ERR_LIMIT,       /* a configured cap was hit; the message names the setting */
    ERR_UNSUPPORTED, /* valid, but we do not do it */
    ERR_NOT_FOUND,
    ERR_IO,          /* the system refused; `sys` has errno */
    ERR_FULL,        /* no space: disk full or queue at its cap; try again later */
    ERR_CORRUPT,     /* stored bytes fail their checksum or their format */
    ERR_NOMEM,
    ERR_TIMEOUT,
    ERR_CANCELLED,
    ERR_UNAVAILABLE, /* the peer or the component is not there now; try again later */
    ERR_CLOSED,      /* used after shutdown */
};

struct err {
    enum err_code code;
    int sys;    /* errno, 0 when none */
    size_t pos; /* byte offset in parsed input, for parsers */
    char msg[600]; /* the longest text that clients know, a failed pipeline's, has 350 bytes and a label set */
};

bool err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Like err_set, with the input position a parser stopped at. */
bool err_at(struct err *e, enum err_code code, size_t pos, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The system's errno: "…: No such file". ENOSPC, EDQUOT give ERR_FULL, ENOMEM gives ERR_NOMEM, others ERR_IO. */
bool err_sys(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool err_sys_code(struct err *e, int sys, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Puts "fmt: " in front of the message; code, sys and pos stay. */
bool err_ctx(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool err_nomem(struct err *e);
const char *err_code_name(enum err_code code); /* "parse", "limit", …: for logs and metric labels */
