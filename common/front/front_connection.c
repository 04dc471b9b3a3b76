#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/base/version.h"
#include "common/config/read_rules.h"
#include "common/front/front_core.h"
#include "common/front/multi.h"

/* Commands about the connection itself, and those that say what this server is not. */

void front_ping(struct request *request)
{
    if (request->args.argc > 2) {
        request_fail(request, "ERR wrong number of arguments for 'ping' command");
        return;
    }
    struct session *session = request->session;
    if (session->protocol == 2 && !list_empty(&session->members)) {
        struct buf *reply = front_reply(request);
        resp_write_array(reply, 2);
        resp_write_text(reply, "pong");
        resp_write_bulk(reply, request->args.argc == 1 ? slice_str("") : request->args.argv[1]);
        front_done(request);
        return;
    }
    if (request->args.argc == 1) {
        request_finish(request, slice_of("+PONG\r\n", 7));
        return;
    }
    resp_write_bulk(front_reply(request), request->args.argv[1]);
    front_done(request);
}

void front_echo(struct request *request)
{
    resp_write_bulk(front_reply(request), request->args.argv[1]);
    front_done(request);
}

void front_quit(struct request *request)
{
    request->session->ended = true;
    front_ok(request);
}

void front_time(struct request *request)
{
    uint64_t now_ms = clock_wall_ms();
    /* The boot clock gives the digits that the wall clock does not have. */
    uint64_t us = now_ms % 1000 * 1000 + clock_now_ns() / 1000 % 1000;
    char text[24];
    struct buf *reply = front_reply(request);
    resp_write_array(reply, 2);
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)(now_ms / 1000));
    resp_write_text(reply, text);
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)us);
    resp_write_text(reply, text);
    front_done(request);
}

void front_select(struct request *request)
{
    int64_t db = 0;
    if (!number_parse_i64(request->args.argv[1], &db) || db < INT32_MIN || db > INT32_MAX) {
        request_fail(request, "ERR value is not an integer or out of range");
        return;
    }
    if (db < 0 || db >= front_setting(request->part, CONFIG_databases)) {
        request_fail(request, "ERR DB index is out of range");
        return;
    }
    request->session->db = (uint8_t)db;
    front_ok(request);
}

/* Each database lies on a shard of its own, or on all. */
void front_swapdb(struct request *request)
{
    request_fail(request,
                 "ERR SWAPDB is not supported: databases lie on different shards, which nothing "
                 "swaps at once; use MOVE or RENAME for single keys, or change the number that "
                 "clients SELECT");
}

/* Authentication. */

/* Looks at every byte of what was given, whatever they are. */
static bool same_secret(struct slice given, const char *secret)
{
    size_t len = strlen(secret);
    size_t difference = given.len ^ len;
    for (size_t i = 0; i < given.len; i++) {
        difference |= (size_t)(given.data[i] ^ (uint8_t)secret[len > 0 ? i % len : 0]);
    }
    return difference == 0;
}

/* False: *error is what to answer. */
static bool log_in(struct session *session, struct slice user, struct slice password)
{
    const char *secret = config_text(session->part->front->options.config, CONFIG_requirepass);
    bool good = slice_equal(user, slice_str("default")) &&
                (secret[0] == '\0' || same_secret(password, secret));
    if (good) {
        session->authenticated = true;
        session_apply_auth(session);
    }
    return good;
}

static const char wrong_password[] =
    "WRONGPASS invalid username-password pair or user is disabled.";

void front_auth(struct request *request)
{
    const struct slice *argv = request->args.argv;
    struct session *session = request->session;
    const char *secret = config_text(request->part->front->options.config, CONFIG_requirepass);
    if (request->args.argc > 3) {
        request_fail(request, "ERR syntax error");
    } else if (request->args.argc == 2 && secret[0] == '\0') {
        request_fail(request,
                     "ERR AUTH <password> called without any password configured for the default "
                     "user. Are you sure your configuration is correct?");
    } else if (!log_in(session, request->args.argc == 3 ? argv[1] : slice_str("default"),
                       argv[request->args.argc - 1])) {
        request_fail(request, wrong_password);
    } else {
        front_ok(request);
    }
}

