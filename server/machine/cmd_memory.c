/* MEMORY. Data lies on disk, so USAGE tells about how many bytes of rows a key has: its metadata
 * row, and for what lies in rows of its own the average of a sample times their number. Shapes and
 * help: Redis 7.0 object.c memoryCommand(). */

#include <stdio.h>

#include "common/base/number.h"
#include "server/machine/keyspace.h"

enum { SAMPLES_DEFAULT = 5, SAMPLES_MAX = 1000, SHOWN_SIZE_MAX = 128 };

static void reply_help(struct call *call)
{
    static const char *const lines[] = {
        "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    sampled up to <count> times (default: 5, 0 means sample all).",
        "HELP",
        "    Prints this help.",
    };
    size_t count = sizeof(lines) / sizeof(lines[0]);
    resp_write_array(call->reply, count);
    for (size_t i = 0; i < count; i++) {
        resp_write_simple(call->reply, lines[i]);
    }
}

/* Bytes of the first rows of a collection, and how many were looked at. */
static enum status sample(
    struct call *call, const struct row *row, uint64_t samples, uint64_t *size, uint64_t *count)
{
    struct buf *from = txn_scratch(call->txn, SCRATCH_FROM);
    struct buf *to = txn_scratch(call->txn, SCRATCH_TO);
    keyspace_element_key(row, from);
    keyspace_element_end(row, to);
    struct store_iter *iter = iter_open(call->txn, STORE_DATA, buf_slice(from), buf_slice(to));
    for (; iter_valid(iter) && *count < samples; iter_next(iter)) {
        *size += iter_key(iter).len + iter_value(iter).len;
        (*count)++;
    }
    enum status status = iter_status(iter);
    iter_close(iter);
    return status;
}

static enum status reply_usage(struct call *call)
{
    int64_t samples = SAMPLES_DEFAULT;
    struct args args = call->args;
    for (size_t i = 3; i < args.argc; i += 2) {
        if (!command_word(args.argv[i], "samples") || i + 1 == args.argc) {
            resp_write_error(call->reply, ERR_SYNTAX);
            return STATUS_OK;
        }
        if (!number_parse_i64(args.argv[i + 1], &samples)) {
            resp_write_error(call->reply, ERR_NOT_INTEGER);
            return STATUS_OK;
        }
        if (samples < 0) {
            resp_write_error(call->reply, ERR_SYNTAX);
            return STATUS_OK;
        }
    }
    samples = samples == 0 || samples > SAMPLES_MAX ? SAMPLES_MAX : samples;
    struct row row;
    enum status status = keyspace_load(call, SLOT_A, call->db, args.argv[2], &row);
    if (status != STATUS_OK) {
        return status;
    }
    if (!row.found) {
        resp_write_null(call->reply);
        return STATUS_OK;
    }
    uint64_t usage = row.row_key.len + sizeof(uint64_t) * 2 + row.value.len;
    if (row.type == KEYSPACE_STRING) {
        usage += (row.flags & KEYSPACE_CHUNKED) != 0 ? row.size : 0;
    } else if ((row.flags & KEYSPACE_PACKED) == 0) {
        uint64_t size = 0;
        uint64_t count = 0;
        status = sample(call, &row, (uint64_t)samples, &size, &count);
        usage += count == 0 ? 0 : size * row.size / count;
    }
    if (status == STATUS_OK) {
        resp_write_int(call->reply, (int64_t)usage);
    }
    return status;
}

static void reply_stats(struct call *call)
{
    resp_write_map(call->reply, 2);
    resp_write_text(call->reply, "keys.count");
    resp_write_int(call->reply, (int64_t)call->seen->keys[call->db]);
    resp_write_text(call->reply, "dataset.bytes");
    resp_write_int(call->reply, 0);
}

enum status cmd_memory_read(struct call *call)
{
    struct slice name = call->args.argv[1];
    if (command_word(name, "usage") && call->args.argc >= 3) {
        return reply_usage(call);
    }
    if (command_word(name, "help")) {
        reply_help(call);
    } else if (command_word(name, "doctor")) {
        resp_write_text(call->reply,
                        "Data lies on disk: memory is bounded by the settings of the "
                        "nodes. See used_memory of INFO and /metrics.");
    } else if (command_word(name, "stats")) {
        reply_stats(call);
    } else if (command_word(name, "purge")) {
        resp_write_ok(call->reply);
    } else if (command_word(name, "malloc-stats")) {
        resp_write_text(call->reply, "Stats not supported for the current allocator");
    } else if (command_word(name, "usage")) {
        resp_write_error(call->reply, "ERR wrong number of arguments for 'memory|usage' command");
    } else {
        char shown[SHOWN_SIZE_MAX + 1];
        size_t len = name.len < SHOWN_SIZE_MAX ? name.len : SHOWN_SIZE_MAX;
        (void)snprintf(shown, sizeof(shown), "%.*s", (int)len, (const char *)name.data);
        resp_write_errorf(call->reply, "ERR unknown subcommand '%s'. Try MEMORY HELP.", shown);
    }
    return STATUS_OK;
}
