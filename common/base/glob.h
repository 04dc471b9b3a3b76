#ifndef COMMON_BASE_GLOB_H
#define COMMON_BASE_GLOB_H

#include "common/base/slice.h"

/* True if text matches a glob pattern with *, ?, [...], [^...] and \, byte for byte as Redis 7.0's
 * stringmatchlen() decides, its corner cases included (a pattern of stars does not match the empty
 * text, an unclosed [ ends with the pattern, bytes of a range are signed). No recursion: a star is
 * retried from the last one only, so the time is at most pattern x text, and it gives up (false)
 * after GLOB_STEPS_MAX steps. Pure. */
enum { GLOB_STEPS_MAX = 1 << 26 };

bool glob_match(struct slice pattern, struct slice text);

#endif
