#include "tests/support/elastic_nodes.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/cluster/session_number.h"
#include "common/cluster/shard_news.h"
#include "common/cluster/token.h"
#include "tests/support/test.h"

enum {
    ALIVE_MAX = 10,
    FROZEN_MS_MAX = 30,
    RECORD_MS = 15 * 1000, /* Longer than any request lives. */
};

bool elastic_chance(struct elastic *elastic, unsigned per_mille)
{
    return rand_below(&elastic->rand, 1000) < per_mille;
}

static struct elastic_shard *shard_of(struct elastic *elastic, uint64_t id)
{
    CHECK(id >= SHARD_FIRST && id < SHARD_FIRST + ELASTIC_SHARDS_MAX);
    return &elastic->shards[id - SHARD_FIRST];
}

static bool link_is_up(struct elastic *elastic, uint64_t node)
{
    return script_link(&elastic->script, node)->up;
}

static bool hears(struct elastic *elastic, uint64_t node)
{
    return link_is_up(elastic, node) && !elastic->paused[node];
}

/* The leader tells the router, if it can. */
static void announce(struct elastic *elastic, uint64_t id)
{
    const struct elastic_shard *shard = shard_of(elastic, id);
    if (hears(elastic, shard->leader)) {
        script_lead(&elastic->script, shard->leader, id, shard->term, shard->leader);
    }
}

static void give_back(struct elastic *elastic,
                      uint64_t shard,
                      bool (*goes)(struct elastic *, struct elastic_answer *, uint64_t shard));
static bool goes_all(struct elastic *elastic, struct elastic_answer *parked, uint64_t shard);

/* One that is stopped cannot be elected. */
static bool move_leader(struct elastic *elastic, uint64_t id)
{
    struct elastic_shard *shard = shard_of(elastic, id);
    uint64_t leader = 1 + rand_below(&elastic->rand, ELASTIC_NODES);
    if (elastic->paused[leader]) {
        return false;
    }
    shard->leader = leader;
    shard->term++;
    give_back(elastic, id, goes_all);
    if (!elastic_chance(elastic, 300)) {
        announce(elastic, id);
    }
    return true;
}

/* Nothing is decided at a shard whose leader is stopped: another one has to take over first, and
 * what the stopped one was sent is nothing any more. False: not yet. */
static bool can_decide(struct elastic *elastic, uint64_t id)
{
    return !elastic->paused[shard_of(elastic, id)->leader] || move_leader(elastic, id);
}

/* Records. */

static struct elastic_record *find_record(struct elastic_shard *shard,
                                          uint64_t session,
                                          uint64_t seq)
{
    for (size_t i = 0; i < shard->record_count; i++) {
        if (shard->records[i].session == session && shard->records[i].seq == seq) {
            return &shard->records[i];
        }
    }
    return NULL;
}

static void add_record(struct elastic_shard *shard, const struct elastic_record *record)
{
    if (shard->record_count == shard->record_size) {
        shard->record_size = shard->record_size == 0 ? 64 : shard->record_size * 2;
        shard->records = realloc(shard->records, shard->record_size * sizeof(*shard->records));
        CHECK(shard->records != NULL);
    }
    shard->records[shard->record_count++] = *record;
}

static uint64_t *floor_of(struct elastic_shard *shard, uint64_t session)
{
    size_t at = 0;
    while (shard->floors[at].session != session && shard->floors[at].session != 0) {
        at++;
        CHECK(at < ELASTIC_SESSIONS_MAX);
    }
    shard->floors[at].session = session;
    return &shard->floors[at].floor;
}

static void prune_records(struct elastic *elastic, struct elastic_shard *shard)
{
    size_t kept = 0;
    for (size_t i = 0; i < shard->record_count; i++) {
        const struct elastic_record *record = &shard->records[i];
        bool handed_on = (record->session & SESSION_NUMBER_INHERITED) != 0;
        bool needed = handed_on ? record->at_ms + RECORD_MS > elastic->script.now_ms
                                : record->seq >= *floor_of(shard, record->session);
        if (needed) {
            shard->records[kept++] = *record;
        }
    }
    shard->record_count = kept;
}

