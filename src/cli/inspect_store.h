/* inspect_store.h - `weir inspect` on what a store keeps: part files, manifests, data directories. All print to stdout. Nothing is
 * locked or changed: parts never change, and a manifest only grows or is replaced, so a store may be running. */
#pragma once
#include "base/err.h"
#include "base/sv.h"

bool inspect_is_part(sv first_bytes); /* 8 of them */
bool inspect_is_manifest(sv first_bytes);
/* Finds the store in `dir`: there, or in the `store` that a data_dir has. False: none. */
bool inspect_is_store(const char *dir, char *ret_store, size_t n);

/* *ret_bad: places with damage. False: it cannot be read, or is of a newer release. */
MUST_USE bool inspect_part(const char *path, uint64_t *ret_bad, struct err *e);
MUST_USE bool inspect_manifest(const char *path, uint64_t *ret_bad, struct err *e);
MUST_USE bool inspect_store(const char *dir, uint64_t *ret_bad, struct err *e);
