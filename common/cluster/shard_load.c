#include "common/cluster/shard_load.h"

#include "common/base/assert.h"
#include "common/base/reader.h"

enum { REPORT_FORMAT = 1, SHARE_ALL = 1000 };

const char *shard_load_verdict_text(enum split_verdict verdict)
{
    switch (verdict) {
    case SPLIT_UNKNOWN: return "too little load was seen";
    case SPLIT_GOOD: return "a split would help";
    case SPLIT_ONE_KEY: return "one key is half of the load or more";
    case SPLIT_ONE_TOKEN: return "the shard has only one token";
    case SPLIT_NO_DATA: return "nothing was found on one side of every point";
    case SPLIT_UNEVEN: return "no point halves the load";
    case SPLIT_VERDICTS: break;
    }
    return "?";
}

const char *shard_load_remedy(const struct key_load *key)
{
    if (key->absent * 2 > key->share) {
        return "it does not exist: let the router's cache remember that";
    }
    if (key->writes * 2 > key->share) {
        return "mostly writes: spread it over several keys, or limit who writes it";
    }
    return "mostly reads: the router's cache or reads from replicas take them off the leader";
}

void node_load_encode(const struct node_load *load, struct buf *out)
{
    buf_append_u64(out, load->node);
    buf_append_u64(out, load->incarnation);
    buf_append_u64(out, load->up_ms);
    buf_append_u64(out, load->loops);
    buf_append_u64(out, load->cpu);
    buf_append_u64(out, load->busiest);
    buf_append_u64(out, load->ops);
    buf_append_u64(out, load->replicas);
    buf_append_u64(out, load->disk_free);
}

static void decode_node(struct reader *in, struct node_load *load)
{
    load->node = reader_u64(in);
    load->incarnation = reader_u64(in);
    load->up_ms = reader_u64(in);
    load->loops = reader_u64(in);
    load->cpu = reader_u64(in);
    load->busiest = reader_u64(in);
    load->ops = reader_u64(in);
    load->replicas = reader_u64(in);
    load->disk_free = reader_u64(in);
}

static void encode_key(const struct key_load *key, struct buf *out)
{
    assert(key->key_len <= SHARD_LOAD_KEY_SIZE_MAX);
    buf_append_u64(out, key->token);
    buf_append_u16(out, key->share);
    buf_append_u16(out, key->writes);
    buf_append_u16(out, key->absent);
    buf_append_u32(out, key->key_size);
    buf_append_u8(out, key->db);
    buf_append_u8(out, key->key_len);
    buf_append(out, key->key, key->key_len);
}

static uint16_t take_share(struct reader *in)
{
    uint16_t share = reader_u16(in);
    in->failed = in->failed || share > SHARE_ALL;
    return share;
}

static void decode_key(struct reader *in, struct key_load *key)
{
    *key = (struct key_load){0};
    key->token = reader_u64(in);
    key->share = take_share(in);
    key->writes = take_share(in);
    key->absent = take_share(in);
    key->key_size = reader_u32(in);
    key->db = reader_u8(in);
    key->key_len = reader_u8(in);
    if (key->key_len > SHARD_LOAD_KEY_SIZE_MAX || key->key_len > key->key_size) {
        in->failed = true;
        return;
    }
    struct slice name = reader_raw(in, key->key_len);
    if (name.len > 0) {
        memcpy(key->key, name.data, name.len);
    }
}

static void encode_details(const struct shard_load *load, struct buf *out)
{
    assert(load->key_count <= SHARD_LOAD_KEYS_MAX);
    buf_append_u8(out, (uint8_t)load->verdict);
    buf_append_u64(out, load->split_token);
    buf_append_u16(out, load->split_left);
    assert(load->cut_count <= SHARD_LOAD_CUTS);
    buf_append_u8(out, (uint8_t)load->cut_count);
    for (size_t i = 0; i < load->cut_count; i++) {
        buf_append_u64(out, load->cuts[i].token);
        buf_append_u16(out, load->cuts[i].left);
    }
    buf_append_u64(out, load->hot_token);
    buf_append_u16(out, load->hot_share);
    for (size_t i = 0; i < SHARD_LOAD_HEAT; i++) {
        buf_append_u16(out, load->heat[i]);
    }
    buf_append_u8(out, (uint8_t)load->key_count);
    for (size_t i = 0; i < load->key_count; i++) {
        encode_key(&load->hot[i], out);
    }
}

