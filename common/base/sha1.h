#ifndef COMMON_BASE_SHA1_H
#define COMMON_BASE_SHA1_H

#include "common/base/slice.h"

/* SHA-1 (FIPS 180-4): the names of Lua scripts, as Redis clients compute them. Not for secrets.
 * Pure. Any thread. */
enum { SHA1_SIZE = 20, SHA1_HEX_SIZE = 2 * SHA1_SIZE };

void sha1_bytes(struct slice bytes, uint8_t out[SHA1_SIZE]);
/* Lower case, with a NUL behind it. */
void sha1_hex(struct slice bytes, char out[SHA1_HEX_SIZE + 1]);
/* SHA1_HEX_SIZE digits of either case; false if it is anything else. */
bool sha1_parse(struct slice hex, uint8_t out[SHA1_SIZE]);

#endif
