#include "common/config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/page.h"
#include "tests/support/test.h"

/* test_config --write writes docs/config.md anew. */
static const struct page docs_page = {.name = "config.md", .document = config_document};
PAGE_WRITER(&docs_page)

TEST(config_document, is_what_docs_config_md_says)
{
    page_check(&docs_page);
}

struct load {
    enum status status;
    char error[CONFIG_ERROR_SIZE];
};

static struct load load(struct config *config,
                        int argc,
                        const char *const *argv,
                        const char *const *environment)
{
    struct load load = {.error = ""};
    config_init(config, CONFIG_NODE);
    load.status = config_load(config, argc, (char **)(uintptr_t)argv,
                              (char **)(uintptr_t)environment, load.error);
    return load;
}

#define LOAD(config, ...)                                                              \
    load((config), (int)(sizeof((const char *[]){"p", __VA_ARGS__}) / sizeof(char *)), \
         (const char *const[]){"p", __VA_ARGS__}, NULL)

static void expect_error(struct load got, const char *want)
{
    CHECK(got.status != STATUS_OK);
    CHECK_BYTES(slice_str(got.error), want);
}

TEST(config_row, is_called_like_its_id)
{
    static const char *const ids[CONFIG_COUNT] = {
#define CONFIG(id, ...) #id,
#include "common/config/config.def"
#undef CONFIG
    };
    for (size_t i = 0; i < CONFIG_COUNT; i++) {
        const char *name = config_row((enum config_id)i)->name;
        CHECK_EQ(strlen(name), strlen(ids[i]));
        for (size_t at = 0; name[at] != '\0'; at++) {
            CHECK(name[at] == (ids[i][at] == '_' ? '-' : ids[i][at]));
        }
    }
}

TEST(config_load, has_defaults_within_their_bounds)
{
    struct config config;
    config_init(&config, CONFIG_NODE);
    CHECK_EQ(config_number(&config, CONFIG_maxclients), 10000);
    CHECK_EQ(config_number(&config, CONFIG_max_key_size), 65536);
    CHECK_EQ(config_number(&config, CONFIG_proto_max_bulk_len), 512 * 1024 * 1024);
    CHECK_BYTES(slice_str(config_text(&config, CONFIG_read_mode)), "lease");
    CHECK_EQ(config_number(&config, CONFIG_read_mode), 0);
    CHECK_EQ(config_source(&config, CONFIG_maxclients), CONFIG_DEFAULT);
    config_deinit(&config);
}

TEST(config_load, reads_flags)
{
    struct config config;
    struct load got =
        LOAD(&config, "--data", "/d", "--listen=[::1]:7000", "--bootstrap", "--shards", "64",
             "--cache-size", "1gb", "--bootstrap", "no", "--heartbeat-ms", "1s");
    CHECK_EQ(got.status, STATUS_OK);
    CHECK_BYTES(slice_str(config_text(&config, CONFIG_data)), "/d");
    CHECK_BYTES(slice_str(config_text(&config, CONFIG_listen)), "[::1]:7000");
    CHECK_EQ(config_number(&config, CONFIG_shards), 64);
    CHECK_EQ(config_number(&config, CONFIG_bootstrap), 0);
    CHECK_EQ(config_number(&config, CONFIG_heartbeat_ms), 1000);
    CHECK_EQ(config_number(&config, CONFIG_cache_size), 1 << 30);
    CHECK_EQ(config_source(&config, CONFIG_data), CONFIG_FROM_FLAG);
    config_deinit(&config);
    got = LOAD(&config, "--bootstrap", "--data", "/d");
    CHECK_EQ(got.status, STATUS_OK);
    CHECK_EQ(config_number(&config, CONFIG_bootstrap), 1);
    config_deinit(&config);
}

