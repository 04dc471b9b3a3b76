#include "client/admin/import_resume.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/support/test.h"

static const char name[] = "test_import_resume.place";

TEST(import_resume_load, gives_what_was_saved)
{
    struct import_place place = {
        .source = "12 bytes of 3.000000004 in /a b/c.rdb",
        .finished = false,
        .done = 5,
        .mark = {.offset = 6, .checksum = UINT64_MAX, .db = 7, .version = 10},
        .sent = 8,
        .db = 9,
        .cursor = UINT64_MAX - 1};
    struct import_place loaded;
    CHECK(import_resume_save(name, &place) == STATUS_OK);
    CHECK(import_resume_load(name, &loaded) == STATUS_OK);
    CHECK(memcmp(&place, &loaded, sizeof(place)) == 0);
    place.finished = true;
    place.cursor = 0;
    CHECK(import_resume_save(name, &place) == STATUS_OK);
    CHECK(import_resume_load(name, &loaded) == STATUS_OK);
    CHECK(loaded.finished && loaded.cursor == 0);
    unlink(name);
}

static void write_text(const char *text)
{
    FILE *file = fopen(name, "w");
    CHECK(file != NULL && fputs(text, file) >= 0);
    CHECK(fclose(file) == 0);
}

TEST(import_resume_load, refuses_other_files)
{
    static const char *const texts[] = {
        "",
        "sherd-import 2\ns\nrunning\n0\n0\n0\n0\n0\n0\n0\n0\n",
        "sherd-import 1\ns\nrunning\n0\n0\n0\n0\n0\n0\n0\n",
        "sherd-import 1\ns\nrunning\n0\n0\n0\n0\n0\n0\nx\n0\n",
        "sherd-import 1\ns\nrunning\n0\n0\n0\n0\n0\n0\n0\n12\n",
        "sherd-import 1\ns\nrunning\n0\n0\n0\n0\n0\n0\n0\n0",
        "sherd-import 1\ns\nrunning\n0\n0\n0\n0\n0\n0\n99999999999999999999\n0\n",
    };
    struct import_place place;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        write_text(texts[i]);
        CHECK(import_resume_load(name, &place) == STATUS_BAD_ARGUMENT);
    }
    unlink(name);
    CHECK(import_resume_load(name, &place) == STATUS_NOT_FOUND);
}

TEST(import_resume_save, says_what_it_cannot_write)
{
    const struct import_place place = {.source = "s"};
    CHECK(import_resume_save("no/such/folder", &place) == STATUS_IO);
}
