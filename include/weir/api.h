/** @file api.h
 *  What every public header needs: the version, the export attribute, results and errors. */
#ifndef WEIR_API_H
#define WEIR_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_VERSION_MAJOR 0
#define WEIR_VERSION_MINOR 1
#define WEIR_VERSION_PATCH 0

#if defined(__GNUC__)
#define WEIR_API __attribute__((visibility("default")))
#define WEIR_PRINTF(nth, first) __attribute__((format(printf, nth, first)))
#else
#define WEIR_API
#define WEIR_PRINTF(nth, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** How an operation with a time limit ended. */
typedef enum weir_result {
    WEIR_OK = 0,
    WEIR_FAILED = 1,   /**< it cannot be done; records concerned are counted as dropped */
    WEIR_TIMEOUT = 2,  /**< the time limit passed first */
    WEIR_SHUT_DOWN = 3 /**< nothing was done: it was shut down before */
} weir_result;

/** Why something could not be made: English, one line. Filled by the functions that take one (NULL is fine). Start it as
 *  `weir_error error = {""};` since calls nest: a function that is handed a part that could not be made (NULL) leaves an
 *  earlier reason in place. */
typedef struct weir_error {
    char message[256];
} weir_error;

/** The library's version at run time, "0.1.0". Any thread. */
WEIR_API const char *weir_version(void);

#ifdef __cplusplus
}
#endif
#endif
