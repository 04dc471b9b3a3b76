#ifndef SERVER_SCRIPT_SCRIPT_PRIVATE_H
#define SERVER_SCRIPT_SCRIPT_PRIVATE_H

#include <lua5.1/lauxlib.h>
#include <lua5.1/lua.h>
#include <lua5.1/lualib.h>

#include "common/base/list.h"
#include "common/base/map.h"
#include "server/script/script_engine.h"

/* What the files of the engine share. Private to them.
 *
 * Functions that Lua calls (lua_CFunction) may be left by an error at every call of Lua: what they
 * own lies on Lua's stack or in the engine. */

enum {
    SCRIPT_DEPTH_MAX = 100, /* Nested tables of a reply. */
    SCRIPT_TEXT_SIZE_MAX = 512,
};

enum script_stop {
    STOP_NONE,
    STOP_AGAIN,  /* The slice is used up. */
    STOP_KILLED, /* By SCRIPT KILL. */
    STOP_TIME,
    STOP_FAILED, /* The callback. */
};

struct script_home {
    uint64_t place;
    bool stored;
};

struct script_kept {
    struct list link; /* The least recently used is in front. */
    uint8_t sha[SHA1_SIZE];
    unsigned flags;
    size_t size;
    int ref; /* The function, in the registry. */
    uint8_t *source;
    struct script_home *homes;
    size_t home_count;
};

struct script_engine {
    lua_State *lua;
    size_t memory;
    size_t memory_max;   /* Of a run. */
    size_t memory_limit; /* Of the allocator now; 0: none. */
    size_t memory_base;  /* An idle sandbox. */
    struct map kept;     /* By the first bytes of the SHA-1. */
    struct list order;
    size_t kept_size;
    int globals_ref; /* The table that scripts see as their globals. */
    int values_ref;  /* What stands behind it. */
    uint64_t out_of_memory;

    /* The run. */
    const struct script_run *run;
    char sha[SHA1_HEX_SIZE + 1]; /* Of the script that runs. */
    uint64_t spent;              /* Steps. */
    uint64_t until_ns;
    unsigned hooks;
    enum script_stop stop;
    enum status failed;
    int protocol;
    uint64_t random; /* State of math.random(). */
    struct slice *argv;
    size_t argv_size;
    struct buf *reply;    /* Of the run. */
    struct buf answer;    /* Of a command, */
    struct buf converted; /* and as the script's protocol has it. */
    struct buf scratch;   /* Of the library function at work. */
};

struct script_engine *script_engine_of(lua_State *lua);
/* Adds the cost of work that no instruction counts; may end the run. */
void script_engine_charge(lua_State *lua, uint64_t steps);
/* Ends the run: raises an error that the script cannot catch. */
int script_engine_stop(lua_State *lua, enum script_stop stop);

/* script_sandbox.c: makes globals_ref and values_ref. */
void script_sandbox_open(lua_State *lua);
/* The value at index is a table that scripts may only read. */
bool script_sandbox_protected(lua_State *lua, int index);
/* Replaces the table on top by what lets scripts read it and nothing else. */
void script_sandbox_protect(lua_State *lua);

/* script_redis.c: pushes the table redis. */
void script_redis_push(lua_State *lua);

/* script_value.c */
/* Pushes a reply in the machine's form as a script of that protocol sees it. */
void script_value_push(lua_State *lua, struct slice reply, int protocol);
/* Pushes {err = ...} for a text with or without "-CODE" in front. */
void script_value_push_error(lua_State *lua, struct slice text);
/* Pops the value on top and appends it as a reply. */
void script_value_reply(lua_State *lua, int protocol, struct buf *out);

/* script_pattern.c, script_struct.c, script_msgpack.c: put their functions into the table on top.
 */
void script_pattern_open(lua_State *lua);
void script_struct_open(lua_State *lua);
void script_msgpack_open(lua_State *lua);

/* script_source.c. The text of the error, NULL if there is none. *skip: length of the first line,
 * if it is one. */
const char *script_source_flags(struct slice source,
                                unsigned *flags,
                                size_t *skip,
                                char text[SCRIPT_TEXT_SIZE_MAX]);

#endif
