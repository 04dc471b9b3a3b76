#include "common/front/front.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/thread.h"
#include "common/net/listener.h"
#include "tests/support/front_rig.h"
#include "tests/support/test.h"

/* Texts are those of redis-server 7.0.15, captured from it. */

#define ASK(rig, text, want) CHECK_BYTES(front_rig_ask((rig), (text)), (want))
#define HAS(rig, text, part) CHECK(front_rig_has(front_rig_ask((rig), (text)), (part)))

struct exchange {
    const char *ask;
    const char *want;
};

static void exchange_all(const struct exchange *exchanges, size_t count)
{
    struct front_rig rig;
    front_rig_start(&rig);
    for (size_t i = 0; i < count; i++) {
        char line[256];
        (void)snprintf(line, sizeof(line), "%s\r\n", exchanges[i].ask);
        struct slice got = front_rig_ask(&rig, line);
        char want[512];
        (void)snprintf(want, sizeof(want), "%s\r\n", exchanges[i].want);
        CHECK_BYTES(got, want);
    }
    front_rig_stop(&rig);
}

#define EXCHANGE(list) exchange_all((list), sizeof(list) / sizeof((list)[0]))

TEST(front_new, answers_errors_as_redis_does)
{
    static const struct exchange list[] = {
        {"nosuch a b", "-ERR unknown command 'nosuch', with args beginning with: 'a' 'b' "},
        {"get", "-ERR wrong number of arguments for 'get' command"},
        {"get a b", "-ERR wrong number of arguments for 'get' command"},
        {"ping a b", "-ERR wrong number of arguments for 'ping' command"},
        {"echo", "-ERR wrong number of arguments for 'echo' command"},
        {"select 1x", "-ERR value is not an integer or out of range"},
        {"select 16", "-ERR DB index is out of range"},
        {"select -1", "-ERR DB index is out of range"},
        {"select 15", "+OK"},
        {"select 0", "+OK"},
        {"sherd read", "*1\r\n$7\r\ndefault"},
        {"readonly", "+OK"},
        {"sherd read", "*1\r\n$12\r\nlinearizable"},
        {"sherd read bounded 250", "+OK"},
        {"sherd read", "*2\r\n$7\r\nbounded\r\n:250"},
        {"sherd read bounded 0",
         "-ERR SHERD READ takes default, leader, linearizable, or bounded and milliseconds from "
         "1 to 86400000"},
        {"sherd read", "*2\r\n$7\r\nbounded\r\n:250"},
        {"readwrite", "+OK"},
        {"sherd read", "*1\r\n$6\r\nleader"},
        {"sherd read default", "+OK"},
        {"sherd read", "*1\r\n$7\r\ndefault"},
        {"cluster info", "-ERR This instance has cluster support disabled"},
        {"cluster slots", "-ERR This instance has cluster support disabled"},
        {"cluster foo", "-ERR unknown subcommand 'foo'. Try CLUSTER HELP."},
        {"time x", "-ERR wrong number of arguments for 'time' command"},
        {"wait x 0", "-ERR value is not an integer or out of range"},
        {"wait 0 x", "-ERR timeout is not an integer or out of range"},
        {"wait 0 -1", "-ERR timeout is negative"},
        {"wait 1 1", ":1"},
        {"sherd status", "-ERR sherd was asked"},
        {"reset x", "-ERR wrong number of arguments for 'reset' command"},
        {"reset", "+RESET"},
    };
    EXCHANGE(list);
}

TEST(front_new, cuts_the_arguments_of_an_unknown_command)
{
    struct front_rig rig;
    front_rig_start(&rig);
    char text[1024] = "nosuch ";
    for (size_t i = strlen(text); i < 300; i++) {
        text[i] = 'y';
    }
    memcpy(text + 300, " more\r\n", 8);
    struct slice got = front_rig_ask(&rig, text);
    char want[512] = "-ERR unknown command 'nosuch', with args beginning with: '";
    size_t len = strlen(want);
    memset(want + len, 'y', 128);
    memcpy(want + len + 128, "' \r\n", 5);
    CHECK_BYTES(got, want);
    /* Bytes that would end the error line do not. */
    ASK(&rig, "*1\r\n$5\r\na\r\nb\n\r\n",
        "-ERR unknown command 'a  b ', with args beginning with: \r\n");
    front_rig_stop(&rig);
}

