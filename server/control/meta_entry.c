#include "server/control/meta_entry.h"

#include "common/base/assert.h"
#include "common/base/reader.h"
#include "server/control/identity.h"

enum { PORT_MAX = 65535, INIT_ARGC = 9, JOIN_ARGC = 7 };

void meta_entry_encode(const struct meta_entry *entry, struct buf *out)
{
    assert(entry->op == META_INIT || entry->op == META_JOIN);
    size_t before = out->len;
    buf_append_u8(out, META_ENTRY_FORMAT);
    buf_append_u8(out, (uint8_t)entry->op);
    buf_append(out, entry->cluster, sizeof(entry->cluster));
    buf_append_u8(out, (uint8_t)entry->replicas);
    buf_append_u32(out, entry->shards);
    buf_append_u64(out, entry->node);
    buf_append_u64(out, entry->incarnation);
    buf_append_u64(out, entry->disk);
    buf_append_bytes(out, slice_str(entry->address));
    buf_append_bytes(out, slice_str(entry->zone));
    assert(out->len - before <= META_ENTRY_SIZE_MAX);
}

static bool copy_text(struct slice bytes, char *text, size_t size)
{
    if (bytes.len >= size || (bytes.len > 0 && memchr(bytes.data, 0, bytes.len) != NULL)) {
        return false;
    }
    memset(text, 0, size);
    if (bytes.len > 0) {
        memcpy(text, bytes.data, bytes.len);
    }
    return true;
}

static bool printable(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] >= 0x7f || text.data[i] == '"') {
            return false;
        }
    }
    return true;
}

bool meta_entry_address_ok(struct slice address)
{
    size_t colon = address.len;
    unsigned port = 0;
    while (colon > 0 && address.data[colon - 1] != ':') {
        colon--;
    }
    if (address.len >= NODE_ADDRESS_SIZE_MAX || colon < 2 || address.len - colon > 5) {
        return false;
    }
    for (size_t i = colon; i < address.len; i++) {
        if (address.data[i] < '0' || address.data[i] > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(address.data[i] - '0');
    }
    struct slice host = slice_of(address.data, colon - 1);
    bool bracketed = host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
    bool plain =
        memchr(host.data, ':', host.len) == NULL && memchr(host.data, '[', host.len) == NULL;
    return port > 0 && port <= PORT_MAX && printable(host) && (bracketed || plain);
}

/* NULL, or what is wrong with it. */
static const char *fault_of(const struct meta_entry *entry)
{
    if (!meta_entry_address_ok(slice_str(entry->address))) {
        return "the node's address must be HOST:PORT";
    }
    if (!printable(slice_str(entry->zone))) {
        return "the zone must be printable, without spaces and quotes";
    }
    if (entry->incarnation == 0 || entry->disk == 0) {
        return "incarnation and disk id must not be 0";
    }
    bool no_cluster = identity_cluster_is_zero(entry->cluster);
    if (entry->op == META_JOIN) {
        bool fits = no_cluster == (entry->node == 0);
        return fits ? NULL : "a node has an id if and only if it has a cluster";
    }
    if (no_cluster || entry->node != IDENTITY_NODE_FIRST) {
        return "a cluster begins with a cluster id and its first node";
    }
    return identity_numbers_fault(entry->replicas, entry->shards);
}

enum status meta_entry_decode(struct slice bytes, struct meta_entry *entry)
{
    struct reader in = reader_of(bytes);
    uint8_t format = reader_u8(&in);
    uint8_t op = reader_u8(&in);
    if (format != META_ENTRY_FORMAT || (op != META_INIT && op != META_JOIN)) {
        return STATUS_CORRUPT;
    }
    *entry = (struct meta_entry){.op = (enum meta_op)op};
    struct slice cluster = reader_raw(&in, sizeof(entry->cluster));
    if (!in.failed) {
        memcpy(entry->cluster, cluster.data, cluster.len);
    }
    entry->replicas = reader_u8(&in);
    entry->shards = reader_u32(&in);
    entry->node = reader_u64(&in);
    entry->incarnation = reader_u64(&in);
    entry->disk = reader_u64(&in);
    struct slice address = reader_bytes(&in, NODE_ADDRESS_SIZE_MAX - 1);
    struct slice zone = reader_bytes(&in, NODE_ZONE_SIZE_MAX - 1);
    if (!reader_done(&in) || !copy_text(address, entry->address, sizeof(entry->address)) ||
        !copy_text(zone, entry->zone, sizeof(entry->zone)) || fault_of(entry) != NULL) {
        return STATUS_CORRUPT;
    }
    bool numbers = entry->replicas != 0 || entry->shards != 0;
    return entry->op == META_JOIN && numbers ? STATUS_CORRUPT : STATUS_OK;
}

static bool parse_u64(struct slice text, uint64_t *value)
{
    uint64_t number = 0;
    if (text.len == 0 || text.len > 20) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    *value = number;
    return true;
}

/* What both commands end with: address zone incarnation disk. */
static const char *parse_tail(const struct slice *argv, struct meta_entry *entry)
{
    if (!copy_text(argv[0], entry->address, sizeof(entry->address))) {
        return "the node's address is too long";
    }
    if (!copy_text(argv[1], entry->zone, sizeof(entry->zone))) {
        return "the zone's name is too long";
    }
    if (!parse_u64(argv[2], &entry->incarnation) || !parse_u64(argv[3], &entry->disk)) {
        return "value is not an integer or out of range";
    }
    return fault_of(entry);
}

static const char *parse_cluster(struct slice bytes, struct meta_entry *entry)
{
    if (bytes.len != sizeof(entry->cluster)) {
        return "a cluster id has 16 bytes";
    }
    memcpy(entry->cluster, bytes.data, bytes.len);
    return NULL;
}

static const char *parse_init(const struct slice *argv, struct meta_entry *entry)
{
    uint64_t replicas = 0;
    uint64_t shards = 0;
    entry->op = META_INIT;
    const char *fault = parse_cluster(argv[1], entry);
    if (fault != NULL) {
        return fault;
    }
    if (!parse_u64(argv[2], &replicas) || !parse_u64(argv[3], &shards) ||
        !parse_u64(argv[4], &entry->node) || replicas > UINT8_MAX || shards > UINT32_MAX) {
        return "value is not an integer or out of range";
    }
    entry->replicas = (unsigned)replicas;
    entry->shards = (unsigned)shards;
    return parse_tail(argv + 5, entry);
}

static const char *parse_join(const struct slice *argv, struct meta_entry *entry)
{
    entry->op = META_JOIN;
    if (!parse_u64(argv[1], &entry->node)) {
        return "value is not an integer or out of range";
    }
    const char *fault = parse_cluster(argv[2], entry);
    return fault != NULL ? fault : parse_tail(argv + 3, entry);
}

const char *meta_entry_parse(struct args args, struct meta_entry *entry)
{
    assert(args.argc > 0);
    *entry = (struct meta_entry){0};
    bool init = command_word(args.argv[0], "META.INIT");
    if (args.argc != (init ? INIT_ARGC : JOIN_ARGC)) {
        return "wrong number of arguments";
    }
    return init ? parse_init(args.argv, entry) : parse_join(args.argv, entry);
}
