#ifndef COMMON_PROTO_TOPIC_H
#define COMMON_PROTO_TOPIC_H

#include <stdbool.h>
#include <stdint.h>

/* What can be listened to: a channel, a shard channel (names of their own), or a pattern of
 * channels. The letters stand in commands and frames between routers and nodes. */
enum topic_kind {
    TOPIC_CHANNEL = 'c',
    TOPIC_PATTERN = 'p',
    TOPIC_SHARD = 's',
};

static inline bool topic_kind_valid(uint8_t kind)
{
    return kind == TOPIC_CHANNEL || kind == TOPIC_PATTERN || kind == TOPIC_SHARD;
}

#endif