TEST(front_hello, negotiates_and_refuses)
{
    static const struct exchange list[] = {
        {"hello 4", "-NOPROTO unsupported protocol version"},
        {"hello 1", "-NOPROTO unsupported protocol version"},
        {"hello x", "-ERR Protocol version is not an integer or out of range"},
        {"hello 3 foo", "-ERR Syntax error in HELLO option 'foo'"},
        {"hello 2 auth a", "-ERR Syntax error in HELLO option 'auth'"},
        {"hello 2 auth other x", "-WRONGPASS invalid username-password pair or user is disabled."},
        {"hello 2 setname 'a b'",
         "-ERR Client names cannot contain spaces, newlines or special characters."},
        {"client getname", "$-1"},
        {"hello 3 auth default any setname me",
         "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3"
         "\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
         "$7\r\nmodules\r\n*0"},
        {"client getname", "$2\r\nme"},
        {"reset", "+RESET"},
        {"client getname", "$-1"},
        {"hello 3 setname a",
         "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3"
         "\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
         "$7\r\nmodules\r\n*0"},
        {"client setname ''", "+OK"},
        {"client getname", "_"},
        {"hello 2",
         "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:2"
         "\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
         "$7\r\nmodules\r\n*0"},
    };
    EXCHANGE(list);
}

TEST(front_hello, changes_the_protocol_of_later_replies_only)
{
    struct front_rig rig;
    front_rig_start(&rig);
    rig.hold = true;
    (void)front_rig_ask(&rig, "RANDOMKEY\r\nHELLO 3\r\nRANDOMKEY\r\n");
    front_rig_finish(&rig, 1);
    front_rig_finish(&rig, 0);
    struct slice got = front_rig_take(&rig);
    CHECK(got.len > 12 && memcmp(got.data, "$-1\r\n%7\r\n", 9) == 0);
    CHECK(memcmp(got.data + got.len - 3, "_\r\n", 3) == 0);
    front_rig_stop(&rig);
}

TEST(front_auth, without_and_with_a_password)
{
    static const struct exchange list[] = {
        {"auth a",
         "-ERR AUTH <password> called without any password configured for the default user. Are "
         "you "
         "sure your configuration is correct?"},
        {"auth a b", "-WRONGPASS invalid username-password pair or user is disabled."},
        {"auth default b", "+OK"},
        {"auth a b c", "-ERR syntax error"},
        {"config set requirepass secret", "+OK"},
        {"ping", "+PONG"}, /* Who is in stays in. */
        {"reset", "+RESET"},
        {"ping", "-NOAUTH Authentication required."},
        {"nosuch", "-ERR unknown command 'nosuch', with args beginning with: "},
        {"hello 3",
         "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
         "<proto> AUTH <user> <pass> option can be used to authenticate the client and select the "
         "RESP protocol version at the same time"},
        {"auth secre", "-WRONGPASS invalid username-password pair or user is disabled."},
        {"auth secrets", "-WRONGPASS invalid username-password pair or user is disabled."},
        {"auth secretsecret", "-WRONGPASS invalid username-password pair or user is disabled."},
        {"auth ''", "-WRONGPASS invalid username-password pair or user is disabled."},
        {"auth other secret", "-WRONGPASS invalid username-password pair or user is disabled."},
        {"auth default secret", "+OK"},
        {"ping", "+PONG"},
    };
    EXCHANGE(list);
}

