#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/rand.h"
#include "tests/support/lincheck.h"
#include "tests/support/test.h"

/* Histories are written as text; times are small numbers, so that each case can be drawn on paper.
 */
static enum lincheck_verdict judge_with(const char *text, const struct lincheck_options *options)
{
    struct history history;
    history_init(&history);
    FILE *from = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    CHECK(from != NULL);
    size_t bad_line = 0;
    CHECK(history_read(&history, from, &bad_line));
    fclose(from);
    struct lincheck_report report;
    lincheck_run(&history, options, &report);
    enum lincheck_verdict verdict = report.verdict;
    CHECK(verdict == LINCHECK_LINEARIZABLE || report.detail.len > 0);
    lincheck_report_deinit(&report);
    history_deinit(&history);
    return verdict;
}

/* Both ways must agree. */
static enum lincheck_verdict judge(const char *text)
{
    enum lincheck_verdict fast = judge_with(text, &(struct lincheck_options){0});
    enum lincheck_verdict slow = judge_with(text, &(struct lincheck_options){.search_only = true});
    CHECK_EQ(fast, slow);
    return fast;
}

#define GOOD(text) CHECK_EQ(judge(text), LINCHECK_LINEARIZABLE)
#define BAD(text) CHECK_EQ(judge(text), LINCHECK_VIOLATION)

TEST(lincheck, accepts_a_sequence)
{
    GOOD(
        "1 2 ok 1 k get _ _\n"
        "3 4 ok 1 k set a _\n"
        "5 6 ok 1 k get _ a\n"
        "7 8 ok 1 k set b _\n"
        "9 10 ok 1 k get _ b\n");
}

TEST(lincheck, accepts_either_order_of_concurrent_writes)
{
    GOOD("1 10 ok 1 k set a _\n2 9 ok 2 k set b _\n11 12 ok 1 k get _ a\n");
    GOOD("1 10 ok 1 k set a _\n2 9 ok 2 k set b _\n11 12 ok 1 k get _ b\n");
}

TEST(lincheck, rejects_a_stale_read)
{
    BAD("1 2 ok 1 k set a _\n3 4 ok 1 k set b _\n5 6 ok 2 k get _ a\n");
    BAD("1 2 ok 1 k set a _\n3 4 ok 2 k get _ _\n");
}

TEST(lincheck, rejects_reads_that_go_back)
{
    GOOD("1 20 ok 1 k set a _\n3 4 ok 2 k get _ _\n5 6 ok 3 k get _ a\n");
    BAD("1 20 ok 1 k set a _\n3 4 ok 2 k get _ a\n5 6 ok 3 k get _ _\n");
}

TEST(lincheck, rejects_a_read_of_what_was_written_later_or_never)
{
    BAD("1 2 ok 1 k get _ a\n3 4 ok 1 k set a _\n");
    BAD("1 2 ok 1 k get _ a\n3 - unknown 1 k set a _\n");
    BAD("1 2 ok 1 k set a _\n3 4 ok 1 k get _ c\n");
    BAD("1 9 fail 1 k set a _\n3 4 ok 2 k get _ a\n");
}

TEST(lincheck, rejects_a_lost_write)
{
    BAD("1 2 ok 1 k set a _\n3 4 ok 1 k set b _\n10 11 ok 9 k get _ a\n");
    BAD("1 2 ok 1 c incrby 1 1\n3 4 ok 1 c incrby 1 2\n10 11 ok 9 c get _ 1\n");
    BAD("1 2 ok 1 k append a 1\n3 4 ok 1 k append b 2\n10 11 ok 9 k get _ b\n");
}

TEST(lincheck, rejects_a_doubled_increment)
{
    GOOD("1 2 ok 1 c incrby 1 1\n3 4 ok 1 c incrby 1 2\n5 6 ok 1 c get _ 2\n");
    BAD("1 2 ok 1 c incrby 1 1\n3 4 ok 1 c incrby 1 3\n");
    BAD("1 2 ok 1 c incrby 1 1\n3 4 ok 1 c incrby 1 2\n5 6 ok 1 c get _ 3\n");
}

