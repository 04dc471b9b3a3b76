/* `status`: is the cluster healthy. */

#include <inttypes.h>

#include "client/admin/ask.h"

static void print_meta(const struct sherd_reply *reply)
{
    int64_t leader = ask_number(reply, "meta_leader");
    if (leader == 0) {
        printf("meta      no leader is known\n");
        return;
    }
    printf("meta      led by node %" PRId64 ", %" PRId64 " of %" PRId64 " replicas up to date\n",
           leader, ask_number(reply, "meta_voters"), ask_number(reply, "meta_replicas"));
}

static void print_status(const struct sherd_reply *reply, bool healthy)
{
    char text[ASK_TEXT_SIZE];
    printf("cluster   %s\n", ask_field(reply, "cluster", text, sizeof text));
    printf("state     %s\n", healthy ? "healthy" : "NOT HEALTHY");
    printf("nodes     %" PRId64 " of %" PRId64 " up\n", ask_number(reply, "nodes_up"),
           ask_number(reply, "nodes"));
    printf("shards    %" PRId64 " of %" PRId64 " have a leader\n", ask_number(reply, "shards_led"),
           ask_number(reply, "shards"));
    printf("replicas  %s of each shard; %" PRId64 " shards are short of that\n",
           ask_field(reply, "replicas", text, sizeof text), ask_number(reply, "shards_short"));
    print_meta(reply);
    printf("map       version %s", ask_field(reply, "map_version", text, sizeof text));
    printf(", as a %s knows it\n", ask_field(reply, "role", text, sizeof text));
}

/* All nodes are up, and any one of them may fail. */
static bool is_healthy(const struct sherd_reply *reply)
{
    return ask_number(reply, "shards") > 0 &&
           ask_number(reply, "shards_led") == ask_number(reply, "shards") &&
           ask_number(reply, "shards_short") == 0 &&
           ask_number(reply, "meta_voters") >= ask_number(reply, "meta_replicas") &&
           ask_number(reply, "nodes_up") >= ask_number(reply, "nodes");
}

enum verb_exit verb_run_status(const struct verb_call *call)
{
    struct sherd_reply *reply = NULL;
    enum verb_exit code = ask_sherd(call, "STATUS", NULL, &reply);
    if (code != VERB_DONE) {
        return code;
    }
    bool healthy = is_healthy(reply);
    if (!verb_given(call, "json")) {
        print_status(reply, healthy);
    }
    sherd_reply_free(reply);
    return healthy ? VERB_DONE : VERB_FAILED;
}
