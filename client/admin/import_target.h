#ifndef CLIENT_ADMIN_IMPORT_TARGET_H
#define CLIENT_ADMIN_IMPORT_TARGET_H

#include "client/admin/import_report.h"

/* Where an import writes to: RESTOREs, many under way at a time. A lost connection is made again
 * and what was not answered is sent again; what the cluster cannot do at the moment is tried again,
 * for a minute; what is too large for one RESTORE is written in parts. A key that fails for another
 * reason is reported, and the import goes on. Thread: one. */

enum {
    IMPORT_WINDOW = 128,           /* Commands under way, */
    IMPORT_WINDOW_SIZE = 32 << 20, /* and bytes, unless it is one. */
};

struct import_item {
    uint64_t source_db; /* For reports. */
    uint8_t db;
    struct slice key;
    struct slice payload;
    uint64_t expire_ms; /* 0: never. */
    bool again;         /* An interrupted run may have written it. */
};

/* One under way: its item in memory of its own. */
struct import_entry {
    struct import_item item;
    uint8_t *bytes;
};

struct import_target {
    const char *address;
    int timeout_ms;
    bool replace;
    struct import_report *report;
    struct sherd *sherd; /* NULL: not connected. */
    uint8_t db;
    struct import_entry ring[IMPORT_WINDOW];
    size_t first;
    size_t count;
    size_t size;
    struct import_entry late[IMPORT_WINDOW]; /* To be tried again, one by one. */
    size_t late_count;
};

void import_target_init(struct import_target *target,
                        const char *address,
                        int timeout_ms,
                        bool replace,
                        struct import_report *report);
void import_target_deinit(struct import_target *target);
/* VERB_DONE, or what to end with: a line was printed. */
MUST_USE enum verb_exit import_target_open(struct import_target *target);
/* True for an error of which trying again may make something else. */
bool import_target_passes(const struct sherd_reply *reply);
/* Sends an item; may wait for answers to others. DISCONNECTED: the cluster was not reached for a
 * minute, which was reported. */
MUST_USE enum status import_target_put(struct import_target *target,
                                       const struct import_item *item);
/* Waits until all that was put is done. */
MUST_USE enum status import_target_drain(struct import_target *target);

#endif