TEST(config_load, says_what_is_wrong_with_a_flag)
{
    struct config config;
    expect_error(LOAD(&config, "--shard", "3"),
                 "--shard: unknown setting 'shard': did you mean 'shards'?");
    config_deinit(&config);
    expect_error(LOAD(&config, "--xyzzyplugh", "3"),
                 "--xyzzyplugh: unknown setting 'xyzzyplugh': --help lists all");
    config_deinit(&config);
    expect_error(LOAD(&config, "--nodes", "a:1"),
                 "--nodes: 'nodes' is a setting of sherd-router, not of sherd-node");
    config_deinit(&config);
    expect_error(LOAD(&config, "--data"), "--data needs a value: --data TEXT");
    config_deinit(&config);
    expect_error(LOAD(&config, "--data", "--shards", "3"), "--data needs a value: --data TEXT");
    config_deinit(&config);
    expect_error(LOAD(&config, "start"), "'start' is not a setting: they are written --name value");
    config_deinit(&config);
    expect_error(LOAD(&config, "-x"), "'-x' is not a setting: they are written --name value");
    config_deinit(&config);
    expect_error(LOAD(&config, "--shards", "0"),
                 "command line: --shards: argument must be between 1 and 65536 inclusive");
    config_deinit(&config);
    expect_error(LOAD(&config, "--listen", "nowhere"),
                 "command line: --listen: argument must be HOST:PORT, as in 127.0.0.1:6379 or "
                 "[::1]:6379");
    config_deinit(&config);
    expect_error(LOAD(&config, "--join", "a:1,b"),
                 "command line: --join: argument must be HOST:PORT, as in 127.0.0.1:6379 or "
                 "[::1]:6379");
    config_deinit(&config);
    expect_error(LOAD(&config, "--read-mode", "fast"),
                 "command line: --read-mode: argument must be one of: lease|readindex");
    config_deinit(&config);
}

TEST(config_load, knows_help_and_version)
{
    struct config config;
    CHECK_EQ(LOAD(&config, "--help").status, STATUS_OK);
    CHECK(config.wants_help && !config.wants_version);
    struct buf help;
    buf_init(&help, 1024 * 1024);
    config_help(&config, "usage: sherd-node --data DIR\n", &help);
    buf_append_u8(&help, 0);
    const char *text = (const char *)help.data;
    CHECK(strncmp(text, "usage: sherd-node", 17) == 0);
    CHECK(strstr(text, "\n  --shards N  (default 32)\n") != NULL);
    CHECK(strstr(text, "--nodes") == NULL);
    CHECK(strstr(text, "appendonly") == NULL);
    for (const char *line = text; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        CHECK(len <= 80);
        line += len + (line[len] == '\n');
    }
    buf_deinit(&help);
    config_deinit(&config);
    CHECK_EQ(LOAD(&config, "--version").status, STATUS_OK);
    CHECK(config.wants_version);
    config_deinit(&config);
}

/* Files. */

struct file {
    char path[64];
};

static struct file write_file(const char *text)
{
    struct file file = {.path = "/tmp/sherd_config_XXXXXX"};
    int fd = mkstemp(file.path);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    CHECK_EQ(close(fd), 0);
    return file;
}

TEST(config_load, flags_win_over_environment_over_file)
{
    struct file file =
        write_file("# a comment\n\n  shards   8\nreplicas 5 \r\nzone \"a b\"\nloops 3");
    const char *environment[] = {
        "HOME=/", "SHERD_REPLICAS=7", "SHERD_LOOPS=4", "SHERD_UNKNOWN_THING=1", "SHERD_", "SHERD_X",
        NULL};
    const char *argv[] = {"p", "--config", file.path, "--loops", "5"};
    struct config config;
    struct load got = load(&config, 5, argv, environment);
    CHECK_BYTES(slice_str(got.error), "");
    CHECK_EQ(got.status, STATUS_OK);
    CHECK_EQ(config_number(&config, CONFIG_shards), 8);
    CHECK_EQ(config_number(&config, CONFIG_replicas), 7);
    CHECK_EQ(config_number(&config, CONFIG_loops), 5);
    CHECK_BYTES(slice_str(config_text(&config, CONFIG_zone)), "a b");
    CHECK_EQ(config_source(&config, CONFIG_shards), CONFIG_FROM_FILE);
    CHECK_EQ(config_source(&config, CONFIG_replicas), CONFIG_FROM_ENVIRONMENT);
    CHECK_EQ(config_source(&config, CONFIG_loops), CONFIG_FROM_FLAG);
    CHECK_EQ(unlink(file.path), 0);
    config_deinit(&config);
}

