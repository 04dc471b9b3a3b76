#include "server/machine/survey.h"

#include "common/base/assert.h"

/* Where the walk goes on behind a row that is not a metadata row. False: nowhere. */
static bool skip(const struct keyspace_prefix *at, struct slice row_key, struct buf *seek)
{
    buf_clear(seek);
    if (!at->element) {
        buf_append(seek, row_key.data, at->size); /* A chunk: behind the last version of its key. */
        buf_append_u64_be(seek, UINT64_MAX);
        return true;
    }
    /* Elements come behind all keys of their token and database. */
    if (at->db + 1 == MACHINE_DATABASES && at->token == UINT64_MAX) {
        return false;
    }
    bool same = at->db + 1 < MACHINE_DATABASES;
    buf_append_u64_be(seek, same ? at->token : at->token + 1);
    buf_append_u8(seek, same ? (uint8_t)(at->db + 1) : 0);
    return true;
}

static enum status count(struct store_iter *iter, uint8_t db, struct survey *survey)
{
    struct row row = {0};
    enum status status = keyspace_parse_row(iter_value(iter), &row);
    if (status != STATUS_OK) {
        return status;
    }
    if (db == 0) {
        survey->keys++;
        survey->expires += row.expire_ms != 0;
    }
    if (row.expire_ms != 0) {
        buf_append_u64(survey->expiring, row.expire_ms);
        buf_append_bytes(survey->expiring, iter_key(iter));
    }
    return STATUS_OK;
}

/* Looks at one place and moves on. */
static enum status step(struct store_iter *iter,
                        struct survey *survey,
                        struct buf *seek,
                        bool *more)
{
    struct keyspace_prefix at;
    struct slice row_key = iter_key(iter);
    if (!keyspace_parse_prefix(row_key, &at) || at.db >= MACHINE_DATABASES) {
        return STATUS_CORRUPT;
    }
    size_t size = row_key.len;
    if (at.element || at.size != row_key.len) {
        *more = skip(&at, row_key, seek);
        if (*more) {
            iter_seek(iter, buf_slice(seek));
        }
    } else {
        size += iter_value(iter).len;
        enum status status = count(iter, at.db, survey);
        if (status != STATUS_OK) {
            return status;
        }
        iter_next(iter);
    }
    survey->rows_left--;
    survey->size_left -= size < survey->size_left ? size : survey->size_left;
    return STATUS_OK;
}

enum status survey_walk(struct txn *txn, struct slice from, struct slice to, struct survey *survey)
{
    struct buf seek;
    buf_init(&seek, SIZE_MAX / 2);
    struct store_iter *iter = iter_open(txn, STORE_DATA, from, to);
    enum status status = STATUS_OK;
    bool more = true;
    bool pause = false;
    while (more && status == STATUS_OK && iter_valid(iter)) {
        pause = survey->rows_left == 0 || survey->size_left == 0;
        if (pause) {
            break;
        }
        status = step(iter, survey, &seek, &more);
    }
    buf_clear(&seek); /* from may be what *next holds. */
    if (status == STATUS_OK && pause) {
        buf_append_slice(&seek, iter_key(iter));
    }
    enum status walked = iter_status(iter);
    iter_close(iter);
    buf_clear(survey->next);
    buf_append_slice(survey->next, buf_slice(&seek));
    buf_deinit(&seek);
    return status != STATUS_OK ? status : walked;
}