TEST(front_client, answers_as_redis_does)
{
    static const struct exchange list[] = {
        {"client", "-ERR wrong number of arguments for 'client' command"},
        {"client foo", "-ERR unknown subcommand 'foo'. Try CLIENT HELP."},
        {"client maint_notifications on",
         "-ERR unknown subcommand 'maint_notifications'. Try CLIENT HELP."},
        {"client setname", "-ERR wrong number of arguments for 'client|setname' command"},
        {"client setname a b", "-ERR wrong number of arguments for 'client|setname' command"},
        {"client setname 'a b'",
         "-ERR Client names cannot contain spaces, newlines or special characters."},
        {"client getname", "$-1"},
        {"client setname me", "+OK"},
        {"client getname", "$2\r\nme"},
        {"client setinfo lib-name redis-py", "+OK"},
        {"client setinfo LIB-VER 8.0", "+OK"},
        {"client setinfo lib-name 'a b'",
         "-ERR lib-name cannot contain spaces, newlines or special characters."},
        {"client setinfo foo x", "-ERR Unrecognized option 'foo'"},
        {"client id", ":1"},
        {"client id x", "-ERR wrong number of arguments for 'client|id' command"},
        {"client kill", "-ERR wrong number of arguments for 'client|kill' command"},
        {"client kill 1.2.3.4:5", "-ERR No such client"},
        {"client kill id x", "-ERR client-id should be greater than 0"},
        {"client kill id 0", "-ERR client-id should be greater than 0"},
        {"client kill id 999", ":0"},
        {"client kill id", "-ERR No such client"},
        {"client kill foo bar", "-ERR syntax error"},
        {"client kill type foo", "-ERR Unknown client type 'foo'"},
        {"client kill type pubsub", ":0"},
        {"client kill user foo", "-ERR No such user 'foo'"},
        {"client kill skipme maybe", "-ERR syntax error"},
        {"client kill id 1", ":0"}, /* SKIPME yes is the default. */
        {"client list type foo", "-ERR Unknown client type 'foo'"},
        {"client list type master", "$0\r\n"},
        {"client list id", "-ERR syntax error"},
        {"client list id x", "-ERR Invalid client ID"},
        {"client list foo", "-ERR syntax error"},
        {"client reply foo", "-ERR syntax error"},
        {"client no-evict x", "-ERR syntax error"},
        {"client no-evict on", "+OK"},
        {"client no-touch on", "+OK"},
        {"client getredir", ":-1"},
        {"client unpause", "+OK"},
        {"client trackinginfo",
         "*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n"
         "$8\r\nprefixes\r\n*0"},
        {"client help x", "-ERR wrong number of arguments for 'client|help' command"},
    };
    EXCHANGE(list);
}

TEST(front_client, lists_what_it_knows_of_clients)
{
    struct front_rig rig;
    front_rig_start(&rig);
    struct session *other = session_new(front_part(rig.front, 0));
    ASK(&rig, "CLIENT SETNAME me\r\nCLIENT SETINFO lib-name lib\r\n", "+OK\r\n+OK\r\n");
    struct slice got = front_rig_ask(&rig, "CLIENT LIST\r\n");
    CHECK(front_rig_has(got, "id=1 addr=?:0"));
    CHECK(front_rig_has(got, "\nid=2 "));
    CHECK(front_rig_has(got, " name=me "));
    CHECK(front_rig_has(got, " cmd=client "));
    CHECK(front_rig_has(got, " lib-name=lib lib-ver=\n"));
    got = front_rig_ask(&rig, "CLIENT LIST ID 2 77\r\n");
    CHECK(front_rig_has(got, "id=2 ") && !front_rig_has(got, "id=1 "));
    got = front_rig_ask(&rig, "CLIENT INFO\r\n");
    CHECK(front_rig_has(got, "id=1 ") && !front_rig_has(got, "id=2 "));
    session_free(other);
    front_rig_stop(&rig);
}