TEST(lincheck, lets_an_unknown_operation_happen_late_or_never_but_once)
{
    GOOD("1 2 ok 1 c incrby 1 1\n3 - unknown 1 c incrby 1 _\n5 6 ok 1 c get _ 1\n");
    GOOD("1 2 ok 1 c incrby 1 1\n3 - unknown 1 c incrby 1 _\n5 6 ok 1 c get _ 2\n");
    GOOD(
        "1 2 ok 1 c incrby 1 1\n3 - unknown 1 c incrby 1 _\n"
        "5 6 ok 1 c get _ 1\n7 8 ok 1 c get _ 2\n");
    BAD("1 2 ok 1 c incrby 1 1\n3 - unknown 1 c incrby 1 _\n5 6 ok 1 c get _ 3\n");
    BAD("1 - unknown 1 k set a _\n2 3 ok 1 k get _ a\n4 5 ok 1 k set b _\n"
        "6 7 ok 1 k get _ b\n8 9 ok 1 k get _ a\n");
    GOOD(
        "1 - unknown 1 k set a _\n4 5 ok 1 k set b _\n"
        "6 7 ok 1 k get _ b\n8 9 ok 1 k get _ a\n");
    BAD("1 2 ok 1 k append x 1\n3 - unknown 1 k append x _\n5 6 ok 1 k get _ xxx\n");
}

TEST(lincheck, lets_an_unknown_operation_happen_only_after_its_call)
{
    BAD("1 2 ok 1 c incrby 1 2\n3 - unknown 1 c incrby 1 _\n");
    GOOD("1 9 ok 1 c incrby 1 2\n3 - unknown 1 c incrby 1 _\n");
}

TEST(lincheck, knows_setnx_del_exists_getset_and_getdel)
{
    GOOD(
        "1 2 ok 1 k setnx a 1\n3 4 ok 1 k setnx b 0\n5 6 ok 1 k get _ a\n7 8 ok 1 k del _ 1\n"
        "9 10 ok 1 k del _ 0\n11 12 ok 1 k exists _ 0\n13 14 ok 1 k getset c _\n"
        "15 16 ok 1 k getset d c\n17 18 ok 1 k exists _ 1\n19 20 ok 1 k getdel _ d\n"
        "21 22 ok 1 k get _ _\n");
    BAD("1 5 ok 1 k setnx a 1\n2 6 ok 2 k setnx b 1\n");
    BAD("1 2 ok 1 k set a _\n3 7 ok 1 k del _ 1\n4 8 ok 2 k del _ 1\n");
    BAD("1 2 ok 1 k set a _\n3 4 ok 1 k exists _ 0\n");
    BAD("1 2 ok 1 k set a _\n3 9 ok 1 k getset b a\n4 8 ok 2 k getset c a\n");
    BAD("1 2 ok 1 k set a _\n3 9 ok 1 k getdel _ a\n4 8 ok 2 k getdel _ a\n");
}

TEST(lincheck, needs_an_unseen_unknown_write_for_its_side_effect)
{
    GOOD("1 - unknown 1 k set a _\n2 3 ok 2 k del _ 1\n");
    BAD("1 - unknown 1 k set a _\n2 3 ok 2 k del _ 1\n4 5 ok 2 k del _ 1\n");
    GOOD(
        "1 - unknown 1 k set a _\n1 - unknown 3 k set b _\n2 3 ok 2 k del _ 1\n"
        "4 5 ok 2 k del _ 1\n");
    GOOD("1 2 ok 1 k set a _\n3 - unknown 3 k del _ _\n4 5 ok 2 k setnx b 1\n");
}

TEST(lincheck, takes_equal_times_as_concurrent)
{
    GOOD("1 3 ok 1 k set a _\n3 4 ok 2 k get _ _\n");
    BAD("0 2 ok 1 k set a _\n3 4 ok 2 k get _ _\n");
}

TEST(lincheck, keeps_keys_apart)
{
    GOOD("1 2 ok 1 k set a _\n3 4 ok 1 l get _ _\n");
    BAD("1 2 ok 1 k set a _\n3 4 ok 1 l set b _\n5 6 ok 1 l get _ a\n");
}

TEST(lincheck, rejects_results_that_make_no_sense)
{
    CHECK_EQ(judge("1 2 ok 1 c incrby 1 two\n"), LINCHECK_VIOLATION);
    CHECK_EQ(judge("1 2 ok 1 k setnx a 2\n"), LINCHECK_VIOLATION);
    CHECK_EQ(judge("1 2 ok 1 c set a _\n3 4 ok 1 c incrby 1 1\n"), LINCHECK_VIOLATION);
}

TEST(lincheck, gives_up_in_bounded_time)
{
    struct lincheck_options options = {.steps_max = 5};
    CHECK_EQ(judge_with("1 9 ok 1 c incrby 1 1\n1 9 ok 1 c incrby 1 2\n1 9 ok 1 c incrby 1 3\n"
                        "1 9 ok 1 c incrby 1 4\n1 9 ok 1 c incrby 1 5\n1 9 ok 1 c incrby 1 6\n",
                        &options),
             LINCHECK_UNDECIDED);
}

