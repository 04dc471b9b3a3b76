#ifndef CLIENT_ADMIN_CHILD_H
#define CLIENT_ADMIN_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/status.h"

/* A process that we started and that does not outlive us: the kernel kills it when we die, however
 * we die. It has its own process group, so a Ctrl-C on the terminal reaches only us. Thread: the
 * one that started it, which lives as long as the program (the kernel watches that thread). */

enum {
    CHILD_NAME_SIZE = 32,
    CHILD_PATH_SIZE = 4096,
    CHILD_LINE_SIZE = 512,
};

struct child {
    char name[CHILD_NAME_SIZE];     /* For people: "node-1". */
    char log_path[CHILD_PATH_SIZE]; /* Its standard output and error are appended there. */
    pid_t pid;                      /* 0: not started, or reaped. */
    int wait_status;                /* After it was reaped. */
};

/* argv[0] is the program's path; argv ends with NULL. IO: nothing runs, errno says why. */
MUST_USE enum status child_start(struct child *child, const char *const *argv);

/* True if the child has ended; it is reaped then. Does not wait. */
bool child_ended(struct child *child);
void child_signal(const struct child *child, int signal_number);

/* "was killed by signal 9", "ended with exit code 1". The child has been reaped. */
void child_describe_end(const struct child *child, char *text, size_t size);
/* The last line of its log that is not empty, "" if there is none. */
void child_last_line(const struct child *child, char *text, size_t size);

#endif
