#include <stdio.h>
#include <stdlib.h>

#include "client/admin/print.h"
#include "tests/support/test.h"

/* Texts of replies live as long as the test; the struct wants a char *. */
static struct sherd_reply text(enum sherd_type type, const char *bytes)
{
    struct sherd_reply reply = {.type = type, .len = strlen(bytes)};
    reply.text = malloc(reply.len + 1);
    CHECK(reply.text != NULL);
    memcpy(reply.text, bytes, reply.len + 1);
    return reply;
}

static struct sherd_reply number(enum sherd_type type, int64_t value)
{
    return (struct sherd_reply){.type = type, .integer = value};
}

static struct sherd_reply many(enum sherd_type type, const struct sherd_reply *from, size_t count)
{
    struct sherd_reply reply = {.type = type, .count = count};
    reply.elements = calloc(count + 1, sizeof *from);
    CHECK(reply.elements != NULL);
    for (size_t i = 0; i < count; i++) {
        reply.elements[i] = from[i];
    }
    return reply;
}

/* Prints both ways, compares, frees. */
static void check_print(struct sherd_reply reply, const char *json, const char *plain)
{
    struct sherd_reply *root = malloc(sizeof *root);
    CHECK(root != NULL);
    *root = reply;
    for (int i = 0; i < 2; i++) {
        char *bytes = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&bytes, &len);
        CHECK(out != NULL);
        (i == 0 ? print_json : print_text)(root, out);
        fclose(out);
        CHECK_BYTES(slice_of(bytes, len), i == 0 ? json : plain);
        free(bytes);
    }
    sherd_reply_free(root);
}

TEST(print_json, writes_scalars)
{
    check_print(number(SHERD_INTEGER, -5), "-5", "(integer) -5\n");
    check_print(number(SHERD_BOOLEAN, 1), "true", "(true)\n");
    check_print(number(SHERD_NULL, 0), "null", "(nil)\n");
    check_print(text(SHERD_STATUS, "OK"), "\"OK\"", "OK\n");
    check_print(text(SHERD_STRING, "a\"b\n"), "\"a\\\"b\\u000a\"", "\"a\\\"b\\n\"\n");
    check_print(text(SHERD_ERROR, "ERR no"), "{\"error\":\"ERR no\"}", "(error) ERR no\n");
    struct sherd_reply real = text(SHERD_DOUBLE, "1.5");
    real.real = 1.5;
    check_print(real, "1.5", "(double) 1.5\n");
}

TEST(print_json, keeps_utf8_and_replaces_what_is_none)
{
    check_print(text(SHERD_STRING, "\xed\x82\xa4"), "\"\xed\x82\xa4\"", "\"\\xed\\x82\\xa4\"\n");
    check_print(text(SHERD_STRING, "\xff\xc0\x80\xed\xa0\x80z"),
                "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffdz\"",
                "\"\\xff\\xc0\\x80\\xed\\xa0\\x80z\"\n");
    check_print(text(SHERD_STRING, "\xf0\x9f"), "\"\\ufffd\\ufffd\"", "\"\\xf0\\x9f\"\n");
}

TEST(print_text, indents_as_redis_cli_does)
{
    struct sherd_reply inner[] = {number(SHERD_INTEGER, 1), text(SHERD_STRING, "b")};
    struct sherd_reply outer[] = {text(SHERD_STRING, "a"), many(SHERD_ARRAY, inner, 2),
                                  number(SHERD_NULL, 0)};
    check_print(many(SHERD_ARRAY, outer, 3), "[\"a\",[1,\"b\"],null]",
                "1) \"a\"\n2) 1) (integer) 1\n   2) \"b\"\n3) (nil)\n");
}

TEST(print_text, writes_maps_as_pairs)
{
    struct sherd_reply list[] = {number(SHERD_INTEGER, 7)};
    struct sherd_reply pairs[] = {text(SHERD_STRING, "n"), number(SHERD_INTEGER, 3),
                                  text(SHERD_STRING, "l"), many(SHERD_ARRAY, list, 1)};
    check_print(many(SHERD_MAP, pairs, 4), "{\"n\":3,\"l\":[7]}",
                "1# \"n\" => (integer) 3\n2# \"l\" => \n   1) (integer) 7\n");
}

TEST(print_text, names_what_is_empty)
{
    check_print(many(SHERD_ARRAY, NULL, 0), "[]", "(empty array)\n");
    check_print(many(SHERD_MAP, NULL, 0), "{}", "(empty hash)\n");
    check_print(many(SHERD_SET, NULL, 0), "[]", "(empty set)\n");
}