TEST(history, round_trips_as_text)
{
    const char *text =
        "1 2 ok 1 a%20b set %5F %\n3 - unknown 2 k%0A del _ _\n4 5 fail 2 k%25 get _ x\n";
    struct history history;
    history_init(&history);
    FILE *from = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    size_t bad_line = 0;
    CHECK(history_read(&history, from, &bad_line));
    fclose(from);
    CHECK_EQ(history.count, 3);
    CHECK_BYTES(text_pool_get(&history.texts, history.ops[0].key), "a b");
    CHECK_BYTES(text_pool_get(&history.texts, history.ops[0].arg), "_");
    CHECK(text_pool_get(&history.texts, history.ops[1].arg).data == NULL);
    char *written = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&written, &size);
    history_write(&history, to);
    fclose(to);
    CHECK_BYTES(slice_of(written, size), text);
    free(written);
    history_deinit(&history);
}

TEST(history, refuses_lines_it_does_not_know)
{
    static const char *const LINES[] = {
        "x\n",
        "1 2 ok 1 k get _\n",
        "1 2 ok 1 k get _ a b\n",
        "a 2 ok 1 k get _ a\n",
        "1 - ok 1 k get _ a\n",
        "3 2 ok 1 k get _ a\n",
        "1 2 maybe 1 k get _ a\n",
        "1 2 ok 1 k fly _ a\n",
        "1 2 ok 1 _ get _ a\n",
        "1 2 ok 1 k get _ %1\n",
        "1 2 ok 1 k get _ %zz\n",
    };
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++) {
        char text[96];
        snprintf(text, sizeof text, "# good\n%s", LINES[i]);
        struct history history;
        history_init(&history);
        FILE *from = fmemopen(text, strlen(text), "r");
        size_t bad_line = 0;
        CHECK(!history_read(&history, from, &bad_line));
        CHECK_EQ(bad_line, 2);
        fclose(from);
        history_deinit(&history);
    }
}

/* ---- against a checker too simple to be wrong ---- */

enum { SMALL_OPS_MAX = 7 };

struct small_op {
    uint64_t invoked;
    uint64_t returned;
    enum history_kind kind;
    bool known;
    int arg; /* Values are small integers; 0 is "nothing". */
    int result;
};

static bool small_step(const struct small_op *op, int value, int *next)
{
    int result = 0;
    *next = value;
    switch (op->kind) {
    case HISTORY_GET: result = value; break;
    case HISTORY_EXISTS: result = value != 0; break;
    case HISTORY_SET: *next = op->arg; return true;
    case HISTORY_SETNX:
        *next = value == 0 ? op->arg : value;
        result = value == 0;
        break;
    case HISTORY_GETSET:
        result = value;
        *next = op->arg;
        break;
    case HISTORY_GETDEL:
        result = value;
        *next = 0;
        break;
    case HISTORY_DEL:
        result = value != 0;
        *next = 0;
        break;
    case HISTORY_INCRBY: result = *next = value + 1; break;
    case HISTORY_APPEND:
    case HISTORY_KIND_COUNT: CHECK(false);
    }
    return !op->known || result == op->result;
}

/* Tries every order of every subset that holds all known operations. */
static bool small_check(const struct small_op *ops, int count, unsigned done, int value)
{
    bool complete = true;
    uint64_t until = HISTORY_NEVER;
    for (int i = 0; i < count; i++) {
        if (!(done & 1u << i) && ops[i].known) {
            complete = false;
            until = ops[i].returned < until ? ops[i].returned : until;
        }
    }
    if (complete) {
        return true;
    }
    for (int i = 0; i < count; i++) {
        int next;
        if (!(done & 1u << i) && ops[i].invoked <= until && small_step(&ops[i], value, &next) &&
            small_check(ops, count, done | 1u << i, next)) {
            return true;
        }
    }
    return false;
}

static struct slice number_text(char *out, size_t size, int number)
{
    snprintf(out, size, "%d", number);
    return slice_str(out);
}

static bool results_in_value(enum history_kind kind)
{
    return kind == HISTORY_GET || kind == HISTORY_GETSET || kind == HISTORY_GETDEL;
}

static void add_small(struct history *history, const struct small_op *op)
{
    char arg[16];
    char result[16];
    struct slice nothing = slice_of(NULL, 0);
    bool has_arg = op->kind == HISTORY_SET || op->kind == HISTORY_SETNX ||
                   op->kind == HISTORY_GETSET || op->kind == HISTORY_INCRBY;
    size_t at = history_invoke(history, op->invoked, 0, op->kind, slice_str("k"),
                               has_arg ? number_text(arg, sizeof arg, op->arg) : nothing);
    if (!op->known) {
        history_return(history, at, op->invoked, HISTORY_UNKNOWN, nothing);
        return;
    }
    bool is_nothing = results_in_value(op->kind) && op->result == 0;
    history_return(history, at, op->returned, HISTORY_OK,
                   is_nothing ? nothing : number_text(result, sizeof result, op->result));
}

