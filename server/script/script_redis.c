#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/proto/resp.h"
#include "server/script/script_private.h"

/* The table redis: Redis 7.0 script_lua.c, luaRegisterRedisAPI(). */

enum {
    CALL_STEPS = 1000, /* What a command costs beside its reply. */
    LOG_DEBUG_LEVEL = 0,
    LOG_VERBOSE_LEVEL,
    LOG_NOTICE_LEVEL,
    LOG_WARNING_LEVEL,
    LOG_TEXT_MAX = 1024,
    REPL_AOF = 1,
    REPL_REPLICA = 2,
    VERSION_NUMBER = 0x0007000f,
};

static int raise(lua_State *lua, const char *text)
{
    script_value_push_error(lua, slice_str(text));
    return lua_error(lua);
}

/* Every argument of the function as text on the stack; false: an error is on top. A script may pass
 * as many as Lua's stack has room for: what goes on top of them fits the slots that every function
 * of C has (LUA_MINSTACK), and asks for no more. */
static bool take_args(lua_State *lua, struct args *args)
{
    struct script_engine *engine = script_engine_of(lua);
    int argc = lua_gettop(lua);
    if (argc == 0) {
        script_value_push_error(
            lua, slice_str("Please specify at least one argument for this redis lib call"));
        return false;
    }
    if (engine->argv_size < (size_t)argc) {
        engine->argv = realloc(engine->argv, (size_t)argc * sizeof(*engine->argv));
        assert(engine->argv != NULL);
        engine->argv_size = (size_t)argc;
    }
    for (int i = 1; i <= argc; i++) {
        int type = lua_type(lua, i);
        if (type == LUA_TNUMBER) {
            char text[64];
            int len = snprintf(text, sizeof(text), "%.17g", lua_tonumber(lua, i));
            lua_pushlstring(lua, text, (size_t)len);
            lua_replace(lua, i);
        } else if (type != LUA_TSTRING) {
            script_value_push_error(
                lua, slice_str("Lua redis lib command arguments must be strings or integers"));
            return false;
        }
        struct slice *arg = &engine->argv[i - 1];
        arg->data = (const uint8_t *)lua_tolstring(lua, i, &arg->len);
    }
    *args = (struct args){.argv = engine->argv, .argc = (size_t)argc};
    return true;
}

static int call(lua_State *lua, bool raises)
{
    struct script_engine *engine = script_engine_of(lua);
    struct script_call command = {.protocol = engine->protocol};
    if (!take_args(lua, &command.args)) {
        return raises ? lua_error(lua) : 1;
    }
    script_engine_charge(lua, CALL_STEPS);
    buf_clear(&engine->answer);
    enum status status = engine->run->call(engine->run->ctx, &command, &engine->answer);
    if (status == STATUS_AGAIN) {
        return script_engine_stop(lua, STOP_AGAIN);
    }
    if (status != STATUS_OK) {
        engine->failed = status;
        return script_engine_stop(lua, STOP_FAILED);
    }
    lua_settop(lua, 0); /* The arguments have been used. */
    script_engine_charge(lua, engine->answer.len / 16);
    script_value_push(lua, buf_slice(&engine->answer), engine->protocol);
    bool failed = engine->answer.data[0] == '-';
    return raises && failed ? lua_error(lua) : 1;
}

static int redis_call(lua_State *lua)
{
    return call(lua, true);
}

static int redis_pcall(lua_State *lua)
{
    return call(lua, false);
}

static int redis_sha1hex(lua_State *lua)
{
    if (lua_gettop(lua) != 1) {
        return raise(lua, "wrong number of arguments");
    }
    struct slice text = {0};
    text.data = (const uint8_t *)lua_tolstring(lua, 1, &text.len);
    script_engine_charge(lua, text.len / 8);
    char sum[SHA1_HEX_SIZE + 1];
    sha1_hex(text.data == NULL ? slice_of(NULL, 0) : text, sum);
    lua_pushstring(lua, sum);
    return 1;
}

static bool one_string(lua_State *lua)
{
    if (lua_gettop(lua) == 1 && lua_type(lua, 1) == LUA_TSTRING) {
        return true;
    }
    script_value_push_error(lua, slice_str("wrong number or type of arguments"));
    return false;
}

static int redis_error_reply(lua_State *lua)
{
    if (!one_string(lua)) {
        return 1;
    }
    if (lua_tostring(lua, 1)[0] != '-') {
        lua_pushliteral(lua, "-");
        lua_insert(lua, 1);
        lua_concat(lua, 2);
    }
    script_value_push_error(lua, slice_str(lua_tostring(lua, 1)));
    return 1;
}

static int redis_status_reply(lua_State *lua)
{
    if (!one_string(lua)) {
        return 1;
    }
    lua_newtable(lua);
    lua_pushvalue(lua, 1);
    lua_setfield(lua, -2, "ok");
    return 1;
}

