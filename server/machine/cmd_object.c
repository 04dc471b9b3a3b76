/* OBJECT. Semantics: Redis 7.0 object.c objectCommand() and the sizes of its string encodings. */

#include <ctype.h>
#include <stdio.h>

#include "common/base/number.h"
#include "server/machine/collection.h"

enum {
    EMBSTR_SIZE_MAX = 44,
    INT_SIZE_MAX = 20,
    SHARED_INTEGERS = 10000,
    SHOWN_SIZE_MAX = 128, /* Of a name in an error. */
};

static bool is_int(const struct row *row, int64_t *value)
{
    return row->type == KEYSPACE_STRING &&
           (row->flags & (KEYSPACE_RAW | KEYSPACE_TEXT | KEYSPACE_CHUNKED)) == 0 &&
           row->size <= INT_SIZE_MAX && number_parse_i64(row->value, value);
}

static void reply_encoding(struct call *call, const struct row *row)
{
    static const char *const loose[KEYSPACE_TYPE_END] = {
        [KEYSPACE_ZSET] = "skiplist", [KEYSPACE_LIST] = "quicklist", [KEYSPACE_STREAM] = "stream"};
    int64_t value = 0;
    if (row->type == KEYSPACE_HASH || row->type == KEYSPACE_SET) {
        resp_write_text(call->reply, collection_encoding(row));
    } else if (row->type != KEYSPACE_STRING) {
        bool tight = row->type == KEYSPACE_ZSET && (row->flags & KEYSPACE_PACKED) != 0;
        resp_write_text(call->reply, tight ? "listpack" : loose[row->type]);
    } else if (is_int(row, &value)) {
        resp_write_text(call->reply, "int");
    } else if ((row->flags & KEYSPACE_RAW) != 0 || row->size > EMBSTR_SIZE_MAX) {
        resp_write_text(call->reply, "raw");
    } else {
        resp_write_text(call->reply, "embstr");
    }
}

/* Redis shares the objects of small integers and says so. */
static void reply_refcount(struct call *call, const struct row *row)
{
    int64_t value = 0;
    bool shared = is_int(row, &value) && value >= 0 && value < SHARED_INTEGERS &&
                  (row->flags & KEYSPACE_UNSHARED) == 0;
    resp_write_int(call->reply, shared ? INT32_MAX : 1);
}

static void reply_help(struct call *call)
{
    static const char *const lines[] = {
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        "HELP",
        "    Prints this help.",
    };
    size_t count = sizeof(lines) / sizeof(lines[0]);
    resp_write_array(call->reply, count);
    for (size_t i = 0; i < count; i++) {
        resp_write_simple(call->reply, lines[i]);
    }
}

static void refuse(struct call *call, struct slice name)
{
    char shown[SHOWN_SIZE_MAX + 1];
    size_t len = name.len < SHOWN_SIZE_MAX ? name.len : SHOWN_SIZE_MAX;
    if (len > 0) {
        memcpy(shown, name.data, len);
    }
    shown[len] = '\0';
    resp_write_errorf(call->reply, "ERR unknown subcommand '%s'. Try OBJECT HELP.", shown);
}

enum status cmd_object_read(struct call *call)
{
    struct slice name = call->args.argv[1];
    static const char *const names[] = {"encoding", "refcount", "idletime", "freq", "help"};
    enum { ENCODING, REFCOUNT, IDLETIME, FREQ, HELP, COUNT };
    size_t which = 0;
    while (which < COUNT && !command_word(name, names[which])) {
        which++;
    }
    if (which == COUNT) {
        refuse(call, name);
        return STATUS_OK;
    }
    if (call->args.argc != (which == HELP ? 2 : 3)) {
        resp_write_errorf(call->reply, "ERR wrong number of arguments for 'object|%s' command",
                          names[which]);
        return STATUS_OK;
    }
    if (which == HELP) {
        reply_help(call);
        return STATUS_OK;
    }
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, call->args.argv[2], &row);
    if (status != STATUS_OK) {
        return status;
    }
    if (!row.found) {
        resp_write_null(call->reply);
    } else if (which == ENCODING) {
        reply_encoding(call, &row);
    } else if (which == REFCOUNT) {
        reply_refcount(call, &row);
    } else if (which == IDLETIME) {
        resp_write_int(call->reply, 0); /* No time of the last access is kept. */
    } else {
        resp_write_error(call->reply,
                         "ERR An LFU maxmemory policy is not selected, access frequency not "
                         "tracked. Please note that when switching between policies at runtime "
                         "LRU and LFU data will take some time to adjust.");
    }
    return STATUS_OK;
}
