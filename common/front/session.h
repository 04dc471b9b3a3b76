#ifndef COMMON_FRONT_SESSION_H
#define COMMON_FRONT_SESSION_H

#include "common/front/front.h"
#include "common/net/conn.h"

/* One client: bytes in, requests out, replies in order. RESP2 and RESP3, inline commands,
 * pipelining.
 *
 * Nothing is parsed while a client has enough in flight: client-pipeline-max requests, but few as
 * long as nothing is known of it or when its replies are large (about 4 MB of replies are waited
 * for), 4 MB of requests, one request over 1 MB; or while 1 MB of its output waits.
 *
 * Further bounds, all from the configuration: input that is not a whole request yet
 * (client-query-buffer-limit), pending output (client-output-buffer-limit: one reply of any size is
 * delivered, the next is refused while more than the limit is still pending), memory of all clients
 * together (maxmemory-clients), clients (maxclients), idle time (timeout). Who breaks one is told
 * so and disconnected.
 *
 * Thread: its part's loop. */
struct session;

/* Takes an open conn: sets its handler and frees the session when the conn has closed. Over
 * maxclients the conn gets an error and is closed. */
void session_open(struct front_part *part, struct conn *conn);

/* Without a conn, for tests and fuzzers. */
struct session *session_new(struct front_part *part);
/* Requests that are in flight are abandoned. Not for sessions of a conn. */
void session_free(struct session *session);

/* Parses and starts what input holds; returns how many bytes were used. The rest must come again at
 * the beginning of the next input: with more bytes, or when replies have left (pipeline full). */
size_t session_feed(struct session *session, struct slice input);
/* What is to be sent to the client. The test consumes it. */
struct buf *session_output(struct session *session);
/* The client is to be disconnected once its output has left. */
bool session_ended(const struct session *session);
size_t session_in_flight(const struct session *session);

#endif