TEST(front_client, unblocks_who_waits)
{
    struct front_rig rig;
    front_rig_start(&rig);
    rig.hold = true;
    struct session *other = session_new(front_part(rig.front, 0));
    static const char pop[] = "BLPOP l 0\r\n";
    CHECK_EQ(session_feed(other, slice_str(pop)), sizeof(pop) - 1);
    CHECK(front_rig_has(front_rig_ask(&rig, "CLIENT LIST ID 2\r\n"), " flags=b "));
    CHECK(front_rig_has(front_rig_ask(&rig, "INFO clients\r\n"), "blocked_clients:1\r\n"));
    ASK(&rig, "CLIENT UNBLOCK 1\r\nCLIENT UNBLOCK 77 ERROR\r\n", ":0\r\n:0\r\n");
    CHECK_EQ(rig.cancel_count, 0);
    ASK(&rig, "CLIENT UNBLOCK 2\r\n", ":1\r\n");
    CHECK_EQ(rig.cancel_count, 1);
    CHECK(rig.cancelled == rig.held[0]);
    front_rig_reply(&rig, 0, "*-1\r\n");
    CHECK_BYTES(buf_slice(session_output(other)), "*-1\r\n");
    CHECK(front_rig_has(front_rig_ask(&rig, "INFO clients\r\n"), "blocked_clients:0\r\n"));
    buf_clear(session_output(other));
    CHECK_EQ(session_feed(other, slice_str(pop)), sizeof(pop) - 1);
    ASK(&rig, "CLIENT UNBLOCK 2 error\r\n", ":1\r\n");
    front_rig_reply(&rig, 1, "*-1\r\n");
    CHECK_BYTES(buf_slice(session_output(other)),
                "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    /* Who got something gets it. */
    buf_clear(session_output(other));
    CHECK_EQ(session_feed(other, slice_str(pop)), sizeof(pop) - 1);
    ASK(&rig, "CLIENT UNBLOCK 2 ERROR\r\n", ":1\r\n");
    front_rig_reply(&rig, 2, "*2\r\n$1\r\nl\r\n$1\r\nx\r\n");
    CHECK_BYTES(buf_slice(session_output(other)), "*2\r\n$1\r\nl\r\n$1\r\nx\r\n");
    ASK(&rig, "CLIENT UNBLOCK 2\r\n", ":0\r\n");
    ASK(&rig, "CLIENT UNBLOCK x\r\n", "-ERR value is not an integer or out of range\r\n");
    ASK(&rig, "CLIENT UNBLOCK 2 FOO\r\n",
        "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n");
    ASK(&rig, "CLIENT UNBLOCK\r\n",
        "-ERR wrong number of arguments for 'client|unblock' command\r\n");
    session_free(other);
    front_rig_stop(&rig);
}

TEST(front_client, kills_others_and_itself)
{
    struct front_rig rig;
    front_rig_start(&rig);
    struct session *other = session_new(front_part(rig.front, 0));
    ASK(&rig, "CLIENT KILL ID 2\r\n", ":1\r\n");
    CHECK(session_ended(other));
    CHECK(!session_ended(rig.session));
    ASK(&rig, "CLIENT KILL ID 2\r\n", ":0\r\n");
    session_free(other);
    ASK(&rig, "CLIENT KILL ID 1 SKIPME no\r\nPING\r\n", ":1\r\n");
    CHECK(session_ended(rig.session));
    front_rig_stop(&rig);
}

TEST(front_client, reply_off_and_skip_are_silent)
{
    struct front_rig rig;
    front_rig_start(&rig);
    ASK(&rig, "CLIENT REPLY SKIP\r\nPING a\r\nPING b\r\n", "$1\r\nb\r\n");
    ASK(&rig, "CLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\n", "");
    ASK(&rig, "CLIENT REPLY ON\r\nPING\r\n", "+OK\r\n+PONG\r\n");
    front_rig_stop(&rig);
}

TEST(front_command, describes_the_table)
{
    static const struct exchange list[] = {
        {"command foo", "-ERR unknown subcommand 'foo'. Try COMMAND HELP."},
        {"command info nosuch get",
         "*2\r\n$-1\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n"
         "*3\r\n+@read\r\n+@string\r\n+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n"
         "+access\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n"
         "$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n"
         "*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0"},
        {"command getkeys get", "-ERR wrong number of arguments for 'command|getkeys' command"},
        {"command getkeys get a", "*1\r\n$1\r\na"},
        {"command getkeys mset a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb"},
        {"command getkeys nosuch a", "-ERR Invalid command specified"},
        {"command getkeys ping a", "-ERR The command has no key arguments"},
        {"command getkeys get a b", "-ERR Invalid number of arguments specified for command"},
        {"command getkeysandflags get a", "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+RO\r\n+access"},
        {"command list filterby foo", "-ERR syntax error"},
        {"command list filterby pattern mge*", "*1\r\n$4\r\nmget"},
        {"command list filterby module m", "*0"},
        {"command docs nosuch", "*0"},
        {"command docs ping",
         "*2\r\n$4\r\nping\r\n*6\r\n$7\r\nsummary\r\n$15\r\nPing the server\r\n$5\r\nsince\r\n"
         "$5\r\n1.0.0\r\n$5\r\ngroup\r\n$10\r\nconnection"},
    };
    EXCHANGE(list);
    struct front_rig rig;
    front_rig_start(&rig);
    char want[32];
    int listed = 0;
    for (size_t i = 0; i < CMD_COUNT; i++) {
        listed += (command_at(i)->flags & CMD_INTERNAL) == 0;
    }
    (void)snprintf(want, sizeof(want), ":%d\r\n", listed);
    ASK(&rig, "COMMAND COUNT\r\n", want);
    (void)snprintf(want, sizeof(want), "*%d\r\n*10\r\n", listed);
    HAS(&rig, "COMMAND\r\n", want);
    HAS(&rig, "COMMAND LIST\r\n", "$3\r\nget\r\n");
    HAS(&rig, "COMMAND DOCS\r\n", "$4\r\nmget\r\n");
    HAS(&rig, "COMMAND HELP\r\n", "+GETKEYS <full-command>\r\n");
    front_rig_stop(&rig);
}

TEST(front_config, gets_and_sets_as_redis_does)
{
    static const struct exchange list[] = {
        {"config get", "-ERR wrong number of arguments for 'config|get' command"},
        {"config get nosuch", "*0"},
        {"config get save", "*2\r\n$4\r\nsave\r\n$0\r\n"},
        {"config get APPENDONLY", "*2\r\n$10\r\nappendonly\r\n$3\r\nyes"},
        {"config get maxclient[s] data*",
         "*6\r\n$4\r\ndata\r\n$0\r\n\r\n$10\r\nmaxclients\r\n$5\r\n10000\r\n$9\r\ndatabases\r\n$2"
         "\r\n16"},
        {"config set", "-ERR wrong number of arguments for 'config|set' command"},
        {"config set a", "-ERR wrong number of arguments for 'config|set' command"},
        {"config set a b c", "-ERR syntax error"},
        {"config set nosuchthing 1",
         "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuchthing'"},
        {"config set maxclient 1",
         "-ERR Unknown option or number of arguments for CONFIG SET - "
         "'maxclient', did you mean 'maxclients'?"},
        {"config set maxclients abc",
         "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument couldn't "
         "be "
         "parsed into an integer"},
        {"config set maxclients 0",
         "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument must be "
         "between 1 and 1000000 inclusive"},
        {"config set maxclients 10 maxclients 20",
         "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - duplicate "
         "parameter"},
        {"config set databases 3",
         "-ERR CONFIG SET failed (possibly related to argument 'databases') - argument must be "
         "between 16 and 16 inclusive"},
        {"config set loops 3",
         "-ERR CONFIG SET failed (possibly related to argument 'loops') - "
         "can't set immutable config"},
        {"config set appendonly no",
         "-ERR CONFIG SET failed (possibly related to argument 'appendonly') - can't set immutable "
         "config"},
        {"config set appendonly yes", "+OK"},
        {"config set save ''", "+OK"},
        {"config set timeout 7 maxclients 77", "+OK"},
        {"config set timeout 8 maxclients x",
         "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument couldn't "
         "be "
         "parsed into an integer"},
        {"config get timeout", "*2\r\n$7\r\ntimeout\r\n$1\r\n7"},
        {"config set proto-max-bulk-len 2mb", "+OK"},
        {"config get proto-max-bulk-len", "*2\r\n$18\r\nproto-max-bulk-len\r\n$7\r\n2097152"},
        {"config rewrite", "-ERR The server is running without a config file"},
        {"config resetstat", "+OK"},
        {"config foo", "-ERR unknown subcommand 'foo'. Try CONFIG HELP."},
    };
    EXCHANGE(list);
}

TEST(front_config, tells_the_binary_what_changed)
{
    struct front_rig rig;
    front_rig_start(&rig);
    ASK(&rig, "CONFIG SET timeout x\r\n",
        "-ERR CONFIG SET failed (possibly related to argument 'timeout') - argument must be a "
        "duration, as in 250ms, 10s or 5m\r\n");
    CHECK_EQ(rig.changed, CONFIG_COUNT);
    ASK(&rig, "CONFIG SET timeout 5m\r\n", "+OK\r\n");
    CHECK_EQ(rig.changed, CONFIG_timeout);
    CHECK_EQ(config_number(&rig.config, CONFIG_timeout), 300);
    front_rig_stop(&rig);
}

TEST(front_info, has_what_clients_and_exporters_read)
{
    static const char *const parts[] = {
        "# Server\r\nredis_version:7.0.15\r\n",
        "redis_mode:standalone\r\n",
        "tcp_port:6379\r\n",
        "\r\n# Clients\r\nconnected_clients:1\r\n",
        "maxclients:10000\r\n",
        "blocked_clients:0\r\n",
        "\r\n# Memory\r\nused_memory:",
        "used_memory_rss:",
        "maxmemory:0\r\n",
        "\r\n# Persistence\r\nloading:0\r\n",
        "\r\n# Stats\r\ntotal_connections_received:1\r\n",
        "instantaneous_ops_per_sec:",
        "\r\n# Replication\r\nrole:master\r\nconnected_slaves:0\r\n",
        "\r\n# CPU\r\nused_cpu_sys:",
        "\r\n# Cluster\r\ncluster_enabled:0\r\n",
        "\r\n# Keyspace\r\ndb0:keys=5,expires=2,avg_ttl=0\r\n",
        "\r\n# Sherd\r\nloop:0\r\n",
    };
    struct front_rig rig;
    front_rig_start(&rig);
    struct slice got = front_rig_ask(&rig, "INFO\r\n");
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        CHECK(front_rig_has(got, parts[i]));
    }
    CHECK(!front_rig_has(got, "# Commandstats"));
    ASK(&rig, "INFO nosuch\r\n", "$0\r\n\r\n");
    ASK(&rig, "INFO cluster cluster\r\n", "$30\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n");
    front_rig_stop(&rig);
}

