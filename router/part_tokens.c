#include "router/part_tokens.h"

#include "common/cluster/command_place.h"
#include "common/cluster/token.h"
#include "common/proto/transaction.h"

/* Goes through tokens until one is what is looked for. */
struct search {
    const struct shard_desc *outside; /* Looks for one that does not lie there, */
    const struct map *among;          /* or for one of these; both NULL: for any. */
    uint64_t found;
};

static bool meet(struct search *search, uint64_t token)
{
    search->found = token;
    if (search->among != NULL) {
        return map_get(search->among, token) != NULL;
    }
    const struct shard_desc *shard = search->outside;
    return shard == NULL || token < shard->start || token > shard->last;
}

static bool meet_database(struct search *search, uint8_t db)
{
    return meet(search, token_of(db, slice_of(NULL, 0)));
}

/* A whole command; true: found. */
static bool meet_keys(struct search *search,
                      const struct command *command,
                      struct args args,
                      uint8_t db,
                      size_t *count)
{
    uint8_t target = command_target_db(command, args, db);
    size_t index = 0;
    for (*count = 0; (index = command_key_at(command, args, *count)) != 0; (*count)++) {
        bool there = *count == 1 && target != db; /* COPY's second. */
        if (meet(search, token_of(there ? target : db, args.argv[index]))) {
            return true;
        }
    }
    bool moves = command->id == CMD_move && *count > 0 && target != db;
    return moves && meet(search, token_of(target, args.argv[1]));
}

static bool meet_batch(struct search *search, struct args args)
{
    struct transaction transaction;
    if (transaction_open(args, &transaction) != STATUS_OK) {
        return false;
    }
    struct transaction_watch watch;
    while (transaction_next_watch(&transaction, &watch)) {
        if (meet(search, token_of(watch.db, watch.key))) {
            return true;
        }
    }
    struct transaction_item item;
    while (transaction_next_item(&transaction, &item)) {
        if (transaction_is_local(item.command)) {
            continue;
        }
        size_t count = 0;
        if (meet_keys(search, item.command, item.args, item.db, &count) ||
            (count == 0 && item.db != 0 && meet_database(search, item.db))) {
            return true;
        }
    }
    return false;
}

static bool meet_part(struct search *search, const struct lane_part *part)
{
    const struct core_request *request = part->request;
    const struct command *command = request->command;
    const struct args *args = &request->args;
    for (uint32_t i = 0; i < part->key_count; i++) {
        if (meet(search, token_of(request->db, args->argv[part->keys[i]]))) {
            return true;
        }
    }
    if (part->key_count > 0 || request->gather != NULL) {
        return false;
    }
    if (command->id == CMD_batch) {
        return meet_batch(search, *args);
    }
    size_t count = 0;
    if (meet_keys(search, command, *args, request->db, &count)) {
        return true;
    }
    uint64_t token = 0;
    return count == 0 && command_place_keyless(command, args, request->db, &token) &&
           meet(search, token);
}

bool part_tokens_first(const struct lane_part *part, uint64_t *token)
{
    struct search search = {0};
    bool found = meet_part(&search, part);
    *token = search.found;
    return found;
}

bool part_tokens_any(const struct lane_part *part, const struct map *tokens)
{
    struct search search = {.among = tokens};
    return meet_part(&search, part);
}

bool part_tokens_within(const struct lane_part *part, const struct shard_desc *shard)
{
    struct search search = {.outside = shard};
    return !meet_part(&search, part);
}
