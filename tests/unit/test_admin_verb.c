#include "client/admin/verb.h"
#include "tests/support/test.h"

enum { WORDS_MAX = 16 };

struct line {
    char copy[512];
    const char *words[WORDS_MAX];
    size_t count;
    struct verb_call call;
    char error[VERB_LINE_SIZE];
};

static enum status parse(const char *text, struct line *line)
{
    *line = (struct line){0};
    CHECK(strlen(text) < sizeof line->copy);
    memcpy(line->copy, text, strlen(text) + 1);
    char *rest = line->copy;
    for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
        CHECK(line->count < WORDS_MAX);
        line->words[line->count] = word;
        line->count += *word != '\0';
    }
    return verb_parse(line->words, line->count, &line->call, line->error);
}

TEST(verb_parse, takes_options_before_and_behind_the_verb)
{
    struct line line;
    CHECK_EQ(parse("--connect a:1 demo --nodes=5 --json --dir x", &line), STATUS_OK);
    CHECK(line.call.verb == verb_find("demo"));
    CHECK_BYTES(slice_str(verb_option(&line.call, "connect")), "a:1");
    CHECK_BYTES(slice_str(verb_option(&line.call, "nodes")), "5");
    CHECK_BYTES(slice_str(verb_option(&line.call, "dir")), "x");
    CHECK(verb_given(&line.call, "json"));
    CHECK(!verb_given(&line.call, "routers"));
    CHECK_BYTES(slice_str(verb_option(&line.call, "routers")), "1");
}

TEST(verb_parse, leaves_the_words_of_call_alone)
{
    struct line line;
    CHECK_EQ(parse("call SET --json -x --help", &line), STATUS_OK);
    CHECK(line.call.verb == verb_find("call"));
    CHECK_EQ(line.call.operand_count, 4);
    CHECK_BYTES(slice_str(line.call.operands[3]), "--help");
    CHECK(!verb_given(&line.call, "json"));
}

TEST(verb_parse, takes_a_key_that_looks_like_an_option_behind_two_dashes)
{
    struct line line;
    CHECK_EQ(parse("explain -- --key", &line), STATUS_OK);
    CHECK_EQ(line.call.operand_count, 1);
    CHECK_BYTES(slice_str(line.call.operands[0]), "--key");
}

TEST(verb_parse, means_help_without_a_verb_and_with_dash_dash_help)
{
    struct line line;
    CHECK_EQ(parse("", &line), STATUS_OK);
    CHECK(line.call.verb == verb_find("help"));
    CHECK_EQ(parse("demo --help", &line), STATUS_OK);
    CHECK(line.call.verb == verb_find("help"));
    CHECK_EQ(line.call.operand_count, 1);
    CHECK_BYTES(slice_str(line.call.operands[0]), "demo");
    CHECK_EQ(parse("--help", &line), STATUS_OK);
    CHECK_EQ(line.call.operand_count, 0);
}

static void check_refused(const char *text, const char *part)
{
    struct line line;
    CHECK_EQ(parse(text, &line), STATUS_BAD_ARGUMENT);
    CHECK(strstr(line.error, part) != NULL);
    CHECK(strchr(line.error, '\n') == NULL);
}

TEST(verb_parse, says_what_is_wrong_in_one_line)
{
    check_refused("stauts", "did you mean 'status'?");
    check_refused("xyzzyx", "unknown verb 'xyzzyx'");
    check_refused("status --jsn", "did you mean --json?");
    check_refused("status --nodes 3", "unknown option --nodes");
    check_refused("demo --nodes", "--nodes needs a value");
    check_refused("--json=1 status", "--json takes no value");
    check_refused("status now", "status takes no arguments");
    check_refused("explain", "usage: sherd-admin explain KEY");
    check_refused("explain a b", "usage: sherd-admin explain KEY");
    check_refused("explain a --json b", "side by side");
    check_refused("call", "usage: sherd-admin call");
    check_refused("node drian 3", "did you mean 'node drain'?");
    check_refused("nod drain 3", "did you mean 'node'?");
    check_refused("node xyzzyx 3", "unknown verb 'node xyzzyx'; see sherd-admin help node");
    check_refused("node drain", "usage: sherd-admin node drain NODE");
    check_refused("shard move 1 2", "usage: sherd-admin shard move SHARD FROM-NODE TO-NODE");
    check_refused("shard split 1 2 3", "usage: sherd-admin shard split SHARD [TOKEN]");
    check_refused("node drain 3 --count 5", "unknown option --count");
    check_refused("job list --yes", "unknown option --yes");
}

