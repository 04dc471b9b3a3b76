#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/sha1.h"
#include "common/cluster/token.h"
#include "common/proto/resp.h"
#include "common/proto/transaction.h"
#include "router/core.h"
#include "server/worker.h"
#include "tests/sim/sim.h"

/* A teller: a client that keeps two accounts of a bank equal, by WATCH, a transaction that reads
 * both and one that sets both to one more (compare and set); or by one that adds one to both, which
 * nothing but its number keeps from being done twice. Each account by its command or by a script
 * that does the same. Several share a bank. Whoever reads both in one transaction sees them equal,
 * and never less than what was acknowledged before; in the end they are as many as there were
 * transactions that were executed. One bank has a hash tag in database 0, the other is in a
 * co-located one. */

enum {
    ACCOUNTS = 2,
    TEXT_SIZE = 24,
    SCRIPT_SIZE = 160,
    ARGC_MAX = 5,
    SCRIPT_PERMILLE = 400, /* Of the commands. */
    LONG_PERMILLE = 60,    /* Of the scripts take too long for a loop. */
    SHA_PERMILLE = 500,    /* Of those that the transaction has brought before: by their SHA-1. */
    ADD_PERMILLE = 400,
};

enum teller_step { TELLER_WATCH, TELLER_LOOK, TELLER_SET, TELLER_ADD };

/* What an account is asked. */
static const struct {
    const char *name;
    const char *script;
    size_t argc;
} commands[] = {
    [TELLER_LOOK] = {"get", "return redis.call('get',KEYS[1])", 2},
    [TELLER_SET] = {"set",
                    "redis.call('del',KEYS[1]) redis.call('append',KEYS[1],ARGV[1]) "
                    "return redis.status_reply('OK')",
                    3},
    [TELLER_ADD] = {"incr", "return redis.call('incr',KEYS[1])", 2},
};

static const struct {
    uint8_t db;
    const char *keys[ACCOUNTS];
} banks[SIM_BANKS] = {{0, {"{bank}one", "{bank}two"}}, {4, {"one", "two"}}};

struct transfer {
    struct core_request request;
    struct sim_teller *teller;
    struct sim_router *router;
    struct transaction_form form;
    struct slice argv[ACCOUNTS][ARGC_MAX];
    char scripts[ACCOUNTS][SCRIPT_SIZE];
    char shas[ACCOUNTS][SHA1_HEX_SIZE + 1];
    char value[TEXT_SIZE];
    uint64_t known; /* Transactions acknowledged when it was sent. */
};

struct sim_teller {
    struct sim *sim;
    unsigned index;
    enum teller_step step; /* The next. */
    struct transaction_watch watches[ACCOUNTS];
    uint64_t seen;
    struct transfer *transfer; /* Under way. */
    bool stopped;
};

static void begin(void *arg);

static struct sim_bank *bank_of(struct sim_teller *teller)
{
    return &teller->sim->banks[teller->index % SIM_BANKS];
}

static void next_later(struct sim_teller *teller, enum teller_step step)
{
    struct sim *sim = teller->sim;
    teller->step = step;
    sim_after(sim, NULL, sim_random_ns(sim, SIM_MS / 10, 20 * SIM_MS), begin, teller);
}

static struct slice behind(struct slice bytes, size_t size)
{
    return slice_of(bytes.data + size, bytes.len - size);
}

/* The numbers of an array; a null is 0. False: it is none of so many. */
static bool read_numbers(struct slice reply, uint64_t numbers[ACCOUNTS])
{
    struct resp_value value;
    if (resp_value_read(reply, &value) != STATUS_OK || value.type != '*' || value.null ||
        value.number != ACCOUNTS) {
        return false;
    }
    for (size_t i = 0; i < ACCOUNTS; i++) {
        reply = behind(reply, value.size_used);
        if (resp_value_read(reply, &value) != STATUS_OK) {
            return false;
        }
        char text[TEXT_SIZE] = {0};
        size_t len = value.bytes.len < TEXT_SIZE - 1 ? value.bytes.len : TEXT_SIZE - 1;
        if (value.type == '$' && !value.null) {
            memcpy(text, value.bytes.data, len);
        }
        numbers[i] = value.type == ':' ? (uint64_t)value.number : strtoull(text, NULL, 10);
    }
    return true;
}

static enum teller_step on_versions(struct sim_teller *teller, const uint64_t numbers[ACCOUNTS])
{
    for (size_t i = 0; i < ACCOUNTS; i++) {
        teller->watches[i].version = numbers[i];
    }
    return TELLER_LOOK;
}

static enum teller_step on_look(struct sim_teller *teller,
                                const struct transfer *transfer,
                                const uint64_t numbers[ACCOUNTS])
{
    if (numbers[0] != numbers[1]) {
        sim_fail(teller->sim, "teller %u saw %llu and %llu in one transaction", teller->index,
                 (unsigned long long)numbers[0], (unsigned long long)numbers[1]);
    }
    if (numbers[0] < transfer->known) {
        sim_fail(teller->sim, "teller %u saw %llu, and %llu were acknowledged before",
                 teller->index, (unsigned long long)numbers[0],
                 (unsigned long long)transfer->known);
    }
    teller->seen = numbers[0];
    return TELLER_SET;
}

