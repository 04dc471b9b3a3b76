#ifndef COMMON_PROTO_NOTIFY_H
#define COMMON_PROTO_NOTIFY_H

#include "common/base/slice.h"

/* Which keyspace events are published: the letters of notify-keyspace-events as a set of bits,
 * which stand in logs. Semantics: Redis 7.0 notify.c. Pure. */

enum notify_flag {
    NOTIFY_KEYSPACE = 1 << 0, /* K: on __keyspace@db__:key */
    NOTIFY_KEYEVENT = 1 << 1, /* E: on __keyevent@db__:event */
};

enum { NOTIFY_TEXT_SIZE = 20 };

/* False: a letter is none of them. */
bool notify_parse(struct slice text, uint32_t *flags);
/* In Redis' order, A for all classes; with a NUL. */
void notify_format(uint32_t flags, char text[NOTIFY_TEXT_SIZE]);
/* The bit of one class's letter; 0: there is none. */
uint32_t notify_class(char letter);

#endif