/* Effects are replicated whatever a script says: half a script on a replica is nothing to want. */
static int redis_set_repl(lua_State *lua)
{
    if (lua_gettop(lua) != 1) {
        return raise(lua, "redis.set_repl() requires two arguments.");
    }
    int flags = (int)lua_tointeger(lua, 1);
    if ((flags & ~(REPL_AOF | REPL_REPLICA)) != 0) {
        return raise(lua,
                     "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or "
                     "REPL_NONE.");
    }
    return 0;
}

static int redis_acl_check_cmd(lua_State *lua)
{
    struct args args;
    if (!take_args(lua, &args)) {
        return lua_error(lua);
    }
    const struct command *command = command_find(args.argv[0]);
    if (command == NULL) {
        return raise(lua, "Invalid command passed to redis.acl_check_cmd()");
    }
    lua_pushboolean(lua, 1);
    return 1;
}

static int redis_log(lua_State *lua)
{
    int argc = lua_gettop(lua);
    if (argc < 2) {
        return raise(lua, "redis.log() requires two arguments or more.");
    }
    if (lua_isnumber(lua, 1) == 0) {
        return raise(lua, "First argument must be a number (log level).");
    }
    lua_Integer level = lua_tointeger(lua, 1);
    if (level < LOG_DEBUG_LEVEL || level > LOG_WARNING_LEVEL) {
        return raise(lua, "Invalid debug level.");
    }
    struct buf *text = &script_engine_of(lua)->scratch;
    buf_clear(text);
    for (int i = 2; i <= argc && text->len < LOG_TEXT_MAX; i++) {
        size_t len = 0;
        const char *part = lua_tolstring(lua, i, &len);
        if (part != NULL) {
            buf_append(text, " ", i > 2);
            buf_append(text, part, len < LOG_TEXT_MAX ? len : LOG_TEXT_MAX);
        }
    }
    int len = text->len < LOG_TEXT_MAX ? (int)text->len : LOG_TEXT_MAX;
    if (level == LOG_WARNING_LEVEL) {
        log_warn("script.log", "text=\"%.*s\"", len, (const char *)text->data);
    } else if (level == LOG_NOTICE_LEVEL) {
        log_info("script.log", "text=\"%.*s\"", len, (const char *)text->data);
    } else {
        log_debug("script.log", "text=\"%.*s\"", len, (const char *)text->data);
    }
    return 0;
}

static int redis_setresp(lua_State *lua)
{
    if (lua_gettop(lua) != 1) {
        return raise(lua, "redis.setresp() requires one argument.");
    }
    lua_Integer protocol = lua_tointeger(lua, 1);
    if (protocol != 2 && protocol != 3) {
        return raise(lua, "RESP version must be 2 or 3.");
    }
    script_engine_of(lua)->protocol = (int)protocol;
    return 0;
}

static int redis_replicate_commands(lua_State *lua)
{
    lua_pushboolean(lua, 1);
    return 1;
}

/* There is no debugger to stop in. */
static int redis_breakpoint(lua_State *lua)
{
    lua_pushboolean(lua, 0);
    return 1;
}

static int redis_debug(lua_State *lua)
{
    (void)lua;
    return 0;
}

void script_redis_push(lua_State *lua)
{
    static const luaL_Reg functions[] = {{"call", redis_call},
                                         {"pcall", redis_pcall},
                                         {"sha1hex", redis_sha1hex},
                                         {"error_reply", redis_error_reply},
                                         {"status_reply", redis_status_reply},
                                         {"set_repl", redis_set_repl},
                                         {"acl_check_cmd", redis_acl_check_cmd},
                                         {"log", redis_log},
                                         {"setresp", redis_setresp},
                                         {"replicate_commands", redis_replicate_commands},
                                         {"breakpoint", redis_breakpoint},
                                         {"debug", redis_debug},
                                         {NULL, NULL}};
    static const struct {
        const char *name;
        int value;
    } numbers[] = {{"LOG_DEBUG", LOG_DEBUG_LEVEL},
                   {"LOG_VERBOSE", LOG_VERBOSE_LEVEL},
                   {"LOG_NOTICE", LOG_NOTICE_LEVEL},
                   {"LOG_WARNING", LOG_WARNING_LEVEL},
                   {"REPL_NONE", 0},
                   {"REPL_AOF", REPL_AOF},
                   {"REPL_SLAVE", REPL_REPLICA},
                   {"REPL_REPLICA", REPL_REPLICA},
                   {"REPL_ALL", REPL_AOF | REPL_REPLICA},
                   {"REDIS_VERSION_NUM", VERSION_NUMBER}};
    lua_newtable(lua);
    luaL_register(lua, NULL, functions);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        lua_pushinteger(lua, numbers[i].value);
        lua_setfield(lua, -2, numbers[i].name);
    }
    lua_pushliteral(lua, "7.0.15");
    lua_setfield(lua, -2, "REDIS_VERSION");
}