TEST(config_load, names_file_and_line_of_an_error)
{
    static const struct {
        const char *text;
        const char *want;
    } cases[] = {
        {"shards 8\nmaxclient 3\n",
         " line 2: unknown setting 'maxclient': did you mean 'maxclients'?"},
        {"\n\nshards x\n", " line 3: shards: argument couldn't be parsed into an integer"},
        {"shards\n", " line 1: shards: argument couldn't be parsed into an integer"},
        {"config x\n", " line 1: config: 'config' cannot stand in a file itself"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct file file = write_file(cases[i].text);
        const char *argv[] = {"p", "--config", file.path};
        char want[256];
        (void)snprintf(want, sizeof(want), "%s%s", file.path, cases[i].want);
        struct config config;
        struct load got = load(&config, 3, argv, NULL);
        expect_error(got, want);
        CHECK_EQ(unlink(file.path), 0);
        config_deinit(&config);
    }
}

TEST(config_load, names_the_variable_of_an_error)
{
    const char *environment[] = {"SHERD_SHARDS=many", NULL};
    const char *argv[] = {"p"};
    struct config config;
    expect_error(load(&config, 1, argv, environment),
                 "environment SHERD_SHARDS: shards: argument couldn't be parsed into an integer");
    config_deinit(&config);
}

TEST(config_load, says_when_the_file_is_not_there)
{
    struct config config;
    struct load got = LOAD(&config, "--config", "/nonexistent/x");
    CHECK_EQ(got.status, STATUS_NOT_FOUND);
    CHECK_BYTES(slice_str(got.error),
                "cannot open the file of --config, /nonexistent/x: No such file or directory");
    config_deinit(&config);
}

TEST(config_set, changes_only_what_may_change)
{
    struct config config;
    char error[CONFIG_ERROR_SIZE] = "";
    config_init(&config, CONFIG_ROUTER);
    struct slice ten = slice_str("10");
    CHECK_EQ(config_set(&config, slice_str("loops"), ten, CONFIG_FROM_SET, error), STATUS_CONFLICT);
    CHECK_EQ(config_set(&config, slice_str("MaxClients"), ten, CONFIG_FROM_SET, error), STATUS_OK);
    CHECK_EQ(config_number(&config, CONFIG_maxclients), 10);
    CHECK_EQ(config_source(&config, CONFIG_maxclients), CONFIG_FROM_SET);
    CHECK_EQ(config_set(&config, slice_str("shards"), ten, CONFIG_FROM_SET, error),
             STATUS_NOT_FOUND);
    CHECK_EQ(config_set(&config, slice_str("appendfsync"), slice_str("no"), CONFIG_FROM_SET, error),
             STATUS_CONFLICT);
    CHECK_EQ(
        config_set(&config, slice_str("requirepass"), slice_str("a\nb"), CONFIG_FROM_SET, error),
        STATUS_BAD_ARGUMENT);
    config_deinit(&config);
}

TEST(config_text, stays_valid_after_a_change)
{
    struct config config;
    char error[CONFIG_ERROR_SIZE] = "";
    config_init(&config, CONFIG_ROUTER);
    struct slice name = slice_str("requirepass");
    CHECK_EQ(config_set(&config, name, slice_str("old"), CONFIG_FROM_SET, error), STATUS_OK);
    const char *old = config_text(&config, CONFIG_requirepass);
    for (int i = 0; i < 100; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "new%d", i);
        CHECK_EQ(config_set(&config, name, slice_str(text), CONFIG_FROM_SET, error), STATUS_OK);
    }
    CHECK_BYTES(slice_str(old), "old");
    CHECK_BYTES(slice_str(config_text(&config, CONFIG_requirepass)), "new99");
    config_deinit(&config);
}

TEST(config_check, takes_sizes_and_refuses_what_is_none)
{
    static const struct {
        const char *text;
        int64_t size;
    } good[] = {{"1048576", 1048576}, {"2m", 2000000},     {"2mb", 2097152},
                {"1G", 1000000000},   {"1gB", 1073741824}, {"1048577b", 1048577}};
    static const char *const bad[] = {"",      "x",
                                      "1x",    "1 mb",
                                      "-1",    "99999999999999999999",
                                      "mb",    "0x10000",
                                      "1e9",   "9999999999999gb",
                                      "1.5gb", "1048575"};
    struct config config;
    char error[CONFIG_ERROR_SIZE] = "";
    config_init(&config, CONFIG_NODE);
    struct slice name = slice_str("cache-size");
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        CHECK_EQ(config_set(&config, name, slice_str(good[i].text), CONFIG_FROM_FLAG, error),
                 STATUS_OK);
        CHECK_EQ(config_number(&config, CONFIG_cache_size), good[i].size);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK_EQ(config_check(&config, name, slice_str(bad[i]), CONFIG_FROM_FLAG, error),
                 STATUS_BAD_ARGUMENT);
    }
    config_deinit(&config);
}