TEST(front_info, counts_commands_and_errors_until_resetstat)
{
    struct front_rig rig;
    front_rig_start(&rig);
    (void)front_rig_ask(&rig, "GET a\r\nGET b\r\nGET\r\nNOSUCH\r\nSELECT 99\r\n");
    struct slice got = front_rig_ask(&rig, "INFO commandstats errorstats stats\r\n");
    CHECK(front_rig_has(got, "cmdstat_get:calls=2,"));
    CHECK(front_rig_has(got, ",rejected_calls=1,failed_calls=0\r\n"));
    CHECK(front_rig_has(got, "cmdstat_select:calls=1,"));
    CHECK(front_rig_has(got, "rejected_calls=0,failed_calls=1\r\n"));
    CHECK(front_rig_has(got, "errorstat_ERR:count=3\r\n"));
    CHECK(front_rig_has(got, "total_commands_processed:3\r\n"));
    ASK(&rig, "CONFIG RESETSTAT\r\n", "+OK\r\n");
    got = front_rig_ask(&rig, "INFO commandstats errorstats stats\r\n");
    CHECK(!front_rig_has(got, "cmdstat_get"));
    CHECK(!front_rig_has(got, "errorstat_"));
    CHECK(front_rig_has(got, "total_error_replies:0\r\n"));
    front_rig_stop(&rig);
}