static void hand_on(struct elastic *elastic, uint64_t from, uint64_t to)
{
    struct elastic_shard *source = shard_of(elastic, from);
    struct elastic_shard *heir = shard_of(elastic, to);
    prune_records(elastic, source);
    for (size_t i = 0; i < source->record_count; i++) {
        struct elastic_record record = source->records[i];
        record.session = session_number_inherited(record.session, from);
        record.at_ms = elastic->script.now_ms;
        if (find_record(heir, record.session, record.seq) == NULL) {
            add_record(heir, &record);
        }
    }
}

/* Serving. */

static void answer_later(struct elastic *elastic, struct elastic_answer *answer, uint64_t delay_ms)
{
    answer->at_ms = elastic->script.now_ms + delay_ms;
    struct elastic_answer **at = &elastic->answers;
    while (*at != NULL && (*at)->at_ms <= answer->at_ms) {
        at = &(*at)->next;
    }
    answer->next = *at;
    *at = answer;
}

static size_t position_of(const struct elastic *elastic, uint64_t token)
{
    const struct shard_map *map = &elastic->script.map;
    return (size_t)(shard_map_find(map, token) - map->shards);
}

/* What there is today from one token to another. */
static void write_news(struct elastic *elastic,
                       uint64_t start,
                       uint64_t last,
                       struct elastic_answer *answer)
{
    struct shard_news news = {0};
    for (size_t i = position_of(elastic, start); i <= position_of(elastic, last); i++) {
        const struct shard_desc *desc = &elastic->script.map.shards[i];
        const struct elastic_shard *shard = shard_of(elastic, desc->id);
        struct leader_hint hint = {.shard = desc->id, .term = shard->term, .node = shard->leader};
        shard_news_add(&news, desc, elastic_chance(elastic, 500) ? &hint : NULL);
    }
    struct buf body;
    buf_init(&body, sizeof(answer->body));
    shard_news_encode(&news, &body);
    CHECK(body.len <= sizeof(answer->body));
    memcpy(answer->body, body.data, body.len);
    answer->body_len = body.len;
    buf_deinit(&body);
}

/* False: a key belongs to another shard; where to read on that. */
static bool owns(const struct elastic_answer *answer,
                 const struct shard_desc *desc,
                 uint64_t *other)
{
    const struct frame_request *frame = &answer->request.frame;
    const struct command *command = command_find(frame->args.argv[0]);
    size_t index = 0;
    for (size_t nth = 0; (index = command_key_at(command, frame->args, nth)) != 0; nth++) {
        *other = token_of(frame->db, frame->args.argv[index]);
        if (*other < desc->start || *other > desc->last) {
            return false;
        }
    }
    return true;
}

static void put_reply(struct elastic_answer *answer, const char *reply)
{
    answer->status = STATUS_OK;
    answer->body_len = strlen(reply);
    memcpy(answer->body, reply, answer->body_len);
}

static void disown(struct elastic *elastic,
                   struct elastic_answer *answer,
                   const struct shard_desc *desc,
                   uint64_t other)
{
    answer->status = STATUS_NOT_OWNER;
    answer->body_len = 0;
    if (elastic_chance(elastic, 200)) {
        return; /* It knows nothing. */
    }
    uint64_t start = other < desc->start ? other : desc->start;
    uint64_t last = other > desc->last ? other : desc->last;
    bool all = elastic_chance(elastic, 300);
    write_news(elastic, all ? 0 : start, all ? UINT64_MAX : last, answer);
}