/* Whether the transaction was executed. */
static bool is_done(struct sim_teller *teller, const struct transfer *transfer, struct slice reply)
{
    uint64_t numbers[ACCOUNTS];
    if (teller->step == TELLER_SET) {
        return slice_equal(reply, slice_str("*2\r\n+OK\r\n+OK\r\n"));
    }
    if (!read_numbers(reply, numbers)) {
        return false;
    }
    if (numbers[0] != numbers[1] || numbers[0] <= transfer->known) {
        sim_fail(teller->sim, "teller %u made %llu and %llu, and %llu were acknowledged before",
                 teller->index, (unsigned long long)numbers[0], (unsigned long long)numbers[1],
                 (unsigned long long)transfer->known);
    }
    return true;
}

static enum teller_step on_change(struct sim_teller *teller,
                                  const struct transfer *transfer,
                                  struct slice reply)
{
    struct sim_bank *bank = bank_of(teller);
    if (is_done(teller, transfer, reply)) {
        bank->done++;
    } else if (slice_equal(reply, slice_str("*-1\r\n"))) {
        bank->aborted++;
    } else if (reply.len > 8 && memcmp(reply.data, "-UNKNOWN", 8) == 0) {
        bank->unknown++;
    } else if (reply.len == 0 || reply.data[0] != '-' || memcmp(reply.data, "-ERR", 4) == 0) {
        sim_fail(teller->sim, "teller %u: %.*s", teller->index, (int)reply.len,
                 (const char *)reply.data);
    }
    return sim_chance(teller->sim, ADD_PERMILLE) ? TELLER_ADD : TELLER_WATCH;
}

static void on_done(struct core_request *request, struct slice reply)
{
    struct transfer *transfer = list_entry(request, struct transfer, request);
    struct sim_teller *teller = transfer->teller;
    assert(teller->transfer == transfer);
    enum teller_step next = TELLER_WATCH;
    uint64_t numbers[ACCOUNTS];
    if (teller->step >= TELLER_SET) {
        next = on_change(teller, transfer, reply);
    } else if (read_numbers(reply, numbers)) {
        next = teller->step == TELLER_WATCH ? on_versions(teller, numbers)
                                            : on_look(teller, transfer, numbers);
    } else if (reply.len == 0 || reply.data[0] != '-') {
        sim_fail(teller->sim, "teller %u: %.*s", teller->index, (int)reply.len,
                 (const char *)reply.data);
    }
    teller->transfer = NULL;
    transaction_form_deinit(&transfer->form);
    free(transfer);
    next_later(teller, next);
}

/* Turns a command into a script that does the same; returns the number of arguments. */
static size_t by_script(struct transfer *transfer, size_t nth, size_t argc)
{
    struct sim *sim = transfer->teller->sim;
    enum teller_step step = transfer->teller->step;
    struct slice *argv = transfer->argv[nth];
    const char *prefix = sim_chance(sim, LONG_PERMILLE) ? "for i = 1, 500000 do end " : "";
    int len = snprintf(transfer->scripts[nth], SCRIPT_SIZE, "%s%s", prefix, commands[step].script);
    assert(len > 0 && len < SCRIPT_SIZE);
    argv[4] = argv[2];
    argv[3] = argv[1];
    argv[2] = slice_str("1");
    argv[1] = slice_str(transfer->scripts[nth]);
    bool reads = step == TELLER_LOOK && sim_chance(sim, 500);
    argv[0] = slice_str(reads ? "eval_ro" : "eval");
    bool brought = nth > 0 && strcmp(transfer->scripts[0], transfer->scripts[nth]) == 0;
    if (brought && sim_chance(sim, SHA_PERMILLE)) {
        sha1_hex(argv[1], transfer->shas[nth]);
        argv[1] = slice_str(transfer->shas[nth]);
        argv[0] = slice_str(reads ? "evalsha_ro" : "evalsha");
    }
    return argc + 2;
}

