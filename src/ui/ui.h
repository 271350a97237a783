/* ui.h - the web page as bytes in the program.
 * The sources are in web/ (TypeScript); the build turns them into a few files and embeds those. Built without
 * npm, the program holds one small page instead that says so and names the API. Serving is the caller's: for
 * a GET or HEAD of a path that ui_find() knows, send the file with its type, ETag, Cache-Control, `Vary:
 * Accept-Encoding`, `X-Content-Type-Options: nosniff`, `Referrer-Policy: no-referrer` and UI_CSP; take `gz`
 * with `Content-Encoding: gzip` when the client accepts it; answer 304 when If-None-Match names the ETag. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* The page loads from and talks to its own origin only, and nobody may frame it. The editor and the plots set
 * styles from scripts, which needs 'unsafe-inline' for styles; for scripts there is no exception. */
#define UI_CSP                                                                                               \
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "        \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

struct ui_file {
    const char *path; /* as in the request, "/" for the page itself */
    const char *content_type;
    const char *etag;          /* weak and with its quotes, the same for both encodings */
    const char *cache_control; /* files under /assets/ carry a hash in their name and may be kept for ever */
    const unsigned char *data;
    size_t size;
    const unsigned char *gz; /* NULL when gzip does not make it smaller */
    size_t gz_size;
};

/* The file at this path (no query string), or NULL. Any thread; lives as long as the program. */
const struct ui_file *ui_find(const char *path, size_t n);

/* False when the program was built without the page and "/" is the notice in its place. */
bool ui_available(void);