static void decode_cuts(struct reader *in, struct shard_load *load)
{
    load->cut_count = reader_u8(in);
    if (load->cut_count > SHARD_LOAD_CUTS) {
        in->failed = true;
        return;
    }
    uint64_t before = load->start;
    for (size_t i = 0; i < load->cut_count; i++) {
        struct load_cut *cut = &load->cuts[i];
        cut->token = reader_u64(in);
        cut->left = take_share(in);
        if (cut->token <= before || cut->token > load->last) {
            in->failed = true;
        }
        before = cut->token;
    }
}

static void decode_details(struct reader *in, struct shard_load *load)
{
    uint8_t verdict = reader_u8(in);
    load->split_token = reader_u64(in);
    load->split_left = take_share(in);
    decode_cuts(in, load);
    load->hot_token = reader_u64(in);
    load->hot_share = take_share(in);
    for (size_t i = 0; i < SHARD_LOAD_HEAT; i++) {
        load->heat[i] = take_share(in);
    }
    load->key_count = reader_u8(in);
    bool cut = verdict == SPLIT_GOOD &&
               (load->split_token <= load->start || load->split_token > load->last);
    if (verdict >= SPLIT_VERDICTS || cut || load->key_count > SHARD_LOAD_KEYS_MAX) {
        in->failed = true;
        return;
    }
    load->verdict = (enum split_verdict)verdict;
    for (size_t i = 0; i < load->key_count; i++) {
        decode_key(in, &load->hot[i]);
    }
}

void shard_load_encode(const struct shard_load *load, struct buf *out)
{
    buf_append_u64(out, load->shard);
    buf_append_u64(out, load->ver);
    buf_append_u64(out, load->start);
    buf_append_u64(out, load->last);
    buf_append_u64(out, load->bytes);
    buf_append_u64(out, load->keys);
    buf_append_u64(out, load->slow_ops);
    if (load->slow_ops == 0) {
        return;
    }
    buf_append_u64(out, load->slow_cpu);
    buf_append_u64(out, load->ops);
    buf_append_u64(out, load->reads);
    buf_append_u64(out, load->writes);
    buf_append_u64(out, load->absent);
    buf_append_u64(out, load->traffic);
    buf_append_u64(out, load->cpu);
    buf_append_u64(out, load->follower_cpu);
    encode_details(load, out);
}

static void decode_shard(struct reader *in, struct shard_load *load)
{
    *load = (struct shard_load){0};
    load->shard = reader_u64(in);
    load->ver = reader_u64(in);
    load->start = reader_u64(in);
    load->last = reader_u64(in);
    load->bytes = reader_u64(in);
    load->keys = reader_u64(in);
    load->slow_ops = reader_u64(in);
    in->failed = in->failed || load->shard == 0 || load->last < load->start;
    if (load->slow_ops == 0) {
        return;
    }
    load->slow_cpu = reader_u64(in);
    load->ops = reader_u64(in);
    load->reads = reader_u64(in);
    load->writes = reader_u64(in);
    load->absent = reader_u64(in);
    load->traffic = reader_u64(in);
    load->cpu = reader_u64(in);
    load->follower_cpu = reader_u64(in);
    decode_details(in, load);
}

void load_report_begin(const struct node_load *node, uint32_t count, struct buf *out)
{
    assert(count <= SHARD_LOAD_COUNT_MAX);
    buf_append_u8(out, REPORT_FORMAT);
    node_load_encode(node, out);
    buf_append_u32(out, count);
}

enum status load_report_open(struct slice body, struct load_report *report)
{
    struct reader in = reader_of(body);
    if (reader_u8(&in) != REPORT_FORMAT) {
        return STATUS_PROTOCOL;
    }
    decode_node(&in, &report->node);
    report->count = reader_u32(&in);
    if (in.failed || report->node.node == 0 || report->count > SHARD_LOAD_COUNT_MAX) {
        return STATUS_PROTOCOL;
    }
    report->rest = in.rest;
    for (uint32_t i = 0; !in.failed && i < report->count; i++) {
        struct shard_load load;
        decode_shard(&in, &load);
    }
    return reader_done(&in) ? STATUS_OK : STATUS_PROTOCOL;
}

bool load_report_next(struct load_report *report, struct shard_load *load)
{
    if (report->count == 0) {
        return false;
    }
    struct reader in = reader_of(report->rest);
    decode_shard(&in, load);
    assert(!in.failed); /* load_report_open() has read it all. */
    report->rest = in.rest;
    report->count--;
    return true;
}