/* The arguments of the step. */
static struct args fill(struct transfer *transfer)
{
    struct sim_teller *teller = transfer->teller;
    unsigned bank = teller->index % SIM_BANKS;
    struct transaction_item items[ACCOUNTS];
    enum teller_step step = teller->step;
    if (teller->step == TELLER_WATCH) {
        struct slice *argv = transfer->argv[0];
        argv[0] = slice_str("versions");
        for (size_t i = 0; i < ACCOUNTS; i++) {
            argv[1 + i] = slice_str(banks[bank].keys[i]);
            teller->watches[i] =
                (struct transaction_watch){.db = banks[bank].db, .key = argv[1 + i]};
        }
        return (struct args){.argv = argv, .argc = 1 + ACCOUNTS};
    }
    (void)snprintf(transfer->value, TEXT_SIZE, "%llu", (unsigned long long)teller->seen + 1);
    for (size_t i = 0; i < ACCOUNTS; i++) {
        struct slice *argv = transfer->argv[i];
        argv[0] = slice_str(commands[step].name);
        argv[1] = slice_str(banks[bank].keys[i]);
        argv[2] = slice_str(transfer->value);
        size_t argc = commands[step].argc;
        argc = sim_chance(teller->sim, SCRIPT_PERMILLE) ? by_script(transfer, i, argc) : argc;
        items[i] = (struct transaction_item){.command = command_find(argv[0]),
                                             .db = banks[bank].db,
                                             .args = {.argv = argv, .argc = argc}};
    }
    transaction_form_init(&transfer->form, items, ACCOUNTS, teller->watches,
                          step == TELLER_SET ? ACCOUNTS : 0);
    return transfer->form.args;
}

static void begin(void *arg)
{
    struct sim_teller *teller = arg;
    struct sim *sim = teller->sim;
    struct sim_actor *actor = NULL;
    struct sim_router *router = sim_client_router(sim, teller->index, &actor);
    if (teller->stopped) {
        return;
    }
    if (router == NULL) {
        next_later(teller, TELLER_WATCH);
        return;
    }
    struct transfer *transfer = calloc(1, sizeof(*transfer));
    assert(transfer != NULL);
    transfer->teller = teller;
    transfer->router = router;
    transfer->known = bank_of(teller)->done;
    transfer->request.args = fill(transfer);
    bool watches = teller->step == TELLER_WATCH;
    transfer->request.command = command_at(watches ? CMD_versions : CMD_batch);
    transfer->request.db = banks[teller->index % SIM_BANKS].db;
    transfer->request.on_done = on_done;
    teller->transfer = transfer;
    sim_enter(actor);
    core_execute(sim_router_core(router), &transfer->request);
    sim_turn(actor);
}

void sim_teller_make(struct sim *sim, unsigned index)
{
    struct sim_teller *teller = calloc(1, sizeof(*teller));
    assert(teller != NULL);
    teller->sim = sim;
    teller->index = index;
    sim->tellers[index] = teller;
    next_later(teller, TELLER_WATCH);
}

void sim_teller_orphan(struct sim *sim, const struct sim_router *router)
{
    for (unsigned i = 0; i < SIM_TELLERS; i++) {
        struct sim_teller *teller = sim->tellers[i];
        if (teller == NULL || teller->transfer == NULL || teller->transfer->router != router) {
            continue;
        }
        bank_of(teller)->unknown += teller->step >= TELLER_SET;
        teller->transfer = NULL; /* Its memory went with the router. */
        next_later(teller, TELLER_WATCH);
    }
}

void sim_teller_stop(struct sim_teller *teller)
{
    teller->stopped = true;
}

bool sim_teller_idle(const struct sim_teller *teller)
{
    return teller->stopped && teller->transfer == NULL;
}

static uint64_t read_account(struct shard *shard, struct worker *worker, unsigned bank, size_t n)
{
    const struct shard_state *state = shard_state(shard);
    struct slice argv[] = {slice_str("get"), slice_str(banks[bank].keys[n])};
    struct machine_read_input input = {
        .scope = {.shard = state->desc.id, .start = state->desc.start, .last = state->desc.last},
        .command = command_find(argv[0]),
        .args = {.argv = argv, .argc = 2},
        .db = banks[bank].db,
        .now_ms = state->machine.time_ms};
    struct buf reply;
    buf_init(&reply, 1 << 16);
    enum status status = machine_read(worker_txn(worker), &state->machine, &input, &reply);
    assert(status == STATUS_OK);
    struct resp_value value;
    status = resp_value_read(buf_slice(&reply), &value);
    assert(status == STATUS_OK);
    char text[TEXT_SIZE] = {0};
    if (!value.null) {
        assert(value.bytes.len < TEXT_SIZE);
        memcpy(text, value.bytes.data, value.bytes.len);
    }
    buf_deinit(&reply);
    return strtoull(text, NULL, 10);
}

void sim_teller_check(struct sim *sim, struct worker *worker, struct shard *shard)
{
    const struct shard_desc *desc = &shard_state(shard)->desc;
    for (unsigned i = 0; i < SIM_BANKS; i++) {
        uint64_t token = token_of(banks[i].db, slice_str(banks[i].keys[0]));
        if (desc->id == SHARD_META || token < desc->start || token > desc->last) {
            continue;
        }
        const struct sim_bank *bank = &sim->banks[i];
        uint64_t one = read_account(shard, worker, i, 0);
        uint64_t two = read_account(shard, worker, i, 1);
        if (one != two || one < bank->done || one > bank->done + bank->unknown) {
            sim_fail(sim, "bank %u has %llu and %llu after %llu transactions, %llu unknown", i,
                     (unsigned long long)one, (unsigned long long)two,
                     (unsigned long long)bank->done, (unsigned long long)bank->unknown);
        }
    }
}