/* Several loops. */

enum { LOOPS = 3, WAIT_MS = 10000 };

struct tour_rig {
    struct front *front;
    struct metrics *metrics;
    struct loop *loops[LOOPS];
    struct listener *listeners[LOOPS];
    struct thread threads[LOOPS];
    struct loop *client_loop;
};

struct tour_client {
    struct conn *conn;
    struct buf got;
    bool closed;
};

static void run_loop(void *arg)
{
    loop_run(arg);
}

struct door {
    struct tour_rig *rig;
    unsigned index;
};

static void on_accept(void *arg, struct conn *conn)
{
    struct door *door = arg;
    session_open(front_part(door->rig->front, door->index), conn);
}

static size_t on_data(void *arg, struct conn *conn, struct slice input)
{
    (void)conn;
    buf_append_slice(&((struct tour_client *)arg)->got, input);
    return input.len;
}

static void on_close(void *arg, struct conn *conn, enum status reason)
{
    (void)conn;
    (void)reason;
    ((struct tour_client *)arg)->closed = true;
}

static const struct conn_handler client_handler = {.on_data = on_data, .on_close = on_close};

static void refuse(void *arg, struct request *request)
{
    (void)arg;
    request_fail(request, "ERR no shards here");
}

static unsigned no_replicas(void *arg)
{
    (void)arg;
    return 0;
}

