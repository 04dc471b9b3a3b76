#include "tests/raft/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "replication/raft/install.h"
#include "tests/raft/clock_fake.h"

static void on_apply(void *ctx,
                     const struct group_state *state,
                     struct slice entry,
                     struct proposal *mine)
{
    struct rig *rig = ctx;
    (void)entry;
    (void)mine;
    CHECK_EQ(state->index, rig->state.index + 1);
    rig->state = *state;
    rig->applied++;
}

static void on_role(void *ctx, enum group_role role, uint64_t term, uint64_t leader_node)
{
    struct rig *rig = ctx;
    (void)term;
    (void)leader_node;
    rig->role = role;
}

static void on_wanted(void *ctx, const struct group_member *to, uint64_t token)
{
    struct rig *rig = ctx;
    rig->wanted = to->replica;
    rig->token = token;
}

static void on_install(void *ctx, const struct group_state *state, struct slice manifest)
{
    struct rig *rig = ctx;
    CHECK(manifest.len <= sizeof rig->manifest);
    rig->installing = true;
    rig->install_state = *state;
    rig->manifest_len = manifest.len;
    memcpy(rig->manifest, manifest.data, manifest.len);
}

static bool on_ready(void *ctx, const struct group_state *state, struct slice manifest)
{
    const struct rig *rig = ctx;
    (void)state;
    (void)manifest;
    return !rig->not_ready;
}

static const struct group_machine machine = {
    .apply = on_apply,
    .on_role = on_role,
    .on_snapshot_wanted = on_wanted,
    .on_snapshot_install = on_install,
    .snapshot_ready = on_ready,
};

static void on_send(void *ctx, uint64_t node, unsigned loop, struct slice batch)
{
    struct rig *rig = ctx;
    CHECK(node >= 2 && node <= 3);
    CHECK_EQ(loop, 0);
    uint8_t *bytes = malloc(batch.len);
    CHECK(bytes != NULL);
    memcpy(bytes, batch.data, batch.len);
    struct reader in = reader_of(slice_of(bytes, batch.len));
    struct message_header header;
    CHECK(message_take_header(&in, &header));
    bool first = true;
    struct message message;
    while (message_next(&in, &message)) {
        CHECK(rig->out_count < RIG_OUT_MAX);
        rig->out_bytes[rig->out_count] = first ? bytes : NULL;
        rig->out[rig->out_count++] = message;
        first = false;
    }
    CHECK(reader_done(&in));
    if (first) {
        free(bytes);
    }
}

static unsigned on_loops(void *ctx, uint64_t node)
{
    const struct rig *rig = ctx;
    return node <= 3 && rig->connected[node] ? 1 : 0;
}

struct rig *rig_new(unsigned guards_off)
{
    struct rig *rig = calloc(1, sizeof *rig);
    CHECK(rig != NULL);
    clock_fake_reset();
    log_set_level(LOG_ERROR);
    rig->wal = wal_fake_new();
    rig->guards_off = guards_off;
    rig->entry_bytes_max = 1 << 20;
    rig->connected[2] = rig->connected[3] = true;
    rig->state.index = rig->state.conf_index = GROUP_BIRTH_INDEX;
    rig->state.term = GROUP_BIRTH_TERM;
    rig->state.conf.count = 3;
    for (unsigned i = 0; i < 3; i++) {
        rig->state.conf.members[i] = (struct group_member){i + 1, i + 1, MEMBER_VOTER};
    }
    return rig;
}

void rig_free(struct rig *rig)
{
    if (rig->group != NULL) {
        group_close(rig->group);
        host_turn(rig->host);
        host_free(rig->host);
    }
    rig_forget(rig);
    wal_fake_free(rig->wal);
    free(rig);
}

void rig_put_birth(struct rig *rig, uint64_t term, uint64_t vote)
{
    struct buf record;
    buf_init(&record, 4096);
    install_encode(&rig->state, slice_of(NULL, 0), &record);
    wal_fake_put_reset(rig->wal, RIG_GROUP, rig->state.index, rig->state.term, buf_slice(&record));
    wal_fake_put_vote(rig->wal, RIG_GROUP, term, vote);
    buf_deinit(&record);
}

