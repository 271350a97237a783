/* page.h - the web page's files over HTTP. */
#pragma once
#include "net/http.h"

/* Answers a GET or HEAD of a path the page has. False: not the page's, x is untouched. */
MUST_USE bool page_reply(struct http_exchange *x);

/* A content coding is acceptable to the client: listed by name or as "*", without q=0. */
bool page_accepts(sv accept_encoding, sv coding);
/* The ETag is in If-None-Match (weak comparison, RFC 9110 section 13.1.2). */
bool page_has_etag(sv if_none_match, sv etag);
