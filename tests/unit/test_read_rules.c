#include "common/config/read_rules.h"

#include <stdio.h>

#include "tests/support/test.h"

static bool parses(const char *text)
{
    struct read_rules rules;
    const char *reason = NULL;
    bool good = read_rules_parse(slice_str(text), &rules, &reason) == STATUS_OK;
    CHECK(good || reason != NULL);
    return good;
}

TEST(read_rules_parse, knows_what_is_a_rule)
{
    CHECK(parses(""));
    CHECK(parses("  "));
    CHECK(parses("a linearizable"));
    CHECK(parses(" a: linearizable ,b bounded:5 , * leader"));
    CHECK(parses("a bounded:86400000"));
    CHECK(!parses("a bounded:86400001"));
    CHECK(!parses("a bounded:0"));
    CHECK(!parses("a bounded:"));
    CHECK(!parses("a bounded"));
    CHECK(!parses("a bounded:5x"));
    CHECK(!parses("a linearizable:5"));
    CHECK(!parses("a leader:"));
    CHECK(!parses("a"));
    CHECK(!parses("a often"));
    CHECK(!parses("a linearizable b leader"));
    CHECK(!parses("a linearizable,,b leader"));
}

TEST(read_rules_parse, has_a_limit)
{
    char text[16 * (READ_RULES_MAX + 1) + 1];
    size_t len = 0;
    for (int i = 0; i < READ_RULES_MAX; i++) {
        len += (size_t)snprintf(text + len, sizeof(text) - len, "k%d leader,", i);
    }
    CHECK(parses(text));
    (void)snprintf(text + len, sizeof(text) - len, "k leader");
    CHECK(!parses(text));
}

TEST(read_rules_find, takes_the_longest_prefix)
{
    struct read_rules rules;
    const char *reason = NULL;
    struct slice text = slice_str("user: bounded:100, * linearizable, user:1 leader");
    CHECK_EQ(read_rules_parse(text, &rules, &reason), STATUS_OK);
    CHECK_EQ(rules.count, 3);
    CHECK_EQ(read_rules_find(&rules, slice_str("user:2"))->bound_ms, 100);
    CHECK(!read_rules_find(&rules, slice_str("user:12"))->replica);
    const struct read_rule *any = read_rules_find(&rules, slice_str("user"));
    CHECK(any->replica && any->bound_ms == 0);
    CHECK(read_rules_find(&rules, slice_str("")) == any);
    CHECK_EQ(read_rules_parse(slice_str("user: leader"), &rules, &reason), STATUS_OK);
    CHECK(read_rules_find(&rules, slice_str("use")) == NULL);
}