TEST(verb_parse, knows_the_verbs_of_nouns)
{
    struct line line;
    CHECK_EQ(parse("node --json drain 3 --yes --dry-run", &line), STATUS_OK);
    CHECK_BYTES(slice_str(line.call.verb->name), "node drain");
    CHECK(verb_given(&line.call, "yes") && verb_given(&line.call, "dry-run"));
    CHECK(!verb_given(&line.call, "detach"));
    CHECK_EQ(line.call.operand_count, 1);
    CHECK_BYTES(slice_str(line.call.operands[0]), "3");
    CHECK_EQ(parse("shard split 5", &line), STATUS_OK);
    CHECK_EQ(parse("shard split 5 9000000000000000", &line), STATUS_OK);
    CHECK_EQ(line.call.operand_count, 2);
    CHECK_EQ(parse("node drain --help", &line), STATUS_OK);
    CHECK_BYTES(slice_str(line.call.verb->name), "help");
    CHECK_BYTES(slice_str(line.call.operands[0]), "node drain");
    CHECK_EQ(parse("node", &line), STATUS_OK);
    CHECK_BYTES(slice_str(line.call.verb->name), "help");
    CHECK_BYTES(slice_str(line.call.operands[0]), "node");
}

TEST(verb_find_of, finds_every_row_once)
{
    for (size_t i = 0; verb_at(i) != NULL; i++) {
        const struct verb *verb = verb_at(i);
        const char *space = strchr(verb->name, ' ');
        char noun[32];
        CHECK(verb_find(verb->name) == verb);
        if (space != NULL) {
            snprintf(noun, sizeof noun, "%.*s", (int)(space - verb->name), verb->name);
            CHECK(verb_is_noun(noun) && verb_find_of(noun, space + 1) == verb);
        }
    }
    CHECK(!verb_is_noun("status") && verb_find_of("node", "nothing") == NULL);
}

TEST(verb_number, takes_whole_numbers_in_bounds)
{
    struct line line;
    long number = -1;
    CHECK_EQ(parse("demo --nodes 5", &line), STATUS_OK);
    CHECK_EQ(verb_number(&line.call, "nodes", 1, 5, &number), STATUS_OK);
    CHECK_EQ(number, 5);
    CHECK_EQ(verb_number(&line.call, "nodes", 1, 4, &number), STATUS_BAD_ARGUMENT);
    CHECK_EQ(verb_number(&line.call, "nodes", 6, 9, &number), STATUS_BAD_ARGUMENT);
    static const char *const bad[] = {"demo --nodes x", "demo --nodes 5x",
                                      "demo --nodes=", "demo --nodes 99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ(parse(bad[i], &line), STATUS_OK);
        CHECK_EQ(verb_number(&line.call, "nodes", 0, 100, &number), STATUS_BAD_ARGUMENT);
    }
    CHECK_EQ(number, 5);
}

static void check_columns(struct slice text, size_t max)
{
    size_t columns = 0;
    for (size_t i = 0; i < text.len; i++) {
        columns = text.data[i] == '\n' ? 0 : columns + 1;
        CHECK(columns <= max);
    }
    CHECK(text.len > 0 && text.data[text.len - 1] == '\n');
}

TEST(verb_write_help, fits_a_terminal)
{
    struct buf out;
    buf_init(&out, VERB_TEXT_SIZE_MAX);
    verb_write_help(&out);
    size_t lines = 0;
    for (size_t i = 0; i < out.len; i++) {
        lines += out.data[i] == '\n';
    }
    CHECK(lines <= 36);
    check_columns(buf_slice(&out), 80);
    static const char *const names[] = {"status", "nodes",  "shards", "db",   "explain",
                                        "demo",   "import", "call",   "help", "version"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct verb *verb = verb_find(names[i]);
        CHECK(verb != NULL);
        CHECK(memmem(out.data, out.len, names[i], strlen(names[i])) != NULL);
        struct buf about;
        buf_init(&about, VERB_TEXT_SIZE_MAX);
        verb_write_help_of(verb, &about);
        check_columns(buf_slice(&about), 82);
        buf_deinit(&about);
    }
    buf_deinit(&out);
}
