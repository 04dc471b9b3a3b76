#ifndef SERVER_SHARD_JOB_H
#define SERVER_SHARD_JOB_H

/* Work that would block a loop: run() on a pool thread, then done() back on the loop that asked.
 * Embedded in its owner. The composition root carries it out (common/net/pool.h); the simulator
 * runs it at once and delivers done() later in virtual time. */
struct job {
    void (*run)(struct job *job);
    void (*done)(struct job *job);
};

#endif
