#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"
#include "common/front/front_core.h"

/* CLIENT. What concerns clients of other loops goes there by a tour. */

const char front_client_bad_name[] =
    "ERR Client names cannot contain spaces, newlines or special characters.";

enum { IDS_MAX = 1024 };

static bool is_plain(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '!' || text.data[i] > '~') {
            return false;
        }
    }
    return text.len <= FRONT_NAME_SIZE_MAX;
}

static void keep(char **field, struct slice text)
{
    free(*field);
    *field = text.len > 0 ? strndup((const char *)text.data, text.len) : NULL;
    assert(text.len == 0 || *field != NULL);
}

bool front_client_rename(struct session *session, struct slice name)
{
    if (!is_plain(name)) {
        return false;
    }
    keep(&session->name, name);
    return true;
}

static void set_name(struct request *request)
{
    if (!front_client_rename(request->session, request->args.argv[2])) {
        request_fail(request, front_client_bad_name);
        return;
    }
    front_ok(request);
}

static void get_name(struct request *request)
{
    struct buf *reply = front_reply(request);
    if (request->session->name == NULL) {
        resp_write_null(reply);
    } else {
        resp_write_text(reply, request->session->name);
    }
    front_done(request);
}

static void set_info(struct request *request)
{
    struct slice option = request->args.argv[2];
    struct slice value = request->args.argv[3];
    bool is_name = command_word(option, "lib-name");
    if (!is_name && !command_word(option, "lib-ver")) {
        struct buf *reply = front_reply(request);
        resp_write_errorf(reply, "ERR Unrecognized option '%.*s'",
                          (int)(option.len < 128 ? option.len : 128), (const char *)option.data);
        front_done(request);
        return;
    }
    if (!is_plain(value)) {
        struct buf *reply = front_reply(request);
        resp_write_errorf(reply, "ERR %s cannot contain spaces, newlines or special characters.",
                          is_name ? "lib-name" : "lib-ver");
        front_done(request);
        return;
    }
    keep(is_name ? &request->session->lib_name : &request->session->lib_version, value);
    front_ok(request);
}

static void get_id(struct request *request)
{
    resp_write_int(front_reply(request), (int64_t)request->session->id);
    front_done(request);
}

static void get_info(struct request *request)
{
    struct buf line;
    buf_init(&line, SIZE_MAX / 2);
    session_describe(request->session, &line);
    resp_write_verbatim(front_reply(request), buf_slice(&line));
    buf_deinit(&line);
    front_done(request);
}

static void set_reply(struct request *request)
{
    struct slice mode = request->args.argv[2];
    struct session *session = request->session;
    if (command_word(mode, "on")) {
        session->reply_mode = SESSION_REPLY_ON;
        request->silent = false;
        front_ok(request);
    } else if (command_word(mode, "off") || command_word(mode, "skip")) {
        bool off = command_word(mode, "off") || session->reply_mode == SESSION_REPLY_OFF;
        session->reply_mode = off ? SESSION_REPLY_OFF : SESSION_REPLY_SKIP;
        request->silent = true;
        front_ok(request);
    } else {
        request_fail(request, "ERR syntax error");
    }
}

/* False: answered with a syntax error. */
static bool read_switch(struct request *request, bool *on)
{
    struct slice word = request->args.argv[2];
    *on = command_word(word, "on");
    if (*on || command_word(word, "off")) {
        return true;
    }
    request_fail(request, "ERR syntax error");
    return false;
}

static void set_no_evict(struct request *request)
{
    bool on = false;
    if (read_switch(request, &on)) {
        request->session->no_evict = on;
        front_ok(request);
    }
}

static void set_no_touch(struct request *request)
{
    bool on = false;
    if (read_switch(request, &on)) {
        request->session->no_touch = on;
        front_ok(request);
    }
}

static void get_redirection(struct request *request)
{
    resp_write_int(front_reply(request), -1);
    front_done(request);
}

