#include "common/front/front.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/rand.h"
#include "common/front/front_core.h"

enum { TICK_MS = 1000, REPLY_KEPT_SIZE_MAX = 64 * 1024 };

uint64_t front_now_ns(const struct front_part *part)
{
    return part->loop != NULL ? loop_now_ns(part->loop) : clock_now_ns();
}

int64_t front_setting(const struct front_part *part, enum config_id id)
{
    return config_number(part->front->options.config, id);
}

struct buf *front_reply(struct request *request)
{
    struct buf *reply = &request->part->reply;
    buf_clear(reply);
    return reply;
}

void front_done(struct request *request)
{
    struct front_part *part = request->part;
    request_finish(request, buf_slice(&part->reply));
    if (part->reply.size > REPLY_KEPT_SIZE_MAX) {
        buf_deinit(&part->reply);
        buf_init(&part->reply, SIZE_MAX / 2);
    }
}

void front_ok(struct request *request)
{
    request_finish(request, slice_of("+OK\r\n", 5));
}

void front_run_subcommand(struct request *request,
                          const struct front_subcommand *table,
                          size_t count,
                          const char *const *help)
{
    const char *container = request->command->name;
    struct slice name = request->args.argv[1];
    for (size_t i = 0; i < count; i++) {
        if (!command_word(name, table[i].name)) {
            continue;
        }
        int argc = (int)request->args.argc;
        if (table[i].arity >= 0 ? argc != table[i].arity : argc < -table[i].arity) {
            struct buf *reply = front_reply(request);
            resp_write_errorf(reply, "ERR wrong number of arguments for '%s|%s' command", container,
                              table[i].name);
            front_done(request);
            return;
        }
        table[i].run(request);
        return;
    }
    struct buf *reply = front_reply(request);
    if (help != NULL && command_word(name, "help") && request->args.argc == 2) {
        size_t lines = 0;
        while (help[lines] != NULL) {
            lines++;
        }
        resp_write_array(reply, lines);
        for (size_t i = 0; i < lines; i++) {
            resp_write_simple(reply, help[i]);
        }
    } else if (help != NULL && command_word(name, "help")) {
        resp_write_errorf(reply, "ERR wrong number of arguments for '%s|help' command", container);
    } else {
        char upper[32];
        size_t len = strlen(container);
        assert(len < sizeof(upper));
        for (size_t i = 0; i <= len; i++) {
            bool lower = container[i] >= 'a' && container[i] <= 'z';
            upper[i] = (char)(lower ? container[i] - 'a' + 'A' : container[i]);
        }
        resp_write_errorf(reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                          (int)(name.len < 128 ? name.len : 128), (const char *)name.data, upper);
    }
    front_done(request);
}

/* Tours. */

/* What is to be done where the tour is. True: it has come home and is over. */
static bool act(struct front_tour *tour)
{
    if (tour->next < tour->end) {
        tour->visit(tour, tour->front->parts[tour->next++]);
        return false;
    }
    tour->home(tour);
    return true;
}

static void on_arrival(struct mail *mail);

/* To the next part, or home. */
static void travel(struct front_tour *tour)
{
    do {
        unsigned index = tour->next < tour->end ? tour->next : tour->request->loop;
        struct loop *loop = tour->front->parts[index]->loop;
        if (loop != NULL && tour->front->options.loops > 1) {
            tour->mail.run = on_arrival;
            mailbox_post(loop, &tour->mail);
            return;
        }
    } while (!act(tour));
}

static void on_arrival(struct mail *mail)
{
    struct front_tour *tour = list_entry(mail, struct front_tour, mail);
    if (!act(tour)) {
        travel(tour);
    }
}

void front_tour_start(struct front_tour *tour, struct request *request, unsigned end)
{
    tour->front = request->part->front;
    tour->request = request;
    tour->next = 0;
    tour->end = end < tour->front->options.loops ? end : tour->front->options.loops;
    travel(tour);
}

/* Numbers. */

