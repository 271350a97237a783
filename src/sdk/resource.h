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
    sv made_up_instance_id;    /* the service.instance.id that we chose, if it is still in attrs */
};

/* The part of a ResourceLogs message that stands before its scopes: resource and schema URL. */
void resource_encode(const struct weir_resource *r, struct buf *out);
void uuid_v4(char out[37]);
void random_bytes(void *to, size_t n); /* from the kernel: differs in every process, also after fork() */
