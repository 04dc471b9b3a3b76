/* `shard ...`: one shard is shown, divided, joined, moved. */

#include <inttypes.h>

#include "client/admin/change.h"
#include "client/admin/grid.h"
#include "common/base/assert.h"

enum verb_exit verb_run_shard_list(const struct verb_call *call)
{
    return verb_run_shards(call);
}

/* `SHERD SHARD what operands...`. */
static struct change change_of(const struct verb_call *call, const char *what)
{
    struct change change = {.call = call, .count = 3 + call->operand_count};
    assert(change.count <= CHANGE_WORDS_MAX);
    change.words[0] = "SHERD";
    change.words[1] = "SHARD";
    change.words[2] = what;
    for (size_t i = 0; i < call->operand_count; i++) {
        change.words[3 + i] = call->operands[i];
    }
    return change;
}

enum verb_exit verb_run_shard_split(const struct verb_call *call)
{
    struct change change = change_of(call, "SPLIT");
    enum verb_exit code = change_number(call, 0, "shard");
    if (code == VERB_DONE && call->operand_count == 2) {
        const char *token = call->operands[1];
        size_t len = strspn(token, "0123456789abcdefABCDEF");
        if (len != 16 || token[len] != '\0') {
            fprintf(stderr, "sherd-admin: '%.64s' is no token: 16 hexadecimal digits\n", token);
            code = VERB_USAGE;
        }
    }
    return code != VERB_DONE ? code : change_run(&change);
}

enum verb_exit verb_run_shard_merge(const struct verb_call *call)
{
    struct change change = change_of(call, "MERGE");
    enum verb_exit code = change_number(call, 0, "shard");
    code = code != VERB_DONE ? code : change_number(call, 1, "shard");
    change.question = "The first shard becomes a part of the second.";
    return code != VERB_DONE ? code : change_run(&change);
}

enum verb_exit verb_run_shard_move(const struct verb_call *call)
{
    struct change change = change_of(call, "MOVE");
    enum verb_exit code = change_number(call, 0, "shard");
    code = code != VERB_DONE ? code : change_number(call, 1, "node");
    code = code != VERB_DONE ? code : change_number(call, 2, "node");
    return code != VERB_DONE ? code : change_run(&change);
}

enum verb_exit verb_run_shard_transfer(const struct verb_call *call)
{
    struct change change = change_of(call, "TRANSFER");
    enum verb_exit code = change_number(call, 0, "shard");
    code = code != VERB_DONE ? code : change_number(call, 1, "node");
    return code != VERB_DONE ? code : change_run(&change);
}

static const struct sherd_reply *find(const struct sherd_reply *shards, const char *id)
{
    char text[ASK_TEXT_SIZE];
    for (size_t i = 0; i < shards->count; i++) {
        if (strcmp(ask_field(&shards->elements[i], "id", text, sizeof text), id) == 0) {
            return &shards->elements[i];
        }
    }
    return NULL;
}

static void print_shard(const struct sherd_reply *shard)
{
    char text[ASK_TEXT_SIZE];
    char other[ASK_TEXT_SIZE];
    ask_field(shard, "id", text, sizeof text);
    printf("shard     %s%s\n", text, strcmp(text, "1") == 0 ? " (the meta group)" : "");
    printf("tokens    %s to %s\n", ask_field(shard, "start", text, sizeof text),
           ask_field(shard, "last", other, sizeof other));
    printf("version   %s of the range, %s of the replicas\n",
           ask_field(shard, "ver", text, sizeof text),
           ask_field(shard, "conf_ver", other, sizeof other));
    bool led = ask_number(shard, "leader") != 0;
    printf("leader    %s%s\n", led ? "node " : "none is known",
           led ? ask_field(shard, "leader", text, sizeof text) : "");
    printf("voters    %s of those wanted\n", ask_field(shard, "voters", text, sizeof text));
    const struct sherd_reply *replicas = sherd_reply_field(shard, "replicas");
    for (size_t i = 0; replicas != NULL && i < replicas->count; i++) {
        const char *replica = replicas->elements[i].text;
        const char *node = replica == NULL ? NULL : strchr(replica, '@');
        printf("%-9s %.*s on node %s\n", i == 0 ? "replicas" : "",
               node == NULL ? 1 : (int)(node - replica), node == NULL ? "?" : replica,
               node == NULL ? "?" : node + 1);
    }
}

enum verb_exit verb_run_shard_show(const struct verb_call *call)
{
    struct sherd_reply *reply = NULL;
    const char *words[] = {"SHERD", "SHARDS"};
    enum verb_exit code = change_number(call, 0, "shard");
    code = code != VERB_DONE ? code : ask_command(call, words, 2, false, &reply);
    if (code != VERB_DONE) {
        return code;
    }
    const struct sherd_reply *shard = find(reply, call->operands[0]);
    if (shard == NULL) {
        fprintf(stderr, "sherd-admin: there is no shard %.32s; see sherd-admin shard list\n",
                call->operands[0]);
        code = VERB_FAILED;
    } else if (verb_given(call, "json")) {
        ask_print(shard);
    } else {
        print_shard(shard);
    }
    sherd_reply_free(reply);
    return code;
}
