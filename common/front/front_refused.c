#include "common/base/clock.h"
#include "common/front/front_core.h"

/* Commands that have nothing to do here, and those that are refused: each says why and what to do
 * instead. */

void front_role(struct request *request)
{
    struct buf *reply = front_reply(request);
    resp_write_array(reply, 3);
    resp_write_text(reply, "master");
    resp_write_int(reply, 0);
    resp_write_array(reply, 0);
    front_done(request);
}

/* Every acknowledged write is on the disks of a majority: the last save is now. */
void front_lastsave(struct request *request)
{
    resp_write_int(front_reply(request), (int64_t)(clock_wall_ms() / 1000));
    front_done(request);
}

void front_save(struct request *request)
{
    front_ok(request);
}

void front_bgsave(struct request *request)
{
    resp_write_simple(front_reply(request), "Background saving started");
    front_done(request);
}

static void write_empty(struct request *request)
{
    resp_write_array(front_reply(request), 0);
    front_done(request);
}

static void refuse_functions(struct request *request)
{
    request_fail(request, "ERR functions are not supported: use EVAL or SCRIPT LOAD and EVALSHA");
}

void front_function(struct request *request)
{
    static const struct front_subcommand table[] = {
        {"delete", 3, refuse_functions},   {"dump", 2, refuse_functions},
        {"flush", -2, front_ok},           {"kill", 2, refuse_functions},
        {"list", -2, write_empty},         {"load", -3, refuse_functions},
        {"restore", -3, refuse_functions}, {"stats", 2, refuse_functions},
    };
    static const char *const help[] = {
        "FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "There are no functions: use EVAL, or SCRIPT LOAD and EVALSHA.",
        "HELP",
        "    Prints this help.",
        NULL,
    };
    front_run_subcommand(request, table, sizeof(table) / sizeof(table[0]), help);
}

void front_fcall(struct request *request)
{
    refuse_functions(request);
}

void front_fcall_ro(struct request *request)
{
    refuse_functions(request);
}

static void refuse_modules(struct request *request)
{
    request_fail(request, "ERR modules are not supported");
}

void front_module(struct request *request)
{
    static const struct front_subcommand table[] = {
        {"list", 2, write_empty},
        {"load", -3, refuse_modules},
        {"loadex", -3, refuse_modules},
        {"unload", 3, refuse_modules},
    };
    static const char *const help[] = {
        "MODULE <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "LIST",
        "    Return a list of loaded modules: there are none.",
        "HELP",
        "    Prints this help.",
        NULL,
    };
    front_run_subcommand(request, table, sizeof(table) / sizeof(table[0]), help);
}

void front_migrate(struct request *request)
{
    request_fail(request,
                 "ERR MIGRATE is not supported: shards move between nodes by themselves; "
                 "to copy keys to another server use DUMP there and RESTORE here");
}

static void refuse_replication(struct request *request)
{
    request_fail(request,
                 "ERR every shard is replicated by its own group of nodes: there is no "
                 "replica to attach; add a node with sherd-node --join");
}

void front_replicaof(struct request *request)
{
    refuse_replication(request);
}

void front_slaveof(struct request *request)
{
    refuse_replication(request);
}

void front_sync(struct request *request)
{
    refuse_replication(request);
}

void front_psync(struct request *request)
{
    refuse_replication(request);
}

void front_bgrewriteaof(struct request *request)
{
    request_fail(request, "ERR there is no append only file: the shared log cleans up by itself");
}

void front_failover(struct request *request)
{
    request_fail(request,
                 "ERR leadership moves by itself when a node stops: stop the node with "
                 "SIGTERM, it hands its shards over first");
}

void front_debug(struct request *request)
{
    request_fail(request,
                 "ERR DEBUG command not allowed. Look at SHERD STATUS, SHERD EXPLAIN and "
                 "/metrics instead");
}

void front_shutdown(struct request *request)
{
    request_fail(request, "ERR stop the process with SIGTERM instead");
}

/* Access lists: there is one user, who may do everything. */

static void write_user(struct request *request)
{
    resp_write_text(front_reply(request), "default");
    front_done(request);
}

static void write_users(struct request *request)
{
    struct buf *reply = front_reply(request);
    resp_write_array(reply, 1);
    resp_write_text(reply, "default");
    front_done(request);
}

static void write_list(struct request *request)
{
    const char *password = config_text(request->part->front->options.config, CONFIG_requirepass);
    struct buf *reply = front_reply(request);
    resp_write_array(reply, 1);
    resp_write_text(reply, password[0] == '\0'
                               ? "user default on nopass sanitize-payload ~* &* +@all"
                               : "user default on sanitize-payload ~* &* +@all");
    front_done(request);
}

static void refuse_users(struct request *request)
{
    request_fail(request,
                 "ERR there is one user, default, whose password is the setting "
                 "requirepass");
}

void front_acl(struct request *request)
{
    static const struct front_subcommand table[] = {
        {"deluser", -3, refuse_users}, {"getuser", 3, refuse_users}, {"list", 2, write_list},
        {"load", 2, refuse_users},     {"log", -2, write_empty},     {"save", 2, refuse_users},
        {"setuser", -3, refuse_users}, {"users", 2, write_users},    {"whoami", 2, write_user},
    };
    static const char *const help[] = {
        "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "LIST",
        "    Show users details in config file format.",
        "USERS",
        "    List all the registered usernames.",
        "WHOAMI",
        "    Return the current connection username.",
        "HELP",
        "    Prints this help.",
        NULL,
    };
    front_run_subcommand(request, table, sizeof(table) / sizeof(table[0]), help);
}
