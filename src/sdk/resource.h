/* resource.h - internals of a resource. */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include <weir/sdk.h>

struct weir_resource {
    struct arena mem; /* holds everything below */
    weir_attr *attrs;
    size_t n, cap;
    const char *schema_url;    /* "" when none */
    sv made_up_instance_id;    /* the service.instance.id that we chose; another may stand in attrs by now */
    int64_t pid, parent_pid;   /* the detected ones, likewise; 0: none */
    int64_t made_in;           /* the process that all three are of */
};

struct weir_resource *resource_empty(void); /* NULL when out of memory */
/* Adds a copy, over an older one of the same key. */
MUST_USE bool resource_set(struct weir_resource *r, weir_attr attr);
MUST_USE bool resource_make_up_instance_id(struct weir_resource *r);
/* In another process than it was made in: another made-up id, that process's pids. Allocates nothing. */
void resource_renew(struct weir_resource *r);

/* The part of a ResourceLogs message that stands before its scopes: resource and schema URL. */
void resource_encode(const struct weir_resource *r, struct buf *out);
void uuid_v4(char out[37]);
void random_bytes(void *to, size_t n); /* from the kernel: differs in every process, also after fork() */
