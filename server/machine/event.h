#ifndef SERVER_MACHINE_EVENT_H
#define SERVER_MACHINE_EVENT_H

#include "server/machine/handlers.h"

/* Keyspace events of commands: what happened to which key. Handlers note them at apply, after the
 * change, with the names and classes of Redis 7.0 (notifyKeyspaceEvent()); who wants them gives the
 * call a buffer, which only the leader does. Pure; they never change state or reply.
 *
 * In the buffer, each: u8 class's letter | u8 db | u32 length, name | u32 length, key. */

enum event_class {
    EVENT_GENERIC = 'g',
    EVENT_STRING = '$',
    EVENT_LIST = 'l',
    EVENT_SET = 's',
    EVENT_HASH = 'h',
    EVENT_ZSET = 'z',
    EVENT_EXPIRED = 'x',
    EVENT_STREAM = 't',
    EVENT_NEW = 'n',
    /* No keyspace events: messages that a script publishes. name: the channel, key: the message. */
    EVENT_MESSAGE = 'M',
    EVENT_SHARD_MESSAGE = 'S',
};

void event_note(struct call *call, enum event_class class, const char *name, struct slice key);
/* Of a key in a database that need not be the call's. */
void event_note_in(
    struct call *call, uint8_t db, enum event_class class, const char *name, struct slice key);

/* The same for a message to a channel. */
void event_note_message(struct call *call,
                        enum event_class class,
                        struct slice channel,
                        struct slice message);

struct event {
    enum event_class class;
    uint8_t db;
    struct slice name;
    struct slice key;
};

/* Takes the next one off the front; false at the end. */
struct reader;
bool event_next(struct reader *in, struct event *event);

#endif
