/* def.h - the handful of words every file uses: scoped release, ownership hand-over, assertions, small math. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define UNUSED __attribute__((unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof(*(a)))
#define CONTAINER_OF(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

#define MIN(a, b)                                                                                                 \
    __extension__({                                                                                               \
        __typeof__(a) min_a_ = (a);                                                                               \
        __typeof__(b) min_b_ = (b);                                                                               \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                                        \
    })
#define MAX(a, b)                                                                                                 \
    __extension__({                                                                                               \
        __typeof__(a) max_a_ = (a);                                                                               \
        __typeof__(b) max_b_ = (b);                                                                               \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                                        \
    })

/* SCOPED(release): at the end of the scope calls release##_scoped(&var), made by DEFINE_SCOPED below. */
#define SCOPED(release) __attribute__((cleanup(release##_scoped)))
#define DEFINE_SCOPED(type, release)                                                                              \
    static inline UNUSED void release##_scoped(type *p)                                                           \
    {                                                                                                             \
        release(*p);                                                                                              \
    }

/* TAKE hands a scoped pointer over and leaves NULL behind; TAKE_FD the same for descriptors and -1. */
#define TAKE(p)                                                                                                   \
    __extension__({                                                                                               \
        __typeof__(p) take_ = (p);                                                                                \
        (p) = NULL;                                                                                               \
        take_;                                                                                                    \
    })
#define TAKE_FD(fd)                                                                                               \
    __extension__({                                                                                               \
        int take_fd_ = (fd);                                                                                      \
        (fd) = -1;                                                                                                \
        take_fd_;                                                                                                 \
    })

/* A broken invariant of ours (never bad input): prints where, then aborts. On in production. */
#define ASSERT(cond) ((cond) ? (void)0 : assert_failed(#cond, __FILE__, __LINE__, __func__))
__attribute__((noreturn, cold)) void assert_failed(const char *cond, const char *file, int line, const char *func);
/* Called in the place of abort(), after the message; when it returns, abort() follows. For a library in somebody's process. */
void assert_on_failure(void (*fn)(void));

/* free() of a char pointer for SCOPED(mem_free). */
void mem_free(void *p);
static inline UNUSED void mem_free_scoped(void *p)
{
    mem_free(*(void **)p);
}