static struct small_op random_small(struct rand *rand, bool register_only, int serial)
{
    static const enum history_kind KINDS[] = {HISTORY_GET,    HISTORY_SET,    HISTORY_SETNX,
                                              HISTORY_GETSET, HISTORY_GETDEL, HISTORY_DEL,
                                              HISTORY_EXISTS, HISTORY_INCRBY};
    struct small_op op = {.kind = KINDS[rand_below(rand, register_only ? 2 : 8)]};
    op.invoked = rand_below(rand, 12);
    op.returned = op.invoked + rand_below(rand, 8);
    op.known = rand_below(rand, 5) != 0;
    op.arg = op.kind == HISTORY_INCRBY ? 1
             : register_only           ? serial + 1
                                       : 1 + (int)rand_below(rand, 3);
    bool wide = results_in_value(op.kind) || op.kind == HISTORY_INCRBY;
    op.result = (int)rand_below(rand, register_only ? SMALL_OPS_MAX : wide ? 4 : 2);
    return op;
}

static bool verdicts_agree(const struct small_op *ops, int count, bool *good)
{
    struct history history;
    history_init(&history);
    for (int i = 0; i < count; i++) {
        add_small(&history, &ops[i]);
    }
    *good = small_check(ops, count, 0, 0);
    bool agree = true;
    for (int way = 0; way < 2; way++) {
        struct lincheck_report report;
        struct lincheck_options options = {.search_only = way == 1};
        lincheck_run(&history, &options, &report);
        agree = agree && report.verdict != LINCHECK_UNDECIDED &&
                (report.verdict == LINCHECK_LINEARIZABLE) == *good;
        lincheck_report_deinit(&report);
    }
    if (!agree) {
        history_write(&history, stderr);
    }
    history_deinit(&history);
    return agree;
}

TEST(lincheck, agrees_with_trying_every_order)
{
    uint64_t seed;
    rand_os(&seed, sizeof seed);
    struct rand rand;
    rand_init(&rand, seed);
    int goods = 0;
    enum { RUNS = 30000 };
    for (int run = 0; run < RUNS; run++) {
        struct small_op ops[SMALL_OPS_MAX];
        int count = 1 + (int)rand_below(&rand, SMALL_OPS_MAX);
        bool register_only = rand_below(&rand, 2) == 0;
        for (int i = 0; i < count; i++) {
            ops[i] = random_small(&rand, register_only, i);
        }
        bool good;
        if (!verdicts_agree(ops, count, &good)) {
            fprintf(stderr, "seed %" PRIu64 " run %d: every order says %d\n", seed, run, good);
            CHECK(false);
        }
        goods += good;
    }
    CHECK(goods > RUNS / 20 && goods < RUNS - RUNS / 20);
}

/* ---- large histories from a real atomic object ---- */

enum { CLIENTS_MAX = 40 };

struct object_run {
    struct history history;
    struct rand rand;
    uint64_t now;
    int value_int; /* The object, as a number; 0 is "nothing". */
    int serial;
};

struct client {
    bool busy;
    bool lost; /* Its answer will not come: the outcome is unknown. */
    bool applied;
    size_t op;
    enum history_kind kind;
    int arg;
    int result;
};

static void client_call(struct object_run *run, struct client *client, uint32_t id, bool counter)
{
    static const enum history_kind COUNTER[] = {HISTORY_GET, HISTORY_INCRBY, HISTORY_INCRBY};
    static const enum history_kind REGISTER[] = {HISTORY_GET, HISTORY_SET, HISTORY_DEL,
                                                 HISTORY_GETSET, HISTORY_SETNX};
    *client = (struct client){.busy = true, .lost = rand_below(&run->rand, 50) == 0};
    client->kind =
        counter ? COUNTER[rand_below(&run->rand, 3)] : REGISTER[rand_below(&run->rand, 5)];
    client->arg = client->kind == HISTORY_INCRBY ? 1 : ++run->serial;
    char arg[16];
    bool has_arg = client->kind != HISTORY_GET && client->kind != HISTORY_DEL;
    client->op =
        history_invoke(&run->history, run->now, id, client->kind, slice_str("k"),
                       has_arg ? number_text(arg, sizeof arg, client->arg) : slice_of(NULL, 0));
}