static void get_tracking(struct request *request)
{
    struct buf *reply = front_reply(request);
    resp_write_map(reply, 3);
    resp_write_text(reply, "flags");
    resp_write_set(reply, 1);
    resp_write_text(reply, "off");
    resp_write_text(reply, "redirect");
    resp_write_int(reply, -1);
    resp_write_text(reply, "prefixes");
    resp_write_array(reply, 0);
    front_done(request);
}

/* UNBLOCK. */

struct unblock {
    struct front_tour tour;
    uint64_t id;
    bool error;
    int64_t found;
};

static void visit_blocked(struct front_tour *tour, struct front_part *part)
{
    struct unblock *unblock = list_entry(tour, struct unblock, tour);
    const struct front_options *options = &part->front->options;
    for (struct list *node = part->sessions.next; node != &part->sessions; node = node->next) {
        struct session *session = list_entry(node, struct session, in_part);
        bool waits = session->blocking != NULL && !session->blocking->done;
        if (session->id != unblock->id || !waits) {
            continue;
        }
        unblock->found = 1;
        session->blocking->unblocked = unblock->error;
        if (options->env->cancel != NULL) {
            options->env->cancel(options->arg, session->blocking);
        }
        return;
    }
}

static void come_home_unblocked(struct front_tour *tour)
{
    struct unblock *unblock = list_entry(tour, struct unblock, tour);
    struct request *request = tour->request;
    resp_write_int(front_reply(request), unblock->found);
    free(unblock);
    front_done(request);
}

