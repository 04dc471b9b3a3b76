#ifndef CLIENT_BENCH_BENCH_OPTIONS_H
#define CLIENT_BENCH_BENCH_OPTIONS_H

#include "client/bench/load.h"

/* The command line of sherd-bench. Thread: one. */

struct bench_options {
    struct wire_options wire;
    struct load_options load;
    bool fill; /* Write every key once before. */
    bool json;
    bool help;
    char endpoints[LOAD_ENDPOINTS_MAX][LOAD_TEXT_SIZE]; /* What load.endpoints point to. */
};

/* BAD_ARGUMENT: one line for the user is in error (LOAD_TEXT_SIZE bytes). The options borrow from
 * argv and point into themselves: they are not to be moved. */
MUST_USE enum status bench_options_parse(const char *const *argv,
                                         size_t argc,
                                         struct bench_options *options,
                                         char *error);
void bench_options_write_help(struct buf *out);

#endif