void rig_put_entries(struct rig *rig, uint64_t first, unsigned count, uint64_t term)
{
    for (unsigned i = 0; i < count; i++) {
        struct wal_entry entry = {.term = term, .type = RAFT_COMMAND, .data = slice_str("entry")};
        wal_fake_put_entry(rig->wal, RIG_GROUP, first + i, &entry);
    }
}

void rig_put_conf(struct rig *rig, uint64_t index, uint64_t term, const struct group_conf *conf)
{
    struct raft_configuration raft;
    struct raft_buffer buffer;
    group_conf_to_raft(conf, &raft);
    int rv = raft_configuration_encode(&raft, &buffer);
    CHECK_EQ(rv, 0);
    struct wal_entry entry = {.term = term, .type = RAFT_CHANGE};
    entry.data = slice_of(buffer.base, buffer.len);
    wal_fake_put_entry(rig->wal, RIG_GROUP, index, &entry);
    raft_configuration_close(&raft);
    raft_free(buffer.base);
}

void rig_open(struct rig *rig)
{
    struct host_options options = {
        .node = 1,
        .incarnation = 77,
        .seed = 5,
        .election_ms = RIG_ELECTION_MS,
        .heartbeat_ms = RIG_HEARTBEAT_MS,
        .quiesce_ms = rig->quiesce_ms,
        .lease_reads = rig->lease_reads,
        .entry_bytes_max = rig->entry_bytes_max,
    };
    struct host_env env = {.ctx = rig, .send = on_send, .loops = on_loops};
    struct group_options group = {
        .id = RIG_GROUP,
        .replica = rig->replica == 0 ? 1 : rig->replica,
        .reborn = rig->reborn,
        .ctx = rig,
        .machine = &machine,
        .state = rig->state,
    };
    rig->port = wal_fake_reopen(rig->wal);
    rig->host = host_new(&options, &env, rig->wal, rig->port);
    guard_disable(rig->host, rig->guards_off);
    CHECK_EQ(group_open(rig->host, &group, &rig->group), STATUS_OK);
    rig_turn(rig);
}

void rig_crash(struct rig *rig)
{
    wal_fake_crash(rig->wal);
    group_close(rig->group);
    host_free(rig->host);
    rig->group = NULL;
    rig->host = NULL;
    rig_forget(rig);
}

void rig_turn(struct rig *rig)
{
    host_turn(rig->host);
}

void rig_sync(struct rig *rig)
{
    rig_turn(rig);
    while (wal_fake_waiting(rig->wal) > 0) {
        wal_fake_sync(rig->wal, 1);
        rig_turn(rig);
    }
}

void rig_wait(struct rig *rig, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += HOST_TICK_MS) {
        clock_fake_advance_ms(HOST_TICK_MS);
        host_tick(rig->host);
        rig_turn(rig);
    }
}

void rig_say(struct rig *rig, struct message *message)
{
    struct buf batch;
    uint64_t node = message->from;
    struct message_header header = {.incarnation = node * 100 + rig->life[node]};
    CHECK(node >= 2 && node <= 3);
    header.seq = ++rig->seq[node];
    message->group = RIG_GROUP;
    message->to = 1;
    buf_init(&batch, 64 << 20);
    message_put_header(&header, &batch);
    message_put(message, &batch);
    CHECK_EQ(host_receive(rig->host, node, buf_slice(&batch)), STATUS_OK);
    buf_deinit(&batch);
    rig_turn(rig);
}

void rig_say_append(struct rig *rig,
                    uint64_t from,
                    uint64_t term,
                    const struct message_append *append,
                    const struct message_entry *entries)
{
    struct message message = {.kind = MESSAGE_APPEND, .from = from, .term = term};
    struct buf bytes;
    buf_init(&bytes, 64 << 20);
    message.append = *append;
    for (uint32_t i = 0; i < append->count; i++) {
        message_put_entry(&entries[i], &bytes);
    }
    message.append.entries = buf_slice(&bytes);
    rig_say(rig, &message);
    buf_deinit(&bytes);
}

