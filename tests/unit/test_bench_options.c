#include <stdlib.h>

#include "client/bench/bench_options.h"
#include "tests/support/test.h"

enum { WORDS_MAX = 16 };

/* The words of a command line that has no quotes. */
static enum status parse(const char *line, struct bench_options *options, char *error)
{
    static char copy[512];
    const char *words[WORDS_MAX];
    size_t count = 0;
    CHECK(strlen(line) < sizeof copy);
    memcpy(copy, line, strlen(line) + 1);
    char *rest = copy;
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        CHECK(count < WORDS_MAX);
        words[count] = word;
        count += *word != '\0';
    }
    return bench_options_parse(words, count, options, error);
}

static struct bench_options *fresh(void)
{
    struct bench_options *options = calloc(1, sizeof *options);
    CHECK(options != NULL);
    return options;
}

TEST(bench_options_parse, has_defaults_like_redis_benchmark)
{
    struct bench_options *options = fresh();
    char error[LOAD_TEXT_SIZE];
    CHECK_EQ(parse("set", options, error), STATUS_OK);
    CHECK_EQ(options->load.connections, 50);
    CHECK_EQ(options->load.pipeline, 1);
    CHECK_EQ(options->load.requests, 100000);
    CHECK_EQ(options->load.endpoints[0].port, 6379);
    CHECK_EQ(options->wire.workload, WIRE_SET);
    free(options);
}

TEST(bench_options_parse, takes_short_and_long_names_in_any_order)
{
    struct bench_options *options = fresh();
    char error[LOAD_TEXT_SIZE];
    CHECK_EQ(parse("-p 7000 mix --dist zipf -P 16 -t 1.5 --reads 50 -d 0 --json", options, error),
             STATUS_OK);
    CHECK_EQ(options->load.endpoints[0].port, 7000);
    CHECK_EQ(options->wire.workload, WIRE_MIX);
    CHECK_EQ(options->wire.dist, KEY_PICK_ZIPF);
    CHECK_EQ(options->load.pipeline, 16);
    CHECK_EQ(options->load.duration_ms, 1500);
    CHECK_EQ(options->load.requests, 0);
    CHECK_EQ(options->wire.read_percent, 50);
    CHECK_EQ(options->wire.value_size, 0);
    CHECK(options->json);
    free(options);
}

TEST(bench_options_parse, takes_several_servers)
{
    struct bench_options *options = fresh();
    char error[LOAD_TEXT_SIZE];
    CHECK_EQ(parse("--connect a:1,b:2,[::1]:3 get", options, error), STATUS_OK);
    CHECK_EQ(options->load.endpoint_count, 3);
    CHECK_BYTES(slice_str(options->load.endpoints[0].host), "a");
    CHECK_BYTES(slice_str(options->load.endpoints[2].host), "::1");
    CHECK_EQ(options->load.endpoints[2].port, 3);
    free(options);
}

TEST(bench_options_parse, refuses_what_makes_no_sense)
{
    static const char *const lines[] = {
        "",
        "sett",
        "set get",
        "set -c 0",
        "set -c 20001",
        "set -c 1.5",
        "set -c x",
        "set -c",
        "set -P 1025",
        "set -p 65536",
        "set -p 0",
        "set --theta 1",
        "set --dist normal",
        "set --connect a",
        "set --connect a:1,",
        "set --unknown",
        "set -n -1",
        "set -t nan",
        "incr --protocol etcd",
        "set --protocol etcd -P 1024",
        "set --protocol etcd -d 100000",
    };
    struct bench_options *options = fresh();
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char error[LOAD_TEXT_SIZE] = "";
        CHECK_EQ(parse(lines[i], options, error), STATUS_BAD_ARGUMENT);
        CHECK(error[0] != '\0' && strchr(error, '\n') == NULL);
    }
    free(options);
}
