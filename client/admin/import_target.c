#include "client/admin/import_target.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/admin/ask.h"
#include "client/admin/import_parts.h"
#include "common/base/assert.h"
#include "common/base/clock.h"

enum {
    GIVE_UP_MS = 60 * 1000,
    PAUSE_MS = 200,
    NUMBER_SIZE = 24,
    PARTS_TRIES = 3,
};

void import_target_init(struct import_target *target,
                        const char *address,
                        int timeout_ms,
                        bool replace,
                        struct import_report *report)
{
    *target = (struct import_target){
        .address = address, .timeout_ms = timeout_ms, .replace = replace, .report = report};
}

static void release(struct import_entry *entry)
{
    free(entry->bytes);
    entry->bytes = NULL;
}

void import_target_deinit(struct import_target *target)
{
    for (size_t i = 0; i < target->count; i++) {
        release(&target->ring[(target->first + i) % IMPORT_WINDOW]);
    }
    for (size_t i = 0; i < target->late_count; i++) {
        release(&target->late[i]);
    }
    sherd_close(target->sherd);
}

static void pause_for(int ms)
{
    (void)poll(NULL, 0, ms);
}

static bool is_ok(const struct sherd_reply *reply)
{
    return reply != NULL && reply->type == SHERD_STATUS;
}

static bool begins(const struct sherd_reply *reply, const char *word)
{
    return reply->type == SHERD_ERROR && strncmp(reply->text, word, strlen(word)) == 0;
}

bool import_target_passes(const struct sherd_reply *reply)
{
    return begins(reply, "UNKNOWN") || begins(reply, "TRYAGAIN") || begins(reply, "CLUSTERDOWN") ||
           begins(reply, "LOADING") || begins(reply, "BUSY ");
}

static bool select_db(struct import_target *target, uint8_t db)
{
    char number[NUMBER_SIZE];
    snprintf(number, sizeof(number), "%u", db);
    struct sherd_reply *reply = sherd_commandv(target->sherd, "SELECT", number, NULL);
    bool selected = is_ok(reply);
    target->db = selected ? db : target->db;
    sherd_reply_free(reply);
    return selected;
}

static int send_item(struct import_target *target, const struct import_item *item)
{
    char expire[NUMBER_SIZE];
    int expire_len = snprintf(expire, sizeof(expire), "%" PRIu64, item->expire_ms);
    const char *argv[] = {"RESTORE", (const char *)item->key.data,
                          expire,    (const char *)item->payload.data,
                          "ABSTTL",  "REPLACE"};
    const size_t lens[] = {7, item->key.len, (size_t)expire_len, item->payload.len, 6, 7};
    return sherd_send(target->sherd, argv, lens, target->replace ? 6 : 5);
}

/* A new connection, on which all that is under way is sent again. */
static bool resume(struct import_target *target)
{
    sherd_close(target->sherd);
    target->sherd = sherd_open(target->address, target->timeout_ms);
    uint8_t db = target->db;
    target->db = 0;
    if (db != 0 && !select_db(target, db)) {
        return false;
    }
    for (size_t i = 0; i < target->count; i++) {
        struct import_item *item = &target->ring[(target->first + i) % IMPORT_WINDOW].item;
        item->again = true;
        if (send_item(target, item) != 0) {
            target->db = db;
            return false;
        }
    }
    return sherd_fault(target->sherd) == SHERD_FINE;
}

static enum status reconnect(struct import_target *target)
{
    uint64_t until_ms = clock_now_ms() + GIVE_UP_MS;
    uint8_t db = target->db;
    import_report_say(target->report, "%s; trying again",
                      target->sherd == NULL ? "not connected" : sherd_error(target->sherd));
    while (clock_now_ms() < until_ms) {
        pause_for(PAUSE_MS);
        target->db = db;
        if (resume(target)) {
            return STATUS_OK;
        }
    }
    import_report_say(target->report, "%s was not reached for a minute", target->address);
    target->db = db;
    return STATUS_DISCONNECTED;
}

enum verb_exit import_target_open(struct import_target *target)
{
    target->sherd = sherd_open(target->address, target->timeout_ms);
    struct sherd_reply *reply = sherd_commandv(target->sherd, "PING", NULL);
    enum verb_exit code = VERB_DONE;
    if (reply == NULL) {
        import_report_say(target->report, "%s", sherd_error(target->sherd));
        code = sherd_fault(target->sherd) == SHERD_BAD_ADDRESS ? VERB_USAGE : VERB_CANNOT_CONNECT;
    } else if (reply->type == SHERD_ERROR) {
        import_report_say(target->report, "%s answers: %s", target->address, reply->text);
        code = ask_exit_of(reply);
    }
    sherd_reply_free(reply);
    return code;
}

/* Counts what became of an item. False: it is to be tried again, or in parts. */
static bool settle(struct import_target *target,
                   const struct import_item *item,
                   const struct sherd_reply *reply)
{
    struct import_report *report = target->report;
    if (is_ok(reply)) {
        report->done++;
        report->bytes += item->payload.len;
    } else if (begins(reply, "BUSYKEY") && item->again) {
        report->again++;
    } else if (begins(reply, "BUSYKEY")) {
        report->existing++;
    } else if (import_target_passes(reply) || begins(reply, IMPORT_PARTS_WANTED)) {
        return false;
    } else {
        const char *text = reply->type == SHERD_ERROR ? reply->text : "not an answer to RESTORE";
        import_report_fail(report, item->source_db, item->key, text);
    }
    return true;
}