/* As the leader of a shard that lives. False: it found nothing, and may wait. */
static bool apply(struct elastic *elastic, struct elastic_answer *answer)
{
    const struct frame_request *frame = &answer->request.frame;
    struct elastic_shard *shard = shard_of(elastic, frame->shard);
    const struct shard_desc *desc = shard_map_shard(&elastic->script.map, frame->shard);
    CHECK(desc != NULL);
    struct elastic_record record = {
        .session = frame->session, .seq = frame->seq, .at_ms = elastic->script.now_ms};
    bool write = frame->session != 0;
    const struct elastic_record *known =
        write ? find_record(shard, frame->session, frame->seq) : NULL;
    if (known == NULL && (frame->session & SESSION_NUMBER_INHERITED) != 0) {
        uint64_t before = session_number_before(frame->session, frame->shard);
        known = find_record(shard, before, frame->seq); /* Its own, from before. */
    }
    bool outdated = (frame->flags & REQUEST_EXACT) != 0 && frame->ver != desc->ver;
    uint64_t other = desc->start;
    if (known != NULL && !outdated) {
        put_reply(answer, known->reply);
        return true;
    }
    if (!owns(answer, desc, &other) || (outdated && !write)) {
        disown(elastic, answer, desc, other);
        return true;
    }
    bool own = (frame->session & SESSION_NUMBER_INHERITED) == 0;
    if (write && own && frame->seq < *floor_of(shard, frame->session)) {
        put_reply(answer, "-UNKNOWN acknowledged before\r\n"); /* A try that arrives too late. */
        return true;
    }
    if (!elastic->execute(elastic->ctx, frame, desc, record.reply)) {
        return false;
    }
    put_reply(answer, record.reply);
    if (write) {
        if (own && frame->first_unacked > *floor_of(shard, frame->session)) {
            *floor_of(shard, frame->session) = frame->first_unacked;
        }
        add_record(shard, &record);
        prune_records(elastic, shard);
    }
    if (outdated) {
        disown(elastic, answer, desc, desc->last);
    }
    return true;
}

/* Waiting. */

static void park(struct elastic *elastic, const struct elastic_answer *request)
{
    struct elastic_answer *parked = malloc(sizeof(*parked));
    CHECK(parked != NULL);
    *parked = *request;
    struct slice argv[SCRIPT_ARGS_MAX];
    size_t argc = request->request.frame.args.argc;
    size_t size = sizeof(parked->request.text);
    /* Its arguments borrow from what was copied. */
    for (size_t i = 0; i < argc; i++) {
        size_t at = (size_t)(request->request.argv[i].data - request->request.text);
        CHECK(at < size);
        argv[i] = slice_of(parked->request.text + at, request->request.argv[i].len);
    }
    memcpy(parked->request.argv, argv, argc * sizeof(*argv));
    parked->request.frame.args.argv = parked->request.argv;
    parked->next = NULL;
    struct elastic_answer **at = &elastic->waiting;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = parked;
}

static bool is_at(const struct elastic_answer *parked, uint64_t shard)
{
    return parked->request.frame.shard == shard;
}

/* Takes out those that `goes` says, and answers them with what it leaves in them. */
static void give_back(struct elastic *elastic,
                      uint64_t shard,
                      bool (*goes)(struct elastic *, struct elastic_answer *, uint64_t shard))
{
    struct elastic_answer **at = &elastic->waiting;
    while (*at != NULL) {
        struct elastic_answer *parked = *at;
        if (!goes(elastic, parked, shard)) {
            at = &parked->next;
            continue;
        }
        *at = parked->next;
        answer_later(elastic, parked, 1 + rand_below(&elastic->rand, 3));
    }
}

static bool goes_all(struct elastic *elastic, struct elastic_answer *parked, uint64_t shard)
{
    const struct elastic_shard *from = shard_of(elastic, shard);
    parked->status = from->alive ? STATUS_NOT_LEADER : STATUS_NO_SHARD;
    parked->hint_node = from->leader;
    parked->hint_term = from->term;
    return is_at(parked, shard);
}

static bool goes_disowned(struct elastic *elastic, struct elastic_answer *parked, uint64_t shard)
{
    const struct shard_desc *desc = shard_map_shard(&elastic->script.map, shard);
    uint64_t other = 0;
    if (!is_at(parked, shard) || owns(parked, desc, &other)) {
        return false;
    }
    disown(elastic, parked, desc, other);
    return true;
}

static bool goes_in_vain(struct elastic *elastic, struct elastic_answer *parked, uint64_t shard)
{
    (void)shard;
    put_reply(parked, "*-1\r\n");
    return parked->until_ms <= elastic->script.now_ms;
}

static bool goes_served(struct elastic *elastic, struct elastic_answer *parked, uint64_t shard)
{
    return is_at(parked, shard) && apply(elastic, parked);
}

