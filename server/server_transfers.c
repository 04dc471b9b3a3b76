#include <stdlib.h>

#include "common/base/assert.h"
#include "common/proto/resp.h"
#include "server/server_private.h"

/* SHERD TRANSFERS: a walk over the loops, each of which adds what it sends. */

enum { REPLY_SIZE_MAX = 1 << 28 };

struct tour {
    struct worker_mail mail;
    struct server *server;
    struct request *request;
    unsigned next; /* Loop; after the last one the tour goes home. */
    size_t count;
    struct buf rows;
};

static void run_home(struct worker *to, struct worker_mail *mail)
{
    (void)to;
    struct tour *tour = list_entry(mail, struct tour, mail);
    struct buf reply;
    buf_init(&reply, REPLY_SIZE_MAX);
    resp_write_array(&reply, tour->count);
    buf_append_slice(&reply, buf_slice(&tour->rows));
    request_finish(tour->request, buf_slice(&reply));
    buf_deinit(&reply);
    buf_deinit(&tour->rows);
    free(tour);
}

static void run_stop(struct worker *to, struct worker_mail *mail)
{
    struct tour *tour = list_entry(mail, struct tour, mail);
    tour->count += worker_transfers(to, &tour->rows);
    tour->next++;
    bool home = tour->next == tour->server->loops;
    tour->mail.run = home ? run_home : run_stop;
    server_post(tour->server, home ? tour->request->loop : tour->next, &tour->mail);
}

void server_transfers(struct server *server, struct request *request)
{
    struct tour *tour = calloc(1, sizeof(*tour));
    assert(tour != NULL);
    tour->mail.run = run_stop;
    tour->server = server;
    tour->request = request;
    buf_init(&tour->rows, REPLY_SIZE_MAX);
    server_post(server, 0, &tour->mail);
}
