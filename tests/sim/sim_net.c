#include <stdlib.h>

#include "common/base/assert.h"
#include "tests/sim/sim.h"

enum { CHUNK_SIZE_MAX = 1 << 30 };

/* Bytes on their way over one connection, one direction. */
struct chunk {
    struct sim_conn *conn;
    uint64_t session;
    int side; /* Of the sender. */
    size_t len;
    uint8_t bytes[];
};

static void try_dial(void *arg);

static struct sim_actor *end_actor(struct sim_conn *conn, int side)
{
    return side == 0 ? conn->from : conn->to;
}

static bool blocked(const struct sim *sim, const struct sim_actor *a, const struct sim_actor *b)
{
    return sim->cut[a->index][b->index] || sim->cut[b->index][a->index];
}

static void dial_later(struct sim_conn *conn)
{
    sim_after(conn->sim, conn->from, sim_random_ns(conn->sim, 20 * SIM_MS, 400 * SIM_MS), try_dial,
              conn);
}

static void notify_down(struct sim_conn *conn, int side)
{
    struct sim_actor *actor = end_actor(conn, side);
    uint64_t life = side == 0 ? conn->from_life : conn->to_life;
    if (actor->alive && actor->life == life && conn->ends[side].on_down != NULL) {
        struct sim_actor *before = conn->sim->entered; /* May be at work. */
        sim_enter(actor);
        conn->ends[side].on_down(conn->ends[side].arg, conn);
        if (before != NULL) {
            sim_enter(before);
        }
    }
}

static void go_down(struct sim_conn *conn)
{
    if (!conn->up) {
        return;
    }
    conn->up = false;
    conn->session++;
    for (int side = 0; side < 2; side++) {
        buf_clear(&conn->out[side]);
        buf_clear(&conn->in[side]);
    }
    notify_down(conn, 1);
    if (!conn->closed) {
        notify_down(conn, 0);
    }
}

void sim_break(struct sim_conn *conn)
{
    bool again = conn->up && !conn->closed;
    go_down(conn);
    if (again) {
        dial_later(conn);
    }
}

static void try_dial(void *arg)
{
    struct sim_conn *conn = arg;
    struct sim *sim = conn->sim;
    if (conn->closed || conn->up) {
        return;
    }
    if (!conn->to->alive || conn->to->paused || blocked(sim, conn->from, conn->to)) {
        dial_later(conn);
        return;
    }
    struct frame_hello from = {0};
    struct frame_hello to = {0};
    sim_actor_hello(conn->from, &from);
    sim_actor_hello(conn->to, &to);
    static const uint8_t none[16];
    if (memcmp(from.cluster, none, 16) != 0 && memcmp(to.cluster, none, 16) != 0 &&
        memcmp(from.cluster, to.cluster, 16) != 0) {
        sim_fail(sim, "two clusters");
    }
    conn->up = true;
    conn->session++;
    conn->from_life = conn->from->life;
    conn->to_life = conn->to->life;
    conn->arrive_ns[0] = conn->arrive_ns[1] = sim->now_ns;
    sim_enter(conn->to);
    sim_actor_accept(conn->to, conn, &from);
    sim_enter(conn->from);
    conn->ends[0].on_up(conn->ends[0].arg, conn, &to);
    sim_turn(conn->from);
    sim_enter(conn->to);
    sim_turn(conn->to);
}

struct sim_conn *sim_dial(struct sim_actor *from,
                          const char *address,
                          uint64_t id,
                          const struct sim_end *end)
{
    struct sim *sim = from->sim;
    struct sim_conn *conn = calloc(1, sizeof(*conn));
    assert(conn != NULL);
    conn->sim = sim;
    conn->number = ++sim->conn_next;
    conn->from = from;
    conn->to = sim_actor_at(sim, address);
    assert(conn->to != NULL);
    conn->id = id;
    conn->ends[0] = *end;
    conn->from_life = from->life;
    for (int side = 0; side < 2; side++) {
        buf_init(&conn->out[side], CHUNK_SIZE_MAX);
        buf_init(&conn->in[side], CHUNK_SIZE_MAX);
    }
    list_push_back(&sim->conns, &conn->link);
    sim_after(sim, from, sim_random_ns(sim, SIM_MS / 10, 3 * SIM_MS), try_dial, conn);
    return conn;
}

