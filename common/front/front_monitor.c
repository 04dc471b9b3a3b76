#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/front/front_core.h"

/* MONITOR: every command of every client of this process, as a line in the form of Redis 7.0. At
 * most monitor-commands-per-second of each loop are shown; a line says how many were left out. A
 * monitor that does not read is disconnected. Commands that carry passwords are not shown. */

enum { ARG_SIZE_MAX = 4096, LINE_SIZE_MAX = 64 * 1024 };

struct line_mail {
    struct mail mail;
    struct front_part *part;
    size_t len;
    uint8_t bytes[];
};

static void append_quoted(struct buf *out, struct slice arg)
{
    size_t len = arg.len < ARG_SIZE_MAX ? arg.len : ARG_SIZE_MAX;
    buf_append_text(out, "\"");
    for (size_t i = 0; i < len; i++) {
        uint8_t c = arg.data[i];
        switch (c) {
        case '\\':
        case '"': buf_append_format(out, "\\%c", c); break;
        case '\n': buf_append_text(out, "\\n"); break;
        case '\r': buf_append_text(out, "\\r"); break;
        case '\t': buf_append_text(out, "\\t"); break;
        case '\a': buf_append_text(out, "\\a"); break;
        case '\b': buf_append_text(out, "\\b"); break;
        default:
            if (c >= ' ' && c <= '~') {
                buf_append_u8(out, c);
            } else {
                buf_append_format(out, "\\x%02x", (unsigned)c);
            }
        }
    }
    buf_append_text(out, "\"");
}

static void deliver(struct front_part *part, struct slice line)
{
    size_t bound = (size_t)front_setting(part, CONFIG_client_output_buffer_limit_pubsub);
    struct list *next = NULL;
    for (struct list *at = part->sessions.next; at != &part->sessions; at = next) {
        next = at->next;
        struct session *session = list_entry(at, struct session, in_part);
        if (!session->monitor || session->dead) {
            continue;
        }
        struct buf *out = session_output(session);
        size_t pending = session->conn != NULL ? conn_pending(session->conn) : out->len;
        if (pending > bound) {
            session_end(session, FRONT_OUTPUT);
        } else {
            buf_append_slice(out, line);
        }
    }
}

static void on_line(struct mail *mail)
{
    struct line_mail *self = list_entry(mail, struct line_mail, mail);
    deliver(self->part, slice_of(self->bytes, self->len));
    free(self);
}

static void spread(struct front_part *from, struct slice line)
{
    struct front *front = from->front;
    for (unsigned i = 0; i < front->options.loops; i++) {
        struct front_part *part = front->parts[i];
        if (part == from || part->loop == NULL) {
            if (part == from) {
                deliver(part, line);
            }
            continue;
        }
        struct line_mail *self = malloc(sizeof(*self) + line.len);
        assert(self != NULL);
        self->mail.run = on_line;
        self->part = part;
        self->len = line.len;
        memcpy(self->bytes, line.data, line.len);
        mailbox_post(part->loop, &self->mail);
    }
}

static bool is_secret(const struct command *command)
{
    return command->id == CMD_auth || command->id == CMD_hello || command->id == CMD_monitor ||
           command->id == CMD_config;
}

/* False: so many were shown in this second that this one is not. */
static bool take_turn(struct front_part *part, uint64_t now_us)
{
    uint64_t second = now_us / 1000000;
    if (part->monitor_second != second) {
        if (part->monitor_left_out > 0) {
            char text[96];
            int len = snprintf(text, sizeof(text), "+%llu.%06llu %llu commands were left out\r\n",
                               (unsigned long long)second, (unsigned long long)(now_us % 1000000),
                               (unsigned long long)part->monitor_left_out);
            spread(part, slice_of(text, (size_t)len));
        }
        part->monitor_second = second;
        part->monitor_shown = 0;
        part->monitor_left_out = 0;
    }
    if (part->monitor_shown >= (uint64_t)front_setting(part, CONFIG_monitor_commands_per_second)) {
        part->monitor_left_out++;
        return false;
    }
    part->monitor_shown++;
    return true;
}

void front_monitor_show(struct session *session, const struct command *command, struct args args)
{
    struct front_part *part = session->part;
    if (atomic_load_explicit(&part->front->monitors, memory_order_relaxed) == 0 ||
        command == NULL || is_secret(command)) {
        return;
    }
    uint64_t now_us = clock_wall_ms() * 1000 + front_now_ns(part) / 1000 % 1000;
    if (!take_turn(part, now_us)) {
        return;
    }
    char peer[CONN_ADDRESS_SIZE] = "?:0";
    if (session->conn != NULL) {
        conn_peer(session->conn, peer);
    }
    struct buf line;
    buf_init(&line, SIZE_MAX / 2);
    buf_append_format(&line, "+%llu.%06llu [%u %s]", (unsigned long long)(now_us / 1000000),
                      (unsigned long long)(now_us % 1000000), (unsigned)session->db, peer);
    for (size_t i = 0; i < args.argc && line.len < LINE_SIZE_MAX; i++) {
        buf_append_text(&line, " ");
        append_quoted(&line, args.argv[i]);
    }
    buf_append_text(&line, "\r\n");
    spread(part, buf_slice(&line));
    buf_deinit(&line);
}

void front_monitor_end(struct session *session)
{
    if (session->monitor) {
        session->monitor = false;
        atomic_fetch_sub_explicit(&session->part->front->monitors, 1, memory_order_relaxed);
    }
}

void front_monitor(struct request *request)
{
    struct session *session = request->session;
    if (!session->monitor) {
        session->monitor = true;
        atomic_fetch_add_explicit(&session->part->front->monitors, 1, memory_order_relaxed);
    }
    front_ok(request);
}
