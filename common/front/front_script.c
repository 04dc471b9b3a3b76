#include "common/front/front_core.h"

/* SCRIPT: what it asks goes to shards under a name of its own. */

static void send_on(struct request *request, const char *name)
{
    const struct front *front = request->part->front;
    /* The arguments are the request's own, though its owners only read them. */
    struct slice *argv = (struct slice *)(uintptr_t)request->args.argv;
    argv[1] = slice_str(name);
    request->command = command_find(slice_str(name));
    request->args = (struct args){.argv = request->args.argv + 1, .argc = request->args.argc - 1};
    front->options.env->execute(front->options.arg, request);
}

static void load(struct request *request)
{
    send_on(request, "script_load");
}

static void exists(struct request *request)
{
    send_on(request, "script_exists");
}

static void kill_running(struct request *request)
{
    send_on(request, "script_kill");
}

static bool is_flush(struct args args)
{
    return args.argc == 2 || (args.argc == 3 && (command_word(args.argv[2], "sync") ||
                                                 command_word(args.argv[2], "async")));
}

static void flush(struct request *request)
{
    struct args *args = &request->args;
    if (!is_flush(*args)) {
        request_fail(request, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
        return;
    }
    args->argc = 2;
    send_on(request, "script_flush");
}

static void debug(struct request *request)
{
    if (command_word(request->args.argv[2], "no")) {
        front_ok(request);
    } else if (command_word(request->args.argv[2], "yes") ||
               command_word(request->args.argv[2], "sync")) {
        request_fail(request, "ERR scripts cannot be debugged here; use redis.log()");
    } else {
        request_fail(request, "ERR Use SCRIPT DEBUG YES/SYNC/NO");
    }
}

const struct command *front_script_local(const struct command *command, struct args args)
{
    if (command->id != CMD_script || args.argc < 2) {
        return NULL;
    }
    enum command_id id = CMD_COUNT;
    if (command_word(args.argv[1], "load") && args.argc == 3) {
        id = CMD_script_load;
    } else if (command_word(args.argv[1], "exists") && args.argc > 2) {
        id = CMD_script_exists;
    } else if (command_word(args.argv[1], "flush") && is_flush(args)) {
        id = CMD_script_flush;
    }
    return id == CMD_COUNT ? NULL : command_at(id);
}

void front_script(struct request *request)
{
    static const struct front_subcommand table[] = {{"debug", 3, debug},
                                                    {"exists", -3, exists},
                                                    {"flush", -2, flush},
                                                    {"kill", 2, kill_running},
                                                    {"load", 3, load}};
    static const char *const help[] = {
        "SCRIPT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DEBUG (YES|SYNC|NO)",
        "    Set the debug mode for subsequent scripts executed.",
        "EXISTS <sha1> [<sha1> ...]",
        "    Return information about the existence of the scripts in the script cache.",
        "FLUSH [ASYNC|SYNC]",
        "    Flush the Lua scripts cache. Very dangerous on replicas.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the scripts cache.",
        "    * SYNC: Synchronously flush the scripts cache.",
        "KILL",
        "    Kill the currently executing Lua script.",
        "LOAD <script>",
        "    Load a script into the scripts cache without executing it.",
        NULL,
    };
    front_run_subcommand(request, table, sizeof(table) / sizeof(table[0]), help);
}
