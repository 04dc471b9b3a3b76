/* `node ...`: nodes come, are emptied, and go. */

#include <inttypes.h>
#include <poll.h>

#include "client/admin/change.h"
#include "common/base/assert.h"
#include "common/base/clock.h"

enum { LOOK_MS = 500, ADDRESSES_SIZE = 400 };

enum verb_exit verb_run_node_list(const struct verb_call *call)
{
    return verb_run_nodes(call);
}

/* `SHERD NODE what operands...`. */
static struct change change_of(const struct verb_call *call, const char *what)
{
    struct change change = {.call = call, .count = 3 + call->operand_count};
    assert(change.count <= CHANGE_WORDS_MAX);
    change.words[0] = "SHERD";
    change.words[1] = "NODE";
    change.words[2] = what;
    for (size_t i = 0; i < call->operand_count; i++) {
        change.words[3 + i] = call->operands[i];
    }
    return change;
}

static enum verb_exit check_numbers(const struct verb_call *call)
{
    enum verb_exit code = VERB_DONE;
    for (size_t i = 0; i < call->operand_count && code == VERB_DONE; i++) {
        code = change_number(call, i, "node");
    }
    return code;
}

enum verb_exit verb_run_node_drain(const struct verb_call *call)
{
    struct change change = change_of(call, "DRAIN");
    enum verb_exit code = check_numbers(call);
    change.question = "All replicas of the node are moved to others.";
    return code != VERB_DONE ? code : change_run(&change);
}

enum verb_exit verb_run_node_undrain(const struct verb_call *call)
{
    struct change change = change_of(call, "UNDRAIN");
    enum verb_exit code = check_numbers(call);
    return code != VERB_DONE ? code : change_send(&change);
}

enum verb_exit verb_run_node_remove(const struct verb_call *call)
{
    struct change change = change_of(call, "REMOVE");
    enum verb_exit code = check_numbers(call);
    change.question = "The node leaves the cluster for good.";
    return code != VERB_DONE ? code : change_send(&change);
}

enum verb_exit verb_run_node_replace(const struct verb_call *call)
{
    struct change change = change_of(call, "REPLACE");
    enum verb_exit code = check_numbers(call);
    change.question = "All replicas of the first node are built on the second, and it is gone.";
    return code != VERB_DONE ? code : change_run(&change);
}

/* The greatest id of a node, and the addresses of some that are up. */
static int64_t survey(const struct sherd_reply *nodes, char *addresses)
{
    enum { SEEDS_MAX = 3 };
    int64_t newest = 0;
    size_t at = 0;
    unsigned seeds = 0;
    addresses[0] = '\0';
    for (size_t i = 0; i < nodes->count; i++) {
        const struct sherd_reply *node = &nodes->elements[i];
        char address[ASK_TEXT_SIZE];
        int64_t id = ask_number(node, "id");
        newest = id > newest ? id : newest;
        ask_field(node, "address", address, sizeof address);
        if (ask_number(node, "up") != 0 && seeds < SEEDS_MAX && strlen(address) < 100) {
            at += (size_t)snprintf(addresses + at, ADDRESSES_SIZE - at, "%s%s",
                                   seeds == 0 ? "" : ",", address);
            seeds++;
        }
    }
    return newest;
}

/* Until there is a node with a higher id. */
static enum verb_exit await_node(const struct verb_call *call, int64_t newest, uint64_t end_ms)
{
    const char *words[] = {"SHERD", "NODES"};
    char addresses[ADDRESSES_SIZE];
    while (clock_now_ms() < end_ms) {
        struct sherd_reply *nodes = NULL;
        enum verb_exit code = ask_command(call, words, 2, false, &nodes);
        if (code != VERB_DONE) {
            return code;
        }
        int64_t now = survey(nodes, addresses);
        sherd_reply_free(nodes);
        if (now > newest) {
            printf("node %" PRId64 " has joined; sherd-admin rebalance gives it its share\n", now);
            return VERB_DONE;
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
    fprintf(stderr, "sherd-admin: no new node has joined yet\n");
    return VERB_TIMED_OUT;
}

enum verb_exit verb_run_node_add(const struct verb_call *call)
{
    struct sherd_reply *nodes = NULL;
    char addresses[ADDRESSES_SIZE];
    long seconds = 0;
    uint64_t end_ms = UINT64_MAX;
    if (verb_given(call, "wait-max") &&
        verb_number(call, "wait-max", 0, 1 << 24, &seconds) != STATUS_OK) {
        return VERB_USAGE;
    }
    end_ms = verb_given(call, "wait-max") ? clock_now_ms() + (uint64_t)seconds * 1000 : end_ms;
    const char *words[] = {"SHERD", "NODES"};
    enum verb_exit code = ask_command(call, words, 2, false, &nodes);
    if (code != VERB_DONE) {
        return code;
    }
    int64_t newest = survey(nodes, addresses);
    sherd_reply_free(nodes);
    if (verb_given(call, "json")) {
        printf("{\"join\":\"%s\"}\n", addresses);
        fflush(stdout);
    } else {
        printf(
            "On the new machine:\n\n  sherd-node --data DIR --listen ADDRESS:PORT --zone ZONE \\\n"
            "      --join %s\n\n",
            addresses);
        fflush(stdout);
    }
    return verb_given(call, "detach") ? VERB_DONE : await_node(call, newest, end_ms);
}
