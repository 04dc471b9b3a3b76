#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/front_rig.h"
#include "tests/support/test.h"

static struct front_rig *start(void)
{
    struct front_rig *rig = malloc(sizeof(*rig));
    CHECK(rig != NULL);
    front_rig_start(rig);
    return rig;
}

static void stop(struct front_rig *rig)
{
    front_rig_stop(rig);
    free(rig);
}

static void say(struct front_rig *rig, const char *text, const char *want)
{
    CHECK_BYTES(front_rig_ask(rig, text), want);
}

TEST(front_slowlog, keeps_the_newest)
{
    struct front_rig *rig = start();
    say(rig, "slowlog len\r\n", ":0\r\n");
    say(rig, "slowlog get\r\n", "*0\r\n");
    say(rig, "config set slowlog-log-slower-than 0\r\n", "+OK\r\n");
    say(rig, "config set slowlog-max-len 3\r\n", "+OK\r\n");
    (void)front_rig_ask(rig, "client setname kim\r\nget a\r\nget b\r\nget c\r\n");
    say(rig, "slowlog len\r\n", ":3\r\n");
    struct slice got = front_rig_ask(rig, "slowlog get 2\r\n");
    CHECK(front_rig_has(got, "*2\r\n*6\r\n:"));
    CHECK(front_rig_has(got, "*2\r\n$7\r\nslowlog\r\n$3\r\nlen\r\n"));
    CHECK(front_rig_has(got, "*2\r\n$3\r\nget\r\n$1\r\nc\r\n"));
    CHECK(front_rig_has(got, "$3\r\nkim\r\n"));
    CHECK(!front_rig_has(got, "$1\r\na\r\n"));
    say(rig, "slowlog reset\r\n", "+OK\r\n");
    say(rig, "config set slowlog-log-slower-than -1\r\n", "+OK\r\n");
    say(rig, "slowlog reset\r\n", "+OK\r\n");
    say(rig, "slowlog len\r\n", ":0\r\n");
    say(rig, "slowlog get -2\r\n", "-ERR count should be greater than or equal to -1\r\n");
    stop(rig);
}

TEST(front_slowlog, cuts_long_arguments)
{
    struct front_rig *rig = start();
    (void)front_rig_ask(rig, "config set slowlog-log-slower-than 0\r\n");
    char line[4096] = "del";
    size_t len = 3;
    for (int i = 0; i < 40; i++) {
        len += (size_t)snprintf(line + len, sizeof(line) - len, " k%d", i);
    }
    (void)snprintf(line + len, sizeof(line) - len, "\r\n");
    (void)front_rig_ask(rig, line);
    struct slice got = front_rig_ask(rig, "slowlog get 1\r\n");
    CHECK(front_rig_has(got, "*32\r\n$3\r\ndel\r\n"));
    CHECK(front_rig_has(got, "$23\r\n... (10 more arguments)\r\n"));
    memset(line, 'x', sizeof(line));
    memcpy(line, "get ", 4);
    (void)snprintf(line + 204, 8, "\r\n");
    (void)front_rig_ask(rig, line);
    got = front_rig_ask(rig, "slowlog get 1\r\n");
    CHECK(front_rig_has(got, "... (72 more bytes)"));
    stop(rig);
}

TEST(front_latency, is_quiet_until_it_is_turned_on)
{
    struct front_rig *rig = start();
    say(rig, "latency latest\r\n", "*0\r\n");
    say(rig, "latency history command\r\n", "*0\r\n");
    say(rig, "latency reset\r\n", ":0\r\n");
    CHECK(front_rig_has(front_rig_ask(rig, "latency doctor\r\n"), "is off"));
    CHECK(front_rig_has(front_rig_ask(rig, "latency nonsense\r\n"), "unknown subcommand"));
    stop(rig);
}

TEST(front_latency, counts_commands_by_their_time)
{
    struct front_rig *rig = start();
    (void)front_rig_ask(rig, "get a\r\nget b\r\necho x\r\n");
    struct slice got = front_rig_ask(rig, "latency histogram get\r\n");
    CHECK(front_rig_has(got, "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:2\r\n"));
    CHECK(!front_rig_has(got, "echo"));
    CHECK(front_rig_has(front_rig_ask(rig, "latency histogram\r\n"), "$4\r\necho\r\n"));
    say(rig, "latency histogram set\r\n", "*0\r\n");
    stop(rig);
}

TEST(front_monitor, shows_commands_and_no_passwords)
{
    struct front_rig *rig = start();
    say(rig, "monitor\r\n", "+OK\r\n");
    struct slice got = front_rig_ask(rig, "set \"a b\" \"\\x00\\n\\\"\"\r\n");
    CHECK(front_rig_has(got, " [0 ?:0] \"set\" \"a b\" \"\\x00\\n\\\"\"\r\n+OK\r\n"));
    got = front_rig_ask(rig, "auth secret\r\n");
    CHECK(!front_rig_has(got, "secret"));
    (void)front_rig_ask(rig, "reset\r\n");
    say(rig, "set a 1\r\n", "+OK\r\n");
    stop(rig);
}

TEST(front_monitor, says_how_much_is_left_out)
{
    struct front_rig *rig = start();
    (void)front_rig_ask(rig, "config set monitor-commands-per-second 1\r\n");
    (void)front_rig_ask(rig, "monitor\r\n");
    size_t lines = 0;
    bool told = false;
    for (int i = 0; i < 3000000 && !told; i++) {
        struct slice got = front_rig_ask(rig, "get a\r\n");
        lines += front_rig_has(got, "\"get\"");
        told = front_rig_has(got, "commands were left out");
    }
    CHECK(told);
    CHECK(lines <= 4);
    stop(rig);
}

TEST(front_refused, says_what_to_do)
{
    struct front_rig *rig = start();
    say(rig, "role\r\n", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    say(rig, "save\r\n", "+OK\r\n");
    say(rig, "function list\r\n", "*0\r\n");
    say(rig, "module list\r\n", "*0\r\n");
    say(rig, "acl whoami\r\n", "$7\r\ndefault\r\n");
    static const char *const refused[] = {
        "migrate h 1 k 0 5\r\n", "replicaof no one\r\n", "sync\r\n",      "bgrewriteaof\r\n",
        "failover\r\n",          "debug sleep 1\r\n",    "fcall f 0\r\n", "module load x\r\n",
        "shutdown\r\n",          "acl setuser a\r\n",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct slice got = front_rig_ask(rig, refused[i]);
        CHECK(got.len > 20 && memcmp(got.data, "-ERR ", 5) == 0);
        CHECK(!front_rig_has(got, "unknown"));
    }
    stop(rig);
}