/* The connection is gone, and so is who would get it. */
static void forget_waiting(struct elastic *elastic, uint64_t node)
{
    struct elastic_answer **at = &elastic->waiting;
    while (*at != NULL) {
        struct elastic_answer *parked = *at;
        if (parked->node == node) {
            *at = parked->next;
            free(parked);
        } else {
            at = &parked->next;
        }
    }
}

/* The same request again takes the place of the one that waits. */
static void replace_waiting(struct elastic *elastic, const struct frame_request *frame)
{
    struct elastic_answer **at = &elastic->waiting;
    while (*at != NULL) {
        const struct frame_request *other = &(*at)->request.frame;
        if (other->shard == frame->shard && other->session == frame->session) {
            struct elastic_answer *parked = *at;
            *at = parked->next;
            free(parked);
        } else {
            at = &(*at)->next;
        }
    }
}

/* As the leader; what waits for it is served, too. */
static void run(struct elastic *elastic, struct elastic_answer *answer)
{
    const struct frame_request *frame = &answer->request.frame;
    if ((frame->flags & REQUEST_WAIT) != 0) {
        replace_waiting(elastic, frame);
    }
    if (!apply(elastic, answer)) {
        answer->parked = true;
        park(elastic, answer);
        elastic->parked++;
    } else if (answer->status == STATUS_OK && frame->session != 0) {
        give_back(elastic, frame->shard, goes_served);
    }
}

/* What a node does with a request; the answer may be lost. */
static void serve(struct elastic *elastic, struct elastic_answer *answer)
{
    const struct frame_request *frame = &answer->request.frame;
    struct elastic_shard *shard = shard_of(elastic, frame->shard);
    bool *latched = &elastic->latched[answer->node][frame->shard - SHARD_FIRST];
    *latched = *latched && (frame->flags & REQUEST_FIRST) == 0;
    uint64_t delay_ms = 1;
    bool frozen = shard->frozen_until_ms != 0;
    if (!shard->alive) {
        answer->status = STATUS_NO_SHARD;
        if (elastic_chance(elastic, 700)) {
            write_news(elastic, shard->start, shard->last, answer);
        }
    } else if (shard->leader != answer->node) {
        answer->status = STATUS_NOT_LEADER;
        answer->hint_node = elastic_chance(elastic, 700) ? shard->leader : 0;
        answer->hint_term = shard->term;
    } else if (*latched || frozen || elastic_chance(elastic, 20)) {
        answer->status = STATUS_BUSY;
    } else if (elastic->trouble && elastic_chance(elastic, 10)) {
        if (elastic_chance(elastic, 500) && (frame->flags & REQUEST_WAIT) == 0) {
            run(elastic, answer);
            answer->body_len = 0;
        }
        answer->status = STATUS_LEADERSHIP_LOST;
        (void)move_leader(elastic, frame->shard);
    } else {
        run(elastic, answer);
        delay_ms += answer->parked ? 0 : rand_below(&elastic->rand, 5);
    }
    *latched = answer->status != STATUS_OK && answer->status != STATUS_NOT_OWNER;
    answer_later(elastic, answer, delay_ms);
}

/* What a node takes off the arguments: how long it may wait. */
static void take_wait(struct elastic *elastic, struct elastic_answer *answer)
{
    struct frame_request *frame = &answer->request.frame;
    struct wait_ref ref;
    if ((frame->flags & REQUEST_WAIT) != 0) {
        frame->args.argc--;
        CHECK(wait_ref_decode(frame->args.argv[frame->args.argc], &ref));
        CHECK(ref.left_ms > 0);
        answer->until_ms = elastic->script.now_ms + ref.left_ms;
    }
}

static void serve_all(struct elastic *elastic)
{
    for (uint64_t node = 1; node <= ELASTIC_NODES; node++) {
        while (hears(elastic, node)) {
            struct elastic_answer *answer = calloc(1, sizeof(*answer));
            CHECK(answer != NULL);
            if (!script_take(&elastic->script, node, &answer->request)) {
                free(answer);
                break;
            }
            answer->node = node;
            answer->connection = elastic->connections[node];
            take_wait(elastic, answer);
            serve(elastic, answer);
        }
    }
}

