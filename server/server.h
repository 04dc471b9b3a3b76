#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "common/config/config.h"

/* The process sherd-node: makes every object, owns the order of start and stop. */

/* Runs until SIGTERM or SIGINT. Returns the exit code: 0; 1 for what the machine refuses, 2 for
 * what the user asked wrongly, each with one line on standard error. */
int server_run(struct config *config);

#endif
