#include "client/admin/import_plan.h"
#include "tests/support/test.h"

static bool parses(const char *from, const char *map, struct import_plan *plan)
{
    char error[IMPORT_WORD_SIZE];
    return import_plan_parse(from, map, plan, error) == STATUS_OK;
}

TEST(import_plan_parse, knows_files_and_servers)
{
    struct import_plan plan;
    CHECK(parses("dir/dump.rdb", NULL, &plan) && !plan.from_server);
    CHECK(strcmp(plan.path, "dir/dump.rdb") == 0);
    CHECK(parses("redis://host", NULL, &plan) && plan.from_server && plan.only == -1);
    CHECK(strcmp(plan.address, "host:6379") == 0 && plan.password[0] == '\0');
    CHECK(parses("redis://host:7000/", NULL, &plan) && strcmp(plan.address, "host:7000") == 0);
    CHECK(parses("redis://[::1]:7000/5", NULL, &plan) && plan.only == 5);
    CHECK(strcmp(plan.address, "[::1]:7000") == 0);
    CHECK(parses("redis://[::1]", NULL, &plan) && strcmp(plan.address, "[::1]:6379") == 0);
}

TEST(import_plan_parse, takes_names_and_passwords)
{
    struct import_plan plan;
    CHECK(parses("redis://:secret@host", NULL, &plan));
    CHECK(plan.user[0] == '\0' && strcmp(plan.password, "secret") == 0);
    CHECK(parses("redis://kim:a%40b%3ac@host:1/2", NULL, &plan));
    CHECK(strcmp(plan.user, "kim") == 0 && strcmp(plan.password, "a@b:c") == 0);
    CHECK(strcmp(plan.address, "host:1") == 0 && plan.only == 2);
    CHECK(parses("redis://secret@host", NULL, &plan) && strcmp(plan.password, "secret") == 0);
}

TEST(import_plan_parse, maps_databases)
{
    struct import_plan plan;
    CHECK(parses("f", NULL, &plan));
    CHECK(import_plan_target(&plan, 0) == 0 && import_plan_target(&plan, 15) == 15);
    CHECK(import_plan_target(&plan, 16) == -1 && import_plan_target(&plan, UINT64_MAX) == -1);
    CHECK(parses("f", "0:3,200:15", &plan) && plan.mapped);
    CHECK(import_plan_target(&plan, 0) == 3 && import_plan_target(&plan, 200) == 15);
    CHECK(import_plan_target(&plan, 3) == -1);
    CHECK(parses("redis://h/4", "4:0,5:1", &plan));
    CHECK(import_plan_target(&plan, 4) == 0 && import_plan_target(&plan, 5) == -1);
}

TEST(import_plan_parse, refuses_what_makes_no_sense)
{
    static const char *const maps[] = {"",        "0",   "0:",   "0:16", "256:0", "0:1,",
                                       "0:1;2:3", "a:b", "-1:0", ":0",   "0:0 "};
    static const char *const sources[] = {"redis://",      "redis:///1",   "redis://h/x",
                                          "redis://h/256", "redis://h/-1", "redis://u:p@"};
    struct import_plan plan;
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
        CHECK(!parses("f", maps[i], &plan));
    }
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        CHECK(!parses(sources[i], NULL, &plan));
    }
}