static void deliver_answers(struct elastic *elastic)
{
    struct script *script = &elastic->script;
    while (elastic->answers != NULL && elastic->answers->at_ms <= script->now_ms) {
        struct elastic_answer *answer = elastic->answers;
        elastic->answers = answer->next;
        bool same = answer->connection == elastic->connections[answer->node];
        if (!same || !link_is_up(elastic, answer->node)) {
            free(answer);
            continue;
        }
        if (answer->parked) {
            script_park(script, answer->node, &answer->request);
        } else if (answer->status == STATUS_NOT_LEADER) {
            script_redirect(script, answer->node, &answer->request, answer->hint_term,
                            answer->hint_node);
        } else {
            script_answer_bytes(script, answer->node, &answer->request, answer->status,
                                slice_of(answer->body, answer->body_len));
        }
        free(answer);
    }
}

/* Trouble. */

/* The connection ends; what the node has received may still be served, unheard. */
static void cut_link(struct elastic *elastic, uint64_t node)
{
    if (!elastic->paused[node] && elastic_chance(elastic, 500)) {
        serve_all(elastic);
    }
    script_down(&elastic->script, node);
    forget_waiting(elastic, node);
    elastic->connections[node]++;
    memset(elastic->latched[node], 0, sizeof(elastic->latched[node]));
}

static void join_link(struct elastic *elastic, uint64_t node)
{
    script_up(&elastic->script, node);
    for (size_t i = 0; i < elastic->script.map.shard_count; i++) {
        uint64_t id = elastic->script.map.shards[i].id;
        if (shard_of(elastic, id)->leader == node) {
            announce(elastic, id);
        }
    }
}

/* Some of the nodes tell of it at once; the meta group's map follows sooner or later. */
static void publish(struct elastic *elastic, size_t from, size_t to)
{
    for (uint64_t node = 1; node <= ELASTIC_NODES; node++) {
        if (hears(elastic, node) && elastic_chance(elastic, 200)) {
            script_send_descs(&elastic->script, node, from, to);
        }
    }
    elastic->map_due_ms = elastic->script.now_ms + rand_below(&elastic->rand, 300) + 1;
}

static void split(struct elastic *elastic, size_t position)
{
    struct shard_map *map = &elastic->script.map;
    uint64_t parent = map->shards[position].id;
    uint64_t child = elastic->next_id;
    bool full = map->shard_count == ALIVE_MAX || child == SHARD_FIRST + ELASTIC_SHARDS_MAX;
    struct elastic_shard *shard = shard_of(elastic, parent);
    if (full || shard->frozen_until_ms != 0 || !can_decide(elastic, parent)) {
        return;
    }
    elastic->next_id++;
    elastic->splits++;
    script_split(&elastic->script, position, child);
    bool stays = elastic_chance(elastic, 700);
    *shard_of(elastic, child) = (struct elastic_shard){.alive = true, .term = 1};
    shard_of(elastic, child)->leader =
        stays ? shard->leader : 1 + rand_below(&elastic->rand, ELASTIC_NODES);
    (void)can_decide(elastic, child);
    hand_on(elastic, parent, child);
    give_back(elastic, parent, goes_disowned);
    publish(elastic, position, position + 1);
}

/* Freezes the one that will be gone. */
static void begin_merge(struct elastic *elastic, size_t position)
{
    const struct shard_map *map = &elastic->script.map;
    if (position + 1 >= map->shard_count) {
        return;
    }
    uint64_t source = elastic_chance(elastic, 500) ? 0 : 1;
    struct elastic_shard *gone = shard_of(elastic, map->shards[position + source].id);
    uint64_t target = map->shards[position + 1 - source].id;
    if (gone->frozen_until_ms == 0 && shard_of(elastic, target)->frozen_until_ms == 0) {
        gone->target = target;
        gone->frozen_until_ms =
            elastic->script.now_ms + 1 + rand_below(&elastic->rand, FROZEN_MS_MAX);
    }
}

