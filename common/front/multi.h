#ifndef COMMON_FRONT_MULTI_H
#define COMMON_FRONT_MULTI_H

#include "common/front/front_core.h"

/* Transactions of one client: what it has queued since MULTI and watches, and an EXEC or WATCH that
 * is under way. Commands for shards go out together, as one request (common/proto/transaction.h);
 * those that the front answers itself are run afterwards, if that was executed, and their replies
 * put where they belong. Semantics and errors: Redis 7.0 multi.c. Thread: the session's loop. */

struct multi;     /* Of a session. */
struct multi_run; /* Of a request: an EXEC or WATCH. */

void multi_free(struct multi *multi);
void multi_run_free(struct multi_run *run);

/* True: the request came between MULTI and EXEC, and is queued or refused; it is finished. */
bool multi_queue(struct session *session, struct request *request);
/* A command was refused: if that is between MULTI and EXEC, the latter is going to fail. */
void multi_taint(struct session *session);
/* Forgets what is queued and watched. True: it was between MULTI and EXEC. */
bool multi_reset(struct session *session);
/* Commands queued; -1 if it is not between MULTI and EXEC. */
int64_t multi_count(const struct session *session);
/* Bytes held. */
size_t multi_size(const struct session *session);

/* The first answer to an EXEC or WATCH has come. True: it is not the reply yet, which follows. */
bool multi_answer(struct request *request, struct slice reply);
/* The answer to one that was run within an EXEC, which is gone afterwards. */
void multi_answer_inner(struct request *inner, struct slice reply);
/* The client has gone. */
void multi_abandon(struct multi_run *run);

#endif