static void write_greeting(struct request *request)
{
    const struct session *session = request->session;
    struct buf *reply = front_reply(request);
    resp_write_map(reply, 7);
    resp_write_text(reply, "server");
    resp_write_text(reply, "redis");
    resp_write_text(reply, "version");
    resp_write_text(reply, FRONT_REDIS_VERSION);
    resp_write_text(reply, "proto");
    resp_write_int(reply, session->protocol);
    resp_write_text(reply, "id");
    resp_write_int(reply, (int64_t)session->id);
    resp_write_text(reply, "mode");
    resp_write_text(reply, "standalone");
    resp_write_text(reply, "role");
    resp_write_text(reply, "master");
    resp_write_text(reply, "modules");
    resp_write_array(reply, 0);
    front_done(request);
}

struct hello {
    int64_t protocol; /* 0: stays. */
    bool has_auth, has_name;
    struct slice user, password, name;
};

/* False: the request has been answered. */
static bool read_hello(struct request *request, struct hello *hello)
{
    const struct slice *argv = request->args.argv;
    size_t argc = request->args.argc;
    if (argc >= 2 && !number_parse_i64(argv[1], &hello->protocol)) {
        request_fail(request, "ERR Protocol version is not an integer or out of range");
        return false;
    }
    if (argc >= 2 && (hello->protocol < 2 || hello->protocol > 3)) {
        request_fail(request, "NOPROTO unsupported protocol version");
        return false;
    }
    for (size_t i = 2; i < argc; i++) {
        if (command_word(argv[i], "auth") && i + 2 < argc) {
            hello->has_auth = true;
            hello->user = argv[i + 1];
            hello->password = argv[i + 2];
            i += 2;
        } else if (command_word(argv[i], "setname") && i + 1 < argc) {
            hello->has_name = true;
            hello->name = argv[++i];
        } else {
            struct buf *reply = front_reply(request);
            resp_write_errorf(reply, "ERR Syntax error in HELLO option '%.*s'",
                              (int)(argv[i].len < 128 ? argv[i].len : 128),
                              (const char *)argv[i].data);
            front_done(request);
            return false;
        }
    }
    return true;
}

void front_hello(struct request *request)
{
    struct hello hello = {0};
    struct session *session = request->session;
    if (!read_hello(request, &hello)) {
        return;
    }
    if (hello.has_auth && !log_in(session, hello.user, hello.password)) {
        request_fail(request, wrong_password);
        return;
    }
    if (!session->authenticated) {
        request_fail(request,
                     "NOAUTH HELLO must be called with the client already authenticated, otherwise "
                     "the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the "
                     "client and select the RESP protocol version at the same time");
        return;
    }
    if (hello.has_name && !front_client_rename(session, hello.name)) {
        request_fail(request, front_client_bad_name);
        return;
    }
    if (hello.protocol != 0) {
        session->protocol = (uint8_t)hello.protocol;
        request->protocol = session->protocol;
    }
    write_greeting(request);
}

void front_reset(struct request *request)
{
    struct session *session = request->session;
    front_unsubscribe_all(session);
    front_monitor_end(session);
    (void)multi_reset(session);
    session->protocol = 2;
    session->db = 0;
    session->reply_mode = SESSION_REPLY_ON;
    session->no_evict = false;
    session->no_touch = false;
    session->read_chosen = false;
    session->replica = false;
    session->authenticated = false; /* Unless no password is asked for. */
    session_apply_auth(session);
    free(session->name);
    session->name = NULL;
    request->protocol = 2;
    request->silent = false;
    request_finish(request, slice_of("+RESET\r\n", 8));
}

/* What we are not. */

static const char no_cluster[] = "ERR This instance has cluster support disabled";

static void refuse_cluster(struct request *request)
{
    request_fail(request, no_cluster);
}

static void choose_read(struct request *request, bool replica, uint64_t bound_ms)
{
    request->session->read_chosen = true;
    request->session->replica = replica;
    request->session->bound_ms = bound_ms;
    front_ok(request);
}

/* Redis Cluster's words for it; there only a replica knows them. */
void front_readonly(struct request *request)
{
    choose_read(request, true, 0);
}