/* The answer to the oldest one under way. */
static enum status take_reply(struct import_target *target)
{
    assert(target->count > 0);
    struct sherd_reply *reply = sherd_receive(target->sherd);
    if (reply == NULL) {
        return reconnect(target);
    }
    struct import_entry *entry = &target->ring[target->first];
    target->first = (target->first + 1) % IMPORT_WINDOW;
    target->count--;
    target->size -= entry->item.payload.len;
    if (settle(target, &entry->item, reply)) {
        release(entry);
    } else {
        assert(target->late_count < IMPORT_WINDOW);
        target->late[target->late_count++] = *entry;
        entry->bytes = NULL;
    }
    sherd_reply_free(reply);
    import_report_show(target->report);
    return STATUS_OK;
}

static enum status take_replies(struct import_target *target)
{
    enum status status = STATUS_OK;
    while (status == STATUS_OK && target->count > 0) {
        status = take_reply(target);
    }
    return status;
}

/* Nothing else is under way. */
static enum status put_parts(struct import_target *target, const struct import_item *item)
{
    enum status status = STATUS_DISCONNECTED;
    for (int i = 0; i < PARTS_TRIES && status == STATUS_DISCONNECTED; i++) {
        if (sherd_fault(target->sherd) != SHERD_FINE) {
            status = reconnect(target);
            if (status != STATUS_OK) {
                return status;
            }
        }
        pause_for(i == 0 ? 0 : PAUSE_MS);
        status = import_parts_put(target, item);
    }
    if (status == STATUS_DISCONNECTED) {
        import_report_fail(target->report, item->source_db, item->key,
                           "it was begun again and again: the cluster is slow or away");
    }
    return STATUS_OK;
}

/* One that could not be done in its turn; nothing else is under way. */
static enum status try_late(struct import_target *target, struct import_item *item)
{
    uint64_t until_ms = clock_now_ms() + GIVE_UP_MS;
    item->again = true; /* An unknown outcome may be a good one. */
    while (true) {
        enum status status =
            target->db == item->db || select_db(target, item->db) ? STATUS_OK : reconnect(target);
        struct sherd_reply *reply = NULL;
        if (status == STATUS_OK && send_item(target, item) == 0) {
            reply = sherd_receive(target->sherd);
        }
        if (status == STATUS_OK && reply == NULL) {
            status = reconnect(target);
        }
        if (status != STATUS_OK) {
            return status;
        }
        if (reply == NULL) {
            continue;
        }
        bool done = settle(target, item, reply);
        bool large = begins(reply, IMPORT_PARTS_WANTED);
        if (!done && !large && clock_now_ms() >= until_ms) {
            import_report_fail(target->report, item->source_db, item->key, reply->text);
            done = true;
        }
        sherd_reply_free(reply);
        if (done || large) {
            return large ? put_parts(target, item) : STATUS_OK;
        }
        pause_for(PAUSE_MS);
    }
}

enum status import_target_drain(struct import_target *target)
{
    enum status status = take_replies(target);
    while (status == STATUS_OK && target->late_count > 0) {
        struct import_entry *entry = &target->late[target->late_count - 1];
        status = try_late(target, &entry->item);
        if (status == STATUS_OK) {
            release(entry);
            target->late_count--;
        }
    }
    return status;
}

/* Its memory is its own from here on. */
static void keep(struct import_target *target, const struct import_item *item)
{
    struct import_entry *entry = &target->ring[(target->first + target->count) % IMPORT_WINDOW];
    entry->item = *item;
    entry->bytes = malloc(item->key.len + item->payload.len + 1);
    assert(entry->bytes != NULL);
    memcpy(entry->bytes, item->payload.data, item->payload.len);
    if (item->key.len > 0) {
        memcpy(entry->bytes + item->payload.len, item->key.data, item->key.len);
    }
    entry->item.payload = slice_of(entry->bytes, item->payload.len);
    entry->item.key = slice_of(entry->bytes + item->payload.len, item->key.len);
    target->count++;
    target->size += item->payload.len;
}

enum status import_target_put(struct import_target *target, const struct import_item *item)
{
    enum status status = STATUS_OK;
    bool large = item->payload.len > IMPORT_PARTS_SIZE;
    if (target->db != item->db || target->late_count > 0 || large) {
        status = import_target_drain(target);
    }
    if (status == STATUS_OK && target->db != item->db && !select_db(target, item->db)) {
        status = reconnect(target);
        if (status == STATUS_OK && !select_db(target, item->db)) {
            import_report_fail(target->report, item->source_db, item->key,
                               "its database could not be selected");
            return STATUS_OK;
        }
    }
    if (status != STATUS_OK || large) {
        return status != STATUS_OK ? status : put_parts(target, item);
    }
    while (status == STATUS_OK &&
           (target->count == IMPORT_WINDOW ||
            (target->count > 0 && target->size + item->payload.len > IMPORT_WINDOW_SIZE))) {
        status = take_reply(target);
    }
    if (status != STATUS_OK) {
        return status;
    }
    keep(target, item);
    const struct import_entry *entry =
        &target->ring[(target->first + target->count - 1) % IMPORT_WINDOW];
    return send_item(target, &entry->item) == 0 ? STATUS_OK : reconnect(target);
}
