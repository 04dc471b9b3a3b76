#ifndef COMMON_BASE_ASSERT_H
#define COMMON_BASE_ASSERT_H

/* Assertions state what we know to be true; they stay on in release builds.
 * Never assert on bytes that came from a socket or a disk: return a status. */

#undef assert
#define assert(expr) ((expr) ? (void)0 : assert_fail(#expr, __FILE__, __LINE__, __func__))

/* For relations between constants and sizes on disk. */
#undef static_assert
#define static_assert _Static_assert

/* Use as `IMPLIES(a, b)` inside assert(). */
#define IMPLIES(a, b) (!(a) || (b))

/* A void * that went through libuv, raft or a vtable comes back checked.
 * The magic is the first member: `uint32_t magic;`. */
#define CAST_OBJ(to, from, type_magic)       \
    do {                                     \
        (to) = (from);                       \
        assert((to) != NULL);                \
        assert((to)->magic == (type_magic)); \
    } while (0)

/* Prints where and why, then aborts. Any thread. */
__attribute__((noreturn)) void assert_fail(const char *expr,
                                           const char *file,
                                           int line,
                                           const char *func);

#endif
