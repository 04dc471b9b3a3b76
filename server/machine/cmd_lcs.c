/* LCS. Semantics: Redis 7.0 t_string.c lcsCommand(). */

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"
#include "server/machine/keyspace.h"

/* The table of lengths; more than that is not made. Runs on the pool of slow reads. */
enum { TABLE_SIZE_MAX = 256 << 20 };

struct lcs {
    struct slice a, b;
    uint32_t *lengths; /* (a.len + 1) rows of (b.len + 1): of the first i and j bytes. */
    bool len_only;
    bool ranges;
    bool with_len;
    int64_t min_len;
};

static uint32_t *at(const struct lcs *lcs, size_t i, size_t j)
{
    return &lcs->lengths[i * (lcs->b.len + 1) + j];
}

static const char *parse(struct args args, struct lcs *lcs)
{
    for (size_t i = 3; i < args.argc; i++) {
        if (command_word(args.argv[i], "idx")) {
            lcs->ranges = true;
        } else if (command_word(args.argv[i], "len")) {
            lcs->len_only = true;
        } else if (command_word(args.argv[i], "withmatchlen")) {
            lcs->with_len = true;
        } else if (command_word(args.argv[i], "minmatchlen") && i + 1 < args.argc) {
            i++;
            if (!number_parse_i64(args.argv[i], &lcs->min_len)) {
                return ERR_NOT_INTEGER;
            }
        } else {
            return ERR_SYNTAX;
        }
    }
    if (lcs->len_only && lcs->ranges) {
        return "ERR If you want both the length and indexes, please just use IDX.";
    }
    return NULL;
}

static void fill(struct lcs *lcs)
{
    for (size_t i = 0; i <= lcs->a.len; i++) {
        for (size_t j = 0; j <= lcs->b.len; j++) {
            uint32_t best = 0;
            if (i > 0 && j > 0 && lcs->a.data[i - 1] == lcs->b.data[j - 1]) {
                best = *at(lcs, i - 1, j - 1) + 1;
            } else if (i > 0 && j > 0) {
                uint32_t up = *at(lcs, i - 1, j);
                uint32_t left = *at(lcs, i, j - 1);
                best = up > left ? up : left;
            }
            *at(lcs, i, j) = best;
        }
    }
}

/* A run of equal bytes that is part of the sequence: len bytes that end before a and b. */
struct run {
    size_t a, b, len;
};

static void write_run(const struct lcs *lcs, const struct run *run, struct buf *out, size_t *count)
{
    if (lcs->min_len > 0 && run->len < (uint64_t)lcs->min_len) {
        return;
    }
    resp_write_array(out, lcs->with_len ? 3 : 2);
    resp_write_array(out, 2);
    resp_write_int(out, (int64_t)(run->a - run->len));
    resp_write_int(out, (int64_t)run->a - 1);
    resp_write_array(out, 2);
    resp_write_int(out, (int64_t)(run->b - run->len));
    resp_write_int(out, (int64_t)run->b - 1);
    if (lcs->with_len) {
        resp_write_int(out, (int64_t)run->len);
    }
    (*count)++;
}

/* Walks the table from its end: the bytes of the sequence, and its runs, the last one first. */
static size_t walk(const struct lcs *lcs, uint8_t *sequence, struct buf *runs)
{
    size_t i = lcs->a.len;
    size_t j = lcs->b.len;
    size_t left = *at(lcs, i, j);
    size_t count = 0;
    struct run run = {0};
    while (i > 0 && j > 0) {
        if (lcs->a.data[i - 1] == lcs->b.data[j - 1]) {
            if (run.len == 0) {
                run = (struct run){.a = i, .b = j};
            }
            run.len++;
            left--;
            sequence[left] = lcs->a.data[i - 1];
            i--;
            j--;
            continue;
        }
        if (run.len > 0) {
            write_run(lcs, &run, runs, &count);
            run.len = 0;
        }
        if (*at(lcs, i - 1, j) > *at(lcs, i, j - 1)) {
            i--;
        } else {
            j--;
        }
    }
    if (run.len > 0) {
        write_run(lcs, &run, runs, &count);
    }
    return count;
}

static void reply(struct call *call, struct lcs *lcs)
{
    uint32_t len = *at(lcs, lcs->a.len, lcs->b.len);
    if (lcs->len_only) {
        resp_write_int(call->reply, len);
        return;
    }
    struct buf *runs = txn_scratch(call->txn, SCRATCH_RESULT);
    struct buf *sequence = txn_scratch(call->txn, SCRATCH_WORK);
    size_t count = walk(lcs, buf_reserve(sequence, (size_t)len + 1), runs);
    if (!lcs->ranges) {
        resp_write_bulk(call->reply, slice_of(sequence->data, len));
        return;
    }
    resp_write_map(call->reply, 2);
    resp_write_text(call->reply, "matches");
    resp_write_array(call->reply, count);
    buf_append_slice(call->reply, buf_slice(runs));
    resp_write_text(call->reply, "len");
    resp_write_int(call->reply, len);
}

static enum status load(
    struct call *call, enum keyspace_slot slot, size_t arg, struct buf *value, bool *good)
{
    struct row row;
    enum status status = keyspace_load(call, slot, call->db, call->args.argv[arg], &row);
    if (status != STATUS_OK || !row.found) {
        return status;
    }
    if (row.type != KEYSPACE_STRING) {
        *good = false;
        return STATUS_OK;
    }
    return keyspace_read(call, &row, 0, row.size, value);
}

enum status cmd_lcs_read(struct call *call)
{
    struct lcs lcs = {0};
    struct buf *a = txn_scratch(call->txn, SCRATCH_BODY);
    struct buf *b = txn_scratch(call->txn, SCRATCH_FIELD);
    bool good = true;
    enum status status = load(call, SLOT_A, 1, a, &good);
    status = status == STATUS_OK ? load(call, SLOT_B, 2, b, &good) : status;
    if (status != STATUS_OK) {
        return status;
    }
    const char *error =
        good ? parse(call->args, &lcs) : "ERR The specified keys must contain string values";
    lcs.a = buf_slice(a);
    lcs.b = buf_slice(b);
    uint64_t size = (uint64_t)(lcs.a.len + 1) * (lcs.b.len + 1) * sizeof(uint32_t);
    if (error == NULL && size > TABLE_SIZE_MAX) {
        error = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
    }
    if (error != NULL) {
        resp_write_error(call->reply, error);
        return STATUS_OK;
    }
    lcs.lengths = malloc(size);
    assert(lcs.lengths != NULL);
    fill(&lcs);
    reply(call, &lcs);
    free(lcs.lengths);
    return STATUS_OK;
}