static void end_merge(struct elastic *elastic, size_t position)
{
    const struct shard_map *map = &elastic->script.map;
    uint64_t id = map->shards[position].id;
    struct elastic_shard *source = shard_of(elastic, id);
    uint64_t target = source->target;
    source->frozen_until_ms = 0;
    size_t low = position;
    if (position > 0 && map->shards[position - 1].id == target) {
        low--;
    } else if (position + 1 == map->shard_count || map->shards[position + 1].id != target) {
        return; /* Another one lies between by now: cancelled. */
    }
    if (shard_of(elastic, target)->frozen_until_ms != 0 || !can_decide(elastic, id) ||
        !can_decide(elastic, target)) {
        return;
    }
    source->alive = false;
    source->start = map->shards[position].start;
    source->last = map->shards[position].last;
    elastic->merges++;
    script_merge(&elastic->script, low, target);
    hand_on(elastic, id, target);
    give_back(elastic, id, goes_all);
    publish(elastic, low, low);
}

static void go_on_merging(struct elastic *elastic)
{
    for (size_t i = 0; i < elastic->script.map.shard_count; i++) {
        const struct elastic_shard *shard = shard_of(elastic, elastic->script.map.shards[i].id);
        if (shard->frozen_until_ms != 0 && shard->frozen_until_ms <= elastic->script.now_ms) {
            end_merge(elastic, i);
        }
    }
}

static void trouble_node(struct elastic *elastic)
{
    uint64_t node = 1 + rand_below(&elastic->rand, ELASTIC_NODES);
    if (elastic_chance(elastic, 8)) {
        elastic->paused[node] = true;
    } else if (elastic_chance(elastic, 15)) {
        elastic->paused[node] = false;
        serve_all(elastic); /* What it finds, before it is elected for anything. */
    }
    if (link_is_up(elastic, node) ? elastic_chance(elastic, 8) : elastic_chance(elastic, 40)) {
        if (link_is_up(elastic, node)) {
            cut_link(elastic, node);
        } else {
            join_link(elastic, node);
        }
    }
}

void elastic_trouble(struct elastic *elastic)
{
    if (elastic->trouble) {
        trouble_node(elastic);
    }
    size_t count = elastic->script.map.shard_count;
    if (elastic_chance(elastic, 10)) {
        (void)move_leader(elastic,
                          elastic->script.map.shards[rand_below(&elastic->rand, count)].id);
    }
    if (elastic_chance(elastic, elastic->restless)) {
        split(elastic, rand_below(&elastic->rand, count));
    } else if (elastic_chance(elastic, elastic->restless)) {
        begin_merge(elastic, rand_below(&elastic->rand, count));
    }
}

static void tell_map(struct elastic *elastic)
{
    for (uint64_t node = 1; elastic->map_due_ms != 0 && node <= ELASTIC_NODES; node++) {
        if (elastic->map_due_ms <= elastic->script.now_ms && hears(elastic, node)) {
            elastic->map_due_ms = 0;
            script_send_map(&elastic->script, node);
        }
    }
}

void elastic_turn(struct elastic *elastic, void (*begin)(void *ctx))
{
    go_on_merging(elastic);
    give_back(elastic, 0, goes_in_vain);
    deliver_answers(elastic);
    tell_map(elastic);
    begin(elastic->ctx);
    serve_all(elastic);
    script_advance(&elastic->script, 1);
}

void elastic_heal(struct elastic *elastic)
{
    for (uint64_t node = 1; node <= ELASTIC_NODES; node++) {
        elastic->paused[node] = false;
        if (!link_is_up(elastic, node)) {
            join_link(elastic, node);
        }
    }
}

void elastic_open(struct elastic *elastic, uint64_t seed)
{
    rand_init(&elastic->rand, seed);
    script_open_led(&elastic->script, 2);
    for (unsigned i = 0; i < 2; i++) {
        elastic->shards[i] = (struct elastic_shard){.alive = true, .leader = 1, .term = 5};
    }
    elastic->next_id = SHARD_FIRST + 2;
}

void elastic_close(struct elastic *elastic)
{
    while (elastic->answers != NULL) {
        struct elastic_answer *next = elastic->answers->next;
        free(elastic->answers);
        elastic->answers = next;
    }
    for (uint64_t node = 1; node <= ELASTIC_NODES; node++) {
        forget_waiting(elastic, node);
    }
    for (size_t i = 0; i < ELASTIC_SHARDS_MAX; i++) {
        free(elastic->shards[i].records);
    }
    script_close(&elastic->script);
}