void sim_hang_up(struct sim_conn *conn)
{
    conn->closed = true;
    go_down(conn);
    list_remove(&conn->link); /* The memory stays: late events may still name it. */
}

void sim_drop_all(struct sim_actor *actor)
{
    struct list *next = NULL;
    struct sim *sim = actor->sim;
    for (struct list *at = sim->conns.next; at != &sim->conns; at = next) {
        next = at->next;
        struct sim_conn *conn = list_entry(at, struct sim_conn, link);
        if (conn->from == actor) {
            sim_hang_up(conn);
        } else if (conn->to == actor) {
            sim_break(conn);
        }
    }
}

struct buf *sim_out(struct sim_conn *conn, const struct sim_actor *side)
{
    return conn->up ? &conn->out[conn->from == side ? 0 : 1] : NULL;
}

static void take_frames(struct sim_conn *conn, int side)
{
    struct buf *in = &conn->in[side];
    uint64_t session = conn->session;
    while (conn->up && conn->session == session && in->len > 0) {
        struct frame frame;
        size_t used = 0;
        enum status status = frame_parse(buf_slice(in), FRAME_BODY_SIZE_MAX, &frame, &used);
        if (status == STATUS_AGAIN) {
            return;
        }
        if (status != STATUS_OK) {
            sim_fail(conn->sim, "a frame that cannot be parsed: %s", status_text(status));
        }
        bool lost = frame.type == FRAME_PEER && conn->sim->faulty &&
                    sim_chance(conn->sim, conn->sim->loss_permille);
        if (!lost) {
            conn->ends[side].on_frame(conn->ends[side].arg, conn, &frame);
        }
        if (conn->up && conn->session == session) {
            buf_consume(in, used);
        }
    }
}

static void arrive(void *arg)
{
    struct chunk *chunk = arg;
    struct sim_conn *conn = chunk->conn;
    struct sim *sim = conn->sim;
    int to = 1 - chunk->side;
    struct sim_actor *receiver = end_actor(conn, to);
    struct sim_actor *sender = end_actor(conn, chunk->side);
    if (!conn->up || conn->session != chunk->session) {
        free(chunk);
        return;
    }
    if (sim->cut[sender->index][receiver->index]) {
        /* TCP would try again for long; here the connection breaks, its bytes are lost. */
        free(chunk);
        sim_break(conn);
        return;
    }
    buf_append(&conn->in[to], chunk->bytes, chunk->len);
    free(chunk);
    sim_enter(receiver);
    take_frames(conn, to);
    sim_turn(receiver);
}

static void send_out(struct sim_conn *conn, int side)
{
    struct sim *sim = conn->sim;
    struct buf *out = &conn->out[side];
    struct chunk *chunk = malloc(sizeof(*chunk) + out->len);
    assert(chunk != NULL);
    *chunk = (struct chunk){.conn = conn, .session = conn->session, .side = side, .len = out->len};
    memcpy(chunk->bytes, out->data, out->len);
    buf_clear(out);
    uint64_t at = sim->now_ns + sim_random_ns(sim, SIM_MS / 20, sim->delay_max_ns);
    if (sim->faulty && sim_chance(sim, 3)) {
        at += sim_random_ns(sim, 0, 800 * SIM_MS);
    }
    at = at < conn->arrive_ns[side] ? conn->arrive_ns[side] : at;
    conn->arrive_ns[side] = at;
    sim_after(sim, end_actor(conn, 1 - side), at - sim->now_ns, arrive, chunk);
}

void sim_flush(struct sim_actor *actor)
{
    struct sim *sim = actor->sim;
    for (struct list *at = sim->conns.next; at != &sim->conns; at = at->next) {
        struct sim_conn *conn = list_entry(at, struct sim_conn, link);
        if (!conn->up) {
            continue;
        }
        if (conn->from == actor && conn->out[0].len > 0) {
            send_out(conn, 0);
        }
        if (conn->to == actor && conn->out[1].len > 0) {
            send_out(conn, 1);
        }
    }
}
