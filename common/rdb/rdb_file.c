#include "common/rdb/rdb_file.h"

#include "common/base/assert.h"
#include "common/rdb/crc64.h"
#include "common/rdb/rdb_value.h"

enum {
    HEADER_SIZE = 9, /* "REDIS" and four digits. */
    CHECKED_VERSION = 5,
    KEY_SIZE_MAX = 512 << 20,
};

/* What is no type of a value: rdb.h, RDB_OPCODE_*. */
enum opcode {
    OPCODE_FUNCTION2 = 245,
    OPCODE_FUNCTION = 246,
    OPCODE_MODULE_AUX = 247,
    OPCODE_IDLE = 248,
    OPCODE_FREQ = 249,
    OPCODE_AUX = 250,
    OPCODE_RESIZEDB = 251,
    OPCODE_EXPIRETIME_MS = 252,
    OPCODE_EXPIRETIME = 253,
    OPCODE_SELECTDB = 254,
    OPCODE_EOF = 255,
};

void rdb_file_init(struct rdb_file *file, struct rdb_mark start)
{
    *file = (struct rdb_file){.at = start};
    buf_init(&file->text, KEY_SIZE_MAX);
    buf_init(&file->key, KEY_SIZE_MAX);
}

void rdb_file_deinit(struct rdb_file *file)
{
    buf_deinit(&file->text);
    buf_deinit(&file->key);
}

static void fail(struct rdb_file *file, struct rdb_source *in, const char *fault)
{
    if (in->status == STATUS_OK) {
        file->fault = fault;
    }
    rdb_source_fail(in, STATUS_CORRUPT);
}

static void take_header(struct rdb_file *file, struct rdb_source *in)
{
    struct slice header = rdb_source_raw(in, HEADER_SIZE);
    if (in->status != STATUS_OK) {
        return;
    }
    unsigned version = 0;
    bool digits = memcmp(header.data, "REDIS", 5) == 0;
    for (size_t i = 5; i < HEADER_SIZE; i++) {
        digits = digits && header.data[i] >= '0' && header.data[i] <= '9';
        version = version * 10 + (header.data[i] - '0');
    }
    if (!digits || version == 0) {
        fail(file, in, "it is no RDB file: it does not begin with REDIS and a version");
    } else if (version > RDB_FILE_VERSION_MAX) {
        fail(file, in, "it was written by a version of Redis after 7.2");
    } else {
        file->at.version = version;
    }
}

static void take_end(struct rdb_file *file, struct rdb_source *in, struct slice window)
{
    if (file->at.version < CHECKED_VERSION) {
        return;
    }
    size_t size = window.len - in->rest.len;
    uint64_t checksum = rdb_source_u64(in);
    uint64_t sum = crc64_extend(file->at.checksum, slice_of(window.data, size));
    /* Redis writes 0 if it was told not to compute it. */
    if (in->status == STATUS_OK && checksum != 0 && checksum != sum) {
        fail(file, in, "its checksum is wrong: the file is damaged");
    }
}

/* A string that has to outlive the next one. */
static struct slice take_key(struct rdb_file *file, struct rdb_source *in)
{
    struct slice key = rdb_source_string(in);
    if (key.data != file->text.data) {
        return key;
    }
    buf_clear(&file->key);
    buf_append_slice(&file->key, key);
    return buf_slice(&file->key);
}

static void take_value(struct rdb_file *file,
                       struct rdb_source *in,
                       uint8_t type,
                       struct rdb_item *item)
{
    item->kind = RDB_ITEM_KEY;
    item->key = take_key(file, in);
    const uint8_t *value = in->rest.data;
    if (type == RDB_TYPE_MODULE) {
        fail(file, in, "a value of a module is in a form that only that module can read");
    } else if (type != RDB_TYPE_MODULE_2 && !rdb_value_known(type)) {
        fail(file, in, "it has a type of value that is not known");
    }
    rdb_value_skip(type, in);
    if (in->status == STATUS_OK) {
        item->value = slice_of(value, (size_t)(in->rest.data - value));
        item->type = type;
    }
}

/* What stands before a key. False: the opcode is none of these. */
static bool take_attribute(struct rdb_source *in, uint8_t opcode, struct rdb_item *item)
{
    if (opcode == OPCODE_EXPIRETIME) {
        int32_t seconds = (int32_t)rdb_source_u32(in);
        item->expire_ms = seconds > 0 ? (uint64_t)seconds * 1000 : 1;
    } else if (opcode == OPCODE_EXPIRETIME_MS) {
        int64_t expire_ms = (int64_t)rdb_source_u64(in);
        item->expire_ms = expire_ms > 0 ? (uint64_t)expire_ms : 1;
    } else if (opcode == OPCODE_FREQ) {
        (void)rdb_source_u8(in);
    } else if (opcode == OPCODE_IDLE) {
        (void)rdb_source_length(in);
    } else {
        return false;
    }
    return true;
}

static void take_item(struct rdb_file *file,
                      struct rdb_source *in,
                      struct slice window,
                      struct rdb_item *item)
{
    uint8_t opcode = rdb_source_u8(in);
    while (in->status == STATUS_OK && take_attribute(in, opcode, item)) {
        opcode = rdb_source_u8(in);
    }
    if (opcode == OPCODE_SELECTDB) {
        item->db = rdb_source_length(in);
        item->kind = RDB_ITEM_SIZES;
    } else if (opcode == OPCODE_RESIZEDB) {
        item->kind = RDB_ITEM_SIZES;
        item->keys = rdb_source_length(in);
        (void)rdb_source_length(in);
    } else if (opcode == OPCODE_AUX) {
        item->kind = RDB_ITEM_NOTE;
        item->key = take_key(file, in);
        item->value = rdb_source_string(in);
    } else if (opcode == OPCODE_FUNCTION2) {
        item->kind = RDB_ITEM_FUNCTIONS;
        rdb_source_skip_string(in);
    } else if (opcode == OPCODE_FUNCTION) {
        fail(file, in, "it has functions in a form of a release candidate of Redis 7.0");
    } else if (opcode == OPCODE_MODULE_AUX) {
        item->kind = RDB_ITEM_MODULE;
        rdb_value_skip(RDB_TYPE_MODULE_2, in); /* It is written as values of modules are. */
    } else if (opcode == OPCODE_EOF) {
        item->kind = RDB_ITEM_END;
        take_end(file, in, window);
    } else if (in->status == STATUS_OK) {
        take_value(file, in, opcode, item);
    }
}

enum status rdb_file_next(struct rdb_file *file, struct slice window, struct rdb_item *item)
{
    struct rdb_source in = rdb_source_of(window, KEY_SIZE_MAX, &file->text);
    unsigned version = file->at.version;
    file->fault = NULL;
    if (version == 0) {
        take_header(file, &in);
    }
    *item = (struct rdb_item){.db = file->at.db};
    if (in.status == STATUS_OK) {
        take_item(file, &in, window, item);
    }
    if (in.status != STATUS_OK) {
        file->at.version = version;
        if (in.status != STATUS_AGAIN && file->fault == NULL) {
            file->fault = in.status == STATUS_TOO_BIG ? "a key is longer than 512 MB"
                                                      : "its bytes make no sense: it is damaged";
        }
        return in.status == STATUS_AGAIN ? STATUS_AGAIN : STATUS_CORRUPT;
    }
    size_t used = window.len - in.rest.len;
    assert(used > 0);
    file->at.checksum = crc64_extend(file->at.checksum, slice_of(window.data, used));
    file->at.offset += used;
    file->at.db = item->db;
    return STATUS_OK;
}