static void take_rate(struct front *front)
{
    struct front_rate *rate = &front->rate;
    struct metrics *metrics = front->options.metrics;
    uint64_t now_ms = clock_now_ms();
    uint64_t commands = metrics_sum(metrics, METRIC_command_duration_seconds);
    uint64_t input = metrics_sum(metrics, METRIC_network_input_bytes_total);
    uint64_t output = metrics_sum(metrics, METRIC_network_output_bytes_total);
    double seconds = (double)(now_ms - rate->at_ms) / 1000;
    if (rate->at_ms > 0 && seconds > 0) {
        rate->commands_per_second = (double)(commands - rate->commands) / seconds;
        rate->input_per_second = (double)(input - rate->input) / seconds;
        rate->output_per_second = (double)(output - rate->output) / seconds;
    }
    rate->at_ms = now_ms;
    rate->commands = commands;
    rate->input = input;
    rate->output = output;
}

void front_refresh(struct front_part *part)
{
    struct metrics_part *metrics = part->metrics;
    metrics_set(metrics, METRIC_clients, (int64_t)part->session_count);
    metrics_set(metrics, METRIC_blocked_clients, (int64_t)part->blocked);
    metrics_set(metrics, METRIC_requests_in_flight, (int64_t)part->in_flight);
    uint64_t memory = atomic_load_explicit(&part->front->memory, memory_order_relaxed);
    metrics_set(metrics, METRIC_clients_memory_bytes, part->index == 0 ? (int64_t)memory : 0);
    if (part->loop == NULL) {
        return;
    }
    struct conn_totals totals = conn_totals(part->loop);
    struct loop_load load = loop_load(part->loop);
    metrics_set(metrics, METRIC_network_input_bytes_total, (int64_t)totals.input_size);
    metrics_set(metrics, METRIC_network_output_bytes_total, (int64_t)totals.output_size);
    metrics_set(metrics, METRIC_loop_busy_seconds_total, (int64_t)load.busy_ns);
    metrics_set(metrics, METRIC_loop_turns_total, (int64_t)load.turns);
}

static void on_tick(void *arg)
{
    struct front_part *part = arg;
    struct list *node = part->sessions.next;
    while (node != &part->sessions) {
        struct session *session = list_entry(node, struct session, in_part);
        node = node->next; /* Closing is never immediate: the session stays in the list. */
        session_tick(session);
    }
    front_refresh(part);
    if (part->index == 0) {
        take_rate(part->front);
    }
}

static void read_commands(void *arg, const char *label, uint64_t count, uint64_t total)
{
    struct front_counts *counts = arg;
    const struct command *command = command_find(slice_str(label));
    if (command != NULL) {
        counts->calls[command->id] = count;
        counts->ns[command->id] = total;
    }
}

static void read_failed(void *arg, const char *label, uint64_t count, uint64_t total)
{
    (void)total;
    struct front_counts *counts = arg;
    const struct command *command = command_find(slice_str(label));
    if (command != NULL) {
        counts->failed[command->id] = count;
    }
}

static void read_rejected(void *arg, const char *label, uint64_t count, uint64_t total)
{
    (void)total;
    struct front_counts *counts = arg;
    const struct command *command = command_find(slice_str(label));
    if (command != NULL) {
        counts->rejected[command->id] = count;
    }
}

static void read_codes(void *arg, const char *label, uint64_t count, uint64_t total)
{
    (void)total;
    struct front_counts *counts = arg;
    counts->errors += count;
    if (counts->code_count < FRONT_ERROR_CODES_MAX) {
        size_t at = counts->code_count++;
        (void)snprintf(counts->codes[at], METRICS_LABEL_SIZE, "%s", label);
        counts->code_counts[at] = count;
    }
}

static void read_reasons(void *arg, const char *label, uint64_t count, uint64_t total)
{
    (void)total;
    struct front_counts *counts = arg;
    counts->evicted += strcmp(label, "memory") == 0 ? count : 0;
}