void rig_say_vote(struct rig *rig, uint64_t from, uint64_t term, const struct message_vote *vote)
{
    struct message message = {.kind = MESSAGE_VOTE, .from = from, .term = term, .vote = *vote};
    rig_say(rig, &message);
}

void rig_say_result(struct rig *rig, uint64_t from, uint64_t rejected, uint64_t index)
{
    struct message message = {.kind = MESSAGE_APPEND_RESULT, .from = from};
    message.term = rig->group->raft.current_term;
    message.append_result.rejected = rejected;
    message.append_result.last_index = index;
    rig_say(rig, &message);
}

const struct message *rig_heard(const struct rig *rig, enum message_kind kind, uint64_t to)
{
    for (unsigned i = rig->out_count; i > 0; i--) {
        const struct message *message = &rig->out[i - 1];
        if (message->kind == kind && (to == 0 || message->to == to)) {
            return message;
        }
    }
    return NULL;
}

unsigned rig_heard_count(const struct rig *rig, enum message_kind kind)
{
    unsigned count = 0;
    for (unsigned i = 0; i < rig->out_count; i++) {
        count += rig->out[i].kind == kind;
    }
    return count;
}

void rig_forget(struct rig *rig)
{
    for (unsigned i = 0; i < rig->out_count; i++) {
        free(rig->out_bytes[i]);
        rig->out_bytes[i] = NULL;
    }
    rig->out_count = 0;
}

static void wait_for_vote(struct rig *rig, bool pre_vote)
{
    for (unsigned i = 0; i < 200; i++) {
        const struct message *vote = rig_heard(rig, MESSAGE_VOTE, 2);
        if (vote != NULL && vote->vote.pre_vote == pre_vote) {
            return;
        }
        rig_wait(rig, HOST_TICK_MS);
        rig_sync(rig);
    }
    CHECK(false);
}

void rig_elect(struct rig *rig)
{
    for (unsigned round = 0; round < 2; round++) {
        wait_for_vote(rig, round == 0);
        const struct message *vote = rig_heard(rig, MESSAGE_VOTE, 2);
        struct message answer = {.kind = MESSAGE_VOTE_RESULT, .from = 2, .term = vote->term};
        answer.vote_result.granted = true;
        answer.vote_result.pre_vote = round == 0;
        rig_say(rig, &answer);
        rig_turn(rig);
        if (round == 0) {
            rig_sync(rig);
        }
    }
    CHECK_EQ(rig->group->raft.state, RAFT_LEADER);
}

void rig_lead(struct rig *rig)
{
    rig_elect(rig);
    rig_sync(rig);
    rig_say_result(rig, 2, 0, rig_info(rig).last_index);
    rig_sync(rig);
    CHECK_EQ(rig->role, GROUP_LEADER);
    rig_forget(rig);
}

struct group_info rig_info(const struct rig *rig)
{
    struct group_info info;
    group_info(rig->group, &info);
    return info;
}

static void on_done(struct proposal *proposal, enum status status)
{
    struct rig_call *call = (struct rig_call *)(void *)proposal;
    CHECK(!call->called);
    call->called = true;
    call->status = status;
}

static void on_readable(struct group_read *read, enum status status)
{
    struct rig_call *call =
        (struct rig_call *)(void *)((char *)read - offsetof(struct rig_call, read));
    CHECK(!call->called);
    call->called = true;
    call->status = status;
}

struct rig_call *rig_call_new(void)
{
    struct rig_call *call = calloc(1, sizeof *call);
    CHECK(call != NULL);
    call->proposal.on_done = on_done;
    call->read.on_readable = on_readable;
    return call;
}

bool rig_violates(bool (*scenario)(unsigned guards_off), unsigned guards_off)
{
    int status = 0;
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(10);
        fclose(stderr); /* What the allocator says of the corruption is expected. */
        _Exit(scenario(guards_off) ? 1 : 0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
}