static void unblock_client(struct request *request)
{
    const struct slice *argv = request->args.argv;
    size_t argc = request->args.argc;
    bool error = argc == 4 && command_word(argv[3], "error");
    if (argc > 4) {
        struct buf *reply = front_reply(request);
        resp_write_errorf(reply,
                          "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try "
                          "CLIENT HELP.",
                          (int)argv[1].len, (const char *)argv[1].data);
        front_done(request);
        return;
    }
    if (argc == 4 && !error && !command_word(argv[3], "timeout")) {
        request_fail(request, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    int64_t id = 0;
    if (!number_parse_i64(argv[2], &id)) {
        request_fail(request, "ERR value is not an integer or out of range");
        return;
    }
    struct unblock *unblock = calloc(1, sizeof(*unblock));
    assert(unblock != NULL);
    unblock->id = (uint64_t)id;
    unblock->error = error;
    unblock->tour.visit = visit_blocked;
    unblock->tour.home = come_home_unblocked;
    front_tour_start(&unblock->tour, request, UINT32_MAX);
}

static void unpause(struct request *request)
{
    front_ok(request); /* Nothing is ever paused. */
}

/* LIST and KILL. */

struct search {
    struct front_tour tour;
    bool kill;
    bool old_form;  /* KILL addr: +OK or an error. */
    bool skip_self; /* KILL ... SKIPME yes */
    bool nothing;   /* A type or a user that no client has. */
    uint64_t *ids;  /* NULL: any. */
    size_t id_count;
    struct slice addr, laddr; /* Borrowed from the request; empty: any. */
    int64_t max_age_s;        /* 0: any; KILL: only older ones. */
    struct buf lines;
    int64_t found;
};

static void free_search(struct search *search)
{
    buf_deinit(&search->lines);
    free(search->ids);
    free(search);
}

static struct search *new_search(bool kill)
{
    struct search *search = calloc(1, sizeof(*search));
    assert(search != NULL);
    search->kill = kill;
    search->skip_self = kill;
    buf_init(&search->lines, SIZE_MAX / 2);
    return search;
}

static bool has_id(const struct search *search, uint64_t id)
{
    for (size_t i = 0; i < search->id_count; i++) {
        if (search->ids[i] == id) {
            return true;
        }
    }
    return search->ids == NULL;
}

static bool has_address(const struct search *search, const struct session *session)
{
    char text[CONN_ADDRESS_SIZE] = "?:0";
    if (search->addr.len > 0) {
        if (session->conn != NULL) {
            conn_peer(session->conn, text);
        }
        if (!slice_equal(search->addr, slice_str(text))) {
            return false;
        }
    }
    if (search->laddr.len > 0) {
        if (session->conn != NULL) {
            conn_local(session->conn, text);
        }
        return slice_equal(search->laddr, slice_str(text));
    }
    return true;
}

static bool matches(const struct search *search, const struct session *session)
{
    if (search->nothing || session->dead || !has_id(search, session->id)) {
        return false;
    }
    if (search->skip_self && session->id == search->tour.request->client) {
        return false;
    }
    int64_t age_s = (int64_t)((front_now_ns(session->part) / 1000000 - session->created_ms) / 1000);
    return (search->max_age_s == 0 || age_s >= search->max_age_s) && has_address(search, session);
}

static void kill_one(struct search *search, struct session *session)
{
    search->found++;
    if (session->id == search->tour.request->client) {
        session->ended = true; /* It still gets its answer. */
        return;
    }
    session_end(session, FRONT_KILLED);
}

static void visit(struct front_tour *tour, struct front_part *part)
{
    struct search *search = list_entry(tour, struct search, tour);
    struct list *node = part->sessions.next;
    while (node != &part->sessions) {
        struct session *session = list_entry(node, struct session, in_part);
        node = node->next; /* Ending a session does not take it off the list at once. */
        if (!matches(search, session)) {
            continue;
        }
        if (search->kill) {
            kill_one(search, session);
        } else {
            session_describe(session, &search->lines);
        }
    }
}

static void come_home(struct front_tour *tour)
{
    struct search *search = list_entry(tour, struct search, tour);
    struct request *request = tour->request;
    struct buf *reply = front_reply(request);
    if (!search->kill) {
        resp_write_verbatim(reply, buf_slice(&search->lines));
    } else if (!search->old_form) {
        resp_write_int(reply, search->found);
    } else if (search->found > 0) {
        resp_write_ok(reply);
    } else {
        resp_write_error(reply, "ERR No such client");
    }
    free_search(search);
    front_done(request);
}

static void search_all(struct search *search, struct request *request)
{
    search->tour.visit = visit;
    search->tour.home = come_home;
    front_tour_start(&search->tour, request, UINT32_MAX);
}

/* True if some client may have that type. */
static bool read_type(struct slice type, bool *nothing)
{
    if (command_word(type, "normal")) {
        return true;
    }
    *nothing = command_word(type, "master") || command_word(type, "replica") ||
               command_word(type, "slave") || command_word(type, "pubsub");
    return *nothing;
}

static void fail_search(struct search *search, struct request *request, const char *text)
{
    free_search(search);
    request_fail(request, text);
}

static void fail_type(struct search *search, struct request *request, struct slice type)
{
    free_search(search);
    struct buf *reply = front_reply(request);
    resp_write_errorf(reply, "ERR Unknown client type '%.*s'",
                      (int)(type.len < 128 ? type.len : 128), (const char *)type.data);
    front_done(request);
}

static void list(struct request *request)
{
    const struct slice *argv = request->args.argv;
    size_t argc = request->args.argc;
    struct search *search = new_search(false);
    if (argc == 4 && command_word(argv[2], "type")) {
        if (!read_type(argv[3], &search->nothing)) {
            fail_type(search, request, argv[3]);
            return;
        }
    } else if (argc > 3 && command_word(argv[2], "id")) {
        search->id_count = argc - 3;
        search->ids = calloc(search->id_count, sizeof(uint64_t));
        assert(search->ids != NULL);
        for (size_t i = 3; i < argc; i++) {
            if (argc - 3 > IDS_MAX || !number_parse_u64(argv[i], &search->ids[i - 3])) {
                fail_search(search, request, "ERR Invalid client ID");
                return;
            }
        }
    } else if (argc != 2) {
        fail_search(search, request, "ERR syntax error");
        return;
    }
    search_all(search, request);
}

/* One option of CLIENT KILL with its value. False: answered, the search is gone. */
static bool read_kill_option(struct search *search,
                             struct request *request,
                             struct slice option,
                             struct slice value)
{
    if (command_word(option, "id")) {
        int64_t id = 0;
        if (!number_parse_i64(value, &id) || id < 1) {
            fail_search(search, request, "ERR client-id should be greater than 0");
            return false;
        }
        free(search->ids);
        search->ids = calloc(1, sizeof(uint64_t));
        assert(search->ids != NULL);
        search->ids[0] = (uint64_t)id;
        search->id_count = 1;
        return true;
    }
    if (command_word(option, "type")) {
        if (!read_type(value, &search->nothing)) {
            fail_type(search, request, value);
            return false;
        }
        return true;
    }
    if (command_word(option, "addr") || command_word(option, "laddr")) {
        *(command_word(option, "addr") ? &search->addr : &search->laddr) = value;
        return true;
    }
    if (command_word(option, "user")) {
        if (slice_equal(value, slice_str("default"))) {
            return true;
        }
        free_search(search);
        struct buf *reply = front_reply(request);
        resp_write_errorf(reply, "ERR No such user '%.*s'",
                          (int)(value.len < 128 ? value.len : 128), (const char *)value.data);
        front_done(request);
        return false;
    }
    if (command_word(option, "skipme") &&
        (command_word(value, "yes") || command_word(value, "no"))) {
        search->skip_self = command_word(value, "yes");
        return true;
    }
    bool is_age = command_word(option, "maxage");
    if (is_age && number_parse_i64(value, &search->max_age_s) && search->max_age_s > 0) {
        return true;
    }
    fail_search(search, request, "ERR syntax error");
    return false;
}

static void kill_clients(struct request *request)
{
    const struct slice *argv = request->args.argv;
    size_t argc = request->args.argc;
    struct search *search = new_search(true);
    if (argc == 3) {
        search->old_form = true;
        search->skip_self = false;
        search->addr = argv[2];
        search->nothing = argv[2].len == 0;
        search_all(search, request);
        return;
    }
    if (argc % 2 != 0) {
        fail_search(search, request, "ERR syntax error");
        return;
    }
    for (size_t i = 2; i < argc; i += 2) {
        if (!read_kill_option(search, request, argv[i], argv[i + 1])) {
            return;
        }
    }
    search_all(search, request);
}

static const char *const help[] = {
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GETREDIR",
    "    Return the client ID we are redirecting to when tracking is enabled.",
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections. Options are:",
    "    * ADDR <ip:port>",
    "      Kill connections made from the specified address",
    "    * LADDR <ip:port>",
    "      Kill connections made to specified local address",
    "    * ID <client-id>",
    "      Kill the connection with that ID.",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Kill connections by type.",
    "    * USER <username>",
    "      Kill connections authenticated by <username>.",
    "    * MAXAGE <seconds>",
    "      Kill connections that are at least so old.",
    "    * SKIPME (YES|NO)",
    "      Skip killing current connection (default: yes).",
    "LIST [options ...]",
    "    Return information about client connections. Options:",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Return clients of specified type.",
    "    * ID <client-id> [<client-id> ...]",
    "      Return clients of specified IDs.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    Unblock the specified blocked client.",
    "UNPAUSE",
    "    Stop the current client pause, resuming traffic.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
    "SETINFO <option> <value>",
    "    Set client meta attributes: LIB-NAME, LIB-VER.",
    "TRACKINGINFO",
    "    Report tracking status for the current connection.",
    "NO-EVICT (ON|OFF)",
    "    Protect current client connection from eviction.",
    "NO-TOUCH (ON|OFF)",
    "    Accepted for clients that send it.",
    "HELP",
    "    Prints this help.",
    NULL,
};

void front_client(struct request *request)
{
    static const struct front_subcommand table[] = {
        {"getname", 2, get_name},
        {"getredir", 2, get_redirection},
        {"id", 2, get_id},
        {"info", 2, get_info},
        {"kill", -3, kill_clients},
        {"list", -2, list},
        {"no-evict", 3, set_no_evict},
        {"no-touch", 3, set_no_touch},
        {"reply", 3, set_reply},
        {"setinfo", 4, set_info},
        {"setname", 3, set_name},
        {"trackinginfo", 2, get_tracking},
        {"unblock", -3, unblock_client},
        {"unpause", 2, unpause},
    };
    front_run_subcommand(request, table, sizeof(table) / sizeof(table[0]), help);
}