void front_readwrite(struct request *request)
{
    choose_read(request, false, 0);
}

static void tell_read(struct request *request)
{
    const struct session *session = request->session;
    struct buf *reply = front_reply(request);
    if (session->replica && session->bound_ms > 0) {
        resp_write_array(reply, 2);
        resp_write_text(reply, "bounded");
        resp_write_int(reply, (int64_t)session->bound_ms);
    } else {
        resp_write_array(reply, 1);
        resp_write_text(reply, session->replica       ? "linearizable"
                               : session->read_chosen ? "leader"
                                                      : "default");
    }
    front_done(request);
}

/* SHERD READ [default | leader | linearizable | bounded MILLISECONDS] */
static void set_read(struct request *request)
{
    struct session *session = request->session;
    struct args args = request->args;
    uint64_t bound_ms = 0;
    if (args.argc == 2) {
        tell_read(request);
        return;
    }
    bool preset = args.argc == 3 && command_word(args.argv[2], "default");
    bool leader = args.argc == 3 && command_word(args.argv[2], "leader");
    bool linearizable = args.argc == 3 && command_word(args.argv[2], "linearizable");
    bool bounded = args.argc == 4 && command_word(args.argv[2], "bounded") &&
                   number_parse_u64(args.argv[3], &bound_ms) && bound_ms > 0 &&
                   bound_ms <= READ_BOUND_MS_MAX;
    if (!preset && !leader && !linearizable && !bounded) {
        request_fail(request,
                     "ERR SHERD READ takes default, leader, linearizable, or bounded and "
                     "milliseconds from 1 to 86400000");
        return;
    }
    choose_read(request, linearizable || bounded, bound_ms);
    session->read_chosen = !preset;
}

void front_cluster(struct request *request)
{
    static const struct front_subcommand table[] = {
        {"addslots", -3, refuse_cluster},
        {"bumpepoch", 2, refuse_cluster},
        {"countkeysinslot", 3, refuse_cluster},
        {"failover", -2, refuse_cluster},
        {"forget", 3, refuse_cluster},
        {"getkeysinslot", 4, refuse_cluster},
        {"info", 2, refuse_cluster},
        {"keyslot", 3, refuse_cluster},
        {"links", 2, refuse_cluster},
        {"meet", -4, refuse_cluster},
        {"myid", 2, refuse_cluster},
        {"myshardid", 2, refuse_cluster},
        {"nodes", 2, refuse_cluster},
        {"replicas", 3, refuse_cluster},
        {"replicate", 3, refuse_cluster},
        {"reset", -2, refuse_cluster},
        {"setslot", -4, refuse_cluster},
        {"shards", 2, refuse_cluster},
        {"slaves", 3, refuse_cluster},
        {"slots", 2, refuse_cluster},
    };
    static const char *const help[] = {
        "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "Clients see one server: there is no CLUSTER subcommand to use.",
        "HELP",
        "    Prints this help.",
        NULL,
    };
    front_run_subcommand(request, table, sizeof(table) / sizeof(table[0]), help);
}

/* Every write is on the disks of a majority before it is acknowledged, so there is nothing to wait
 * for. */
void front_wait(struct request *request)
{
    int64_t replicas = 0;
    int64_t timeout = 0;
    if (!number_parse_i64(request->args.argv[1], &replicas)) {
        request_fail(request, "ERR value is not an integer or out of range");
        return;
    }
    if (!number_parse_i64(request->args.argv[2], &timeout)) {
        request_fail(request, "ERR timeout is not an integer or out of range");
        return;
    }
    if (timeout < 0) {
        request_fail(request, "ERR timeout is negative");
        return;
    }
    const struct front_options *options = &request->part->front->options;
    resp_write_int(front_reply(request), options->env->replicas(options->arg));
    front_done(request);
}

void front_sherd(struct request *request)
{
    const struct front_options *options = &request->part->front->options;
    if (request->args.argc >= 2 && command_word(request->args.argv[1], "read")) {
        set_read(request);
        return;
    }
    if (options->env->sherd != NULL) {
        options->env->sherd(options->arg, request);
        return;
    }
    front_run_subcommand(request, NULL, 0, NULL);
}