static void wait_for(struct tour_rig *rig, struct tour_client *client, const char *part)
{
    uint64_t end_ms = clock_now_ms() + WAIT_MS;
    while (!front_rig_has(buf_slice(&client->got), part)) {
        CHECK(clock_now_ms() < end_ms);
        loop_step(rig->client_loop, 50);
    }
}

static void connect(struct tour_rig *rig, struct tour_client *client, unsigned index)
{
    *client = (struct tour_client){0};
    buf_init(&client->got, 1024 * 1024);
    char address[CONN_ADDRESS_SIZE];
    listener_address(rig->listeners[index], address);
    client->conn = conn_dial(rig->client_loop, address, WAIT_MS, &client_handler, client);
}

TEST(front_attach, reaches_the_clients_of_all_loops)
{
    static const struct front_env env = {.execute = refuse, .replicas = no_replicas};
    struct tour_rig rig = {.client_loop = loop_new(0)};
    struct config config;
    config_init(&config, CONFIG_NODE);
    rig.metrics = metrics_new(METRIC_NODE, LOOPS);
    struct front_options options = {.config = &config,
                                    .metrics = rig.metrics,
                                    .env = &env,
                                    .loops = LOOPS,
                                    .program = "sherd-node"};
    rig.front = front_new(&options);
    struct door doors[LOOPS];
    char error[LISTENER_ERROR_SIZE] = "";
    for (unsigned i = 0; i < LOOPS; i++) {
        rig.loops[i] = loop_new(i);
        front_attach(rig.front, i, rig.loops[i]);
        doors[i] = (struct door){.rig = &rig, .index = i};
        struct listener_options listen = {
            .address = "127.0.0.1:0", .on_accept = on_accept, .arg = &doors[i]};
        CHECK_EQ(listener_open(rig.loops[i], &listen, &rig.listeners[i], error), STATUS_OK);
    }
    struct tour_client clients[LOOPS];
    for (unsigned i = 0; i < LOOPS; i++) {
        connect(&rig, &clients[i], i);
    }
    for (unsigned i = 0; i < LOOPS; i++) {
        thread_start(&rig.threads[i], "loop", run_loop, rig.loops[i]);
    }
    for (unsigned i = 0; i < LOOPS; i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "CLIENT SETNAME c%u\r\n", i);
        conn_write(clients[i].conn, slice_str(text));
        wait_for(&rig, &clients[i], "+OK\r\n");
    }
    conn_write(clients[1].conn,
               slice_str("CLIENT LIST\r\nCONFIG SET timeout 99\r\nINFO\r\nPING x\r\n"));
    wait_for(&rig, &clients[1], "\r\n$1\r\nx\r\n");
    struct slice got = buf_slice(&clients[1].got);
    CHECK(front_rig_has(got, " name=c0 ") && front_rig_has(got, " name=c1 "));
    CHECK(front_rig_has(got, " name=c2 ") && front_rig_has(got, "connected_clients:3\r\n"));
    CHECK_EQ(config_number(&config, CONFIG_timeout), 99);
    conn_write(clients[2].conn, slice_str("CLIENT KILL TYPE normal\r\n"));
    wait_for(&rig, &clients[2], ":2\r\n");
    uint64_t end_ms = clock_now_ms() + WAIT_MS;
    while (!clients[0].closed || !clients[1].closed) {
        CHECK(clock_now_ms() < end_ms);
        loop_step(rig.client_loop, 50);
    }
    CHECK(!clients[2].closed);
    for (unsigned i = 0; i < LOOPS; i++) {
        loop_stop(rig.loops[i]);
        thread_join(&rig.threads[i]);
        listener_close(rig.listeners[i]);
        loop_free(rig.loops[i]);
    }
    loop_free(rig.client_loop);
    for (unsigned i = 0; i < LOOPS; i++) {
        buf_deinit(&clients[i].got);
    }
    front_free(rig.front);
    metrics_free(rig.metrics);
    config_deinit(&config);
}