void front_count(struct front *front, struct front_counts *counts)
{
    const struct metrics *metrics = front->options.metrics;
    *counts = (struct front_counts){0};
    metrics_each_label(metrics, METRIC_command_duration_seconds, read_commands, counts);
    metrics_each_label(metrics, METRIC_command_errors_total, read_failed, counts);
    metrics_each_label(metrics, METRIC_command_rejected_total, read_rejected, counts);
    metrics_each_label(metrics, METRIC_error_replies_total, read_codes, counts);
    metrics_each_label(metrics, METRIC_clients_disconnected_total, read_reasons, counts);
    counts->accepted = metrics_sum(metrics, METRIC_clients_accepted_total);
    counts->refused = metrics_sum(metrics, METRIC_clients_rejected_total);
    counts->input = metrics_sum(metrics, METRIC_network_input_bytes_total);
    counts->output = metrics_sum(metrics, METRIC_network_output_bytes_total);
}

/* Life. */

static struct front_part *make_part(struct front *front, unsigned index)
{
    static const char *const reasons[FRONT_REASON_COUNT] = {
        [FRONT_PROTOCOL] = "protocol", [FRONT_OUTPUT] = "output", [FRONT_QUERY] = "query",
        [FRONT_MEMORY] = "memory",     [FRONT_IDLE] = "idle",     [FRONT_KILLED] = "killed",
    };
    struct front_part *part = calloc(1, sizeof(*part));
    assert(part != NULL);
    part->front = front;
    part->index = index;
    part->metrics = metrics_part(front->options.metrics, index);
    list_init(&part->sessions);
    topics_init(&part->topics);
    buf_init(&part->reply, SIZE_MAX / 2);
    resp_parser_init(&part->parser,
                     (size_t)config_number(front->options.config, CONFIG_proto_max_bulk_len));
    for (size_t i = 0; i < CMD_COUNT; i++) {
        const char *name = command_at(i)->name;
        struct metrics_part *metrics = part->metrics;
        part->duration_labels[i] = metrics_label(metrics, METRIC_command_duration_seconds, name);
        part->error_labels[i] = metrics_label(metrics, METRIC_command_errors_total, name);
        part->rejected_labels[i] = metrics_label(metrics, METRIC_command_rejected_total, name);
    }
    for (size_t i = 0; i < FRONT_REASON_COUNT; i++) {
        part->reason_labels[i] =
            metrics_label(part->metrics, METRIC_clients_disconnected_total, reasons[i]);
    }
    part->err_label = metrics_label(part->metrics, METRIC_error_replies_total, "ERR");
    return part;
}

struct front *front_new(const struct front_options *options)
{
    assert(options->loops > 0 && options->env->execute != NULL && options->env->replicas != NULL);
    struct front *front = calloc(1, sizeof(*front));
    assert(front != NULL);
    front->options = *options;
    front->started_ms = clock_now_ms();
    atomic_store(&front->next_client, 1);
    atomic_store(&front->tcp_port, options->tcp_port);
    uint8_t bytes[20];
    rand_os(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        (void)snprintf(front->run_id + 2 * i, 3, "%02x", (unsigned)bytes[i]);
    }
    front->reset = calloc(1, sizeof(*front->reset));
    front->parts = calloc(options->loops, sizeof(struct front_part *));
    assert(front->reset != NULL && front->parts != NULL);
    for (unsigned i = 0; i < options->loops; i++) {
        front->parts[i] = make_part(front, i);
    }
    return front;
}

void front_free(struct front *front)
{
    for (unsigned i = 0; i < front->options.loops; i++) {
        struct front_part *part = front->parts[i];
        assert(list_empty(&part->sessions));
        assert(!loop_timer_running(&part->tick));
        topics_deinit(&part->topics);
        front_slowlog_free(part);
        buf_deinit(&part->reply);
        resp_parser_deinit(&part->parser);
        free(part);
    }
    free(front->parts);
    free(front->reset);
    free(front);
}

void front_attach(struct front *front, unsigned index, struct loop *loop)
{
    struct front_part *part = front_part(front, index);
    assert(loop_index(loop) == index);
    part->loop = loop;
    loop_timer_start(loop, &part->tick, TICK_MS, TICK_MS, on_tick, part);
}

void front_set_port(struct front *front, uint16_t tcp_port)
{
    atomic_store(&front->tcp_port, tcp_port);
}

struct front_part *front_part(struct front *front, unsigned index)
{
    assert(index < front->options.loops);
    return front->parts[index];
}

uint64_t front_clients(const struct front *front)
{
    return atomic_load_explicit(&front->clients, memory_order_relaxed);
}