static void client_apply(struct object_run *run, struct client *client)
{
    struct small_op op = {.kind = client->kind, .arg = client->arg};
    struct small_op probe = op;
    int next;
    CHECK(small_step(&probe, run->value_int, &next));
    client->result = client->kind == HISTORY_INCRBY  ? next
                     : client->kind == HISTORY_SETNX ? run->value_int == 0
                     : client->kind == HISTORY_DEL || client->kind == HISTORY_EXISTS
                         ? run->value_int != 0
                         : run->value_int;
    run->value_int = next;
    client->applied = true;
}

static void client_return(struct object_run *run, struct client *client)
{
    char result[16];
    bool nothing = results_in_value(client->kind) && client->result == 0;
    history_return(
        &run->history, client->op, run->now, client->lost ? HISTORY_UNKNOWN : HISTORY_OK,
        nothing ? slice_of(NULL, 0) : number_text(result, sizeof result, client->result));
    client->busy = false;
}

static void client_move(struct object_run *run, struct client *client, uint32_t id, bool counter)
{
    if (!client->busy) {
        client_call(run, client, id, counter);
    } else if (client->lost && rand_below(&run->rand, 2) == 0) {
        client_return(run, client); /* Never applied. */
    } else if (!client->applied) {
        client_apply(run, client);
    } else {
        client_return(run, client);
    }
}

static void fill_run(
    struct object_run *run, uint64_t seed, uint32_t clients_count, size_t ops, bool counter)
{
    struct client clients[CLIENTS_MAX] = {0};
    CHECK(clients_count <= CLIENTS_MAX);
    *run = (struct object_run){0};
    history_init(&run->history);
    rand_init(&run->rand, seed);
    while (run->history.count < ops) {
        run->now++;
        uint32_t id = (uint32_t)rand_below(&run->rand, clients_count);
        client_move(run, &clients[id], id, counter);
    }
}

TEST(lincheck, accepts_what_an_atomic_object_did)
{
    uint64_t seed;
    rand_os(&seed, sizeof seed);
    for (uint64_t i = 0; i < 8; i++) {
        struct object_run run;
        fill_run(&run, seed + i, CLIENTS_MAX, 8000, i % 2 == 0);
        struct lincheck_report report;
        lincheck_run(&run.history, &(struct lincheck_options){0}, &report);
        if (report.verdict != LINCHECK_LINEARIZABLE) {
            fprintf(stderr, "seed %" PRIu64 ": %.*s", seed + i, (int)report.detail.len,
                    (const char *)report.detail.data);
        }
        CHECK_EQ(report.verdict, LINCHECK_LINEARIZABLE);
        lincheck_report_deinit(&report);
        history_deinit(&run.history);
    }
}

/* Makes one get late in the history answer what the object was long before. */
static bool make_stale(struct history *history, struct rand *rand)
{
    size_t late = history->count / 2 + (size_t)rand_below(rand, history->count / 4);
    uint32_t old = TEXT_POOL_NONE;
    for (size_t i = 0; i < history->count / 4; i++) {
        const struct history_op *op = &history->ops[i];
        if (op->kind == HISTORY_GET && op->outcome == HISTORY_OK && op->result != TEXT_POOL_NONE) {
            old = op->result;
        }
    }
    for (; late < history->count; late++) {
        struct history_op *op = &history->ops[late];
        if (op->kind == HISTORY_GET && op->outcome == HISTORY_OK && op->result != old) {
            op->result = old;
            return old != TEXT_POOL_NONE;
        }
    }
    return false;
}

TEST(lincheck, rejects_one_stale_read_among_thousands)
{
    uint64_t seed;
    rand_os(&seed, sizeof seed);
    for (uint64_t i = 0; i < 8; i++) {
        struct object_run run;
        /* To refute a register with deletions is hard (NP) in the number of clients; with few of
         * them the search always ends within its bound. */
        fill_run(&run, seed + i, i % 2 == 0 ? CLIENTS_MAX : 5, 4000, i % 2 == 0);
        CHECK(make_stale(&run.history, &run.rand));
        struct lincheck_report report;
        lincheck_run(&run.history, &(struct lincheck_options){0}, &report);
        if (report.verdict != LINCHECK_VIOLATION) {
            fprintf(stderr, "seed %" PRIu64 " %s: %.*s", seed + i,
                    i % 2 == 0 ? "counter" : "register", (int)report.detail.len,
                    (const char *)report.detail.data);
        }
        CHECK_EQ(report.verdict, LINCHECK_VIOLATION);
        lincheck_report_deinit(&report);
        history_deinit(&run.history);
    }
}
