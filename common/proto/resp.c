#include "common/proto/resp.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/number.h"

enum {
    ARGV_SIZE_MIN = 16,
    ARGV_SIZE_KEPT = 4096, /* A larger array is given back after its request. */
    ARGC_STRANGER = 10,    /* What Redis takes from a client before AUTH. */
};

void resp_parser_init(struct resp_parser *parser, size_t bulk_size_max)
{
    assert(bulk_size_max > 0);
    *parser = (struct resp_parser){.bulk_size_max = bulk_size_max, .argc_max = RESP_ARGC_MAX};
}

void resp_parser_deinit(struct resp_parser *parser)
{
    free(parser->argv);
    free(parser->text);
    *parser = (struct resp_parser){0};
}

static enum status fail(struct resp_parser *parser, enum status status, const char *error)
{
    parser->error = error;
    return status;
}

static void add_arg(struct resp_parser *parser, struct slice arg)
{
    if (parser->argc == parser->argv_size) {
        size_t size = parser->argv_size == 0 ? ARGV_SIZE_MIN : parser->argv_size * 2;
        parser->argv = realloc(parser->argv, size * sizeof(*parser->argv));
        assert(parser->argv != NULL);
        parser->argv_size = size;
    }
    parser->argv[parser->argc++] = arg;
}

/* The line that begins at parser->at + 1 (behind its mark). OK: *line is its text and *next what
 * follows it. */
static enum status take_line(const struct resp_parser *parser,
                             struct slice input,
                             struct slice *line,
                             size_t *next)
{
    const uint8_t *from = input.data + parser->at + 1;
    size_t len = input.len - parser->at - 1;
    const uint8_t *end = len == 0 ? NULL : memchr(from, '\r', len);
    if (end == NULL || end + 1 == input.data + input.len) {
        return len > RESP_INLINE_SIZE_MAX ? STATUS_TOO_BIG : STATUS_AGAIN;
    }
    if (end[1] != '\n') {
        return STATUS_PROTOCOL;
    }
    *line = slice_of(from, (size_t)(end - from));
    *next = (size_t)(end + 2 - input.data);
    return STATUS_OK;
}

static enum status parse_header(struct resp_parser *parser, struct slice input)
{
    struct slice line;
    size_t next = 0;
    enum status status = take_line(parser, input, &line, &next);
    if (status == STATUS_TOO_BIG) {
        return fail(parser, status, "Protocol error: too big mbulk count string");
    }
    if (status == STATUS_AGAIN) {
        return status;
    }
    int64_t count = 0;
    if (status != STATUS_OK || !number_parse_i64(line, &count) || count > RESP_ARGC_MAX) {
        return fail(parser, STATUS_PROTOCOL, "Protocol error: invalid multibulk length");
    }
    if (count > 0 && (size_t)count > parser->argc_max) {
        return fail(parser, STATUS_PROTOCOL, "Protocol error: unauthenticated multibulk length");
    }
    parser->at = next;
    parser->argc_want = count > 0 ? (size_t)count : 0;
    return STATUS_OK;
}

static const char *expected_dollar(struct resp_parser *parser, uint8_t byte)
{
    int len = snprintf(parser->error_text, sizeof(parser->error_text),
                       "Protocol error: expected '$', got '%c'", byte);
    assert(len > 0 && (size_t)len < sizeof(parser->error_text));
    return parser->error_text;
}

static enum status parse_bulk(struct resp_parser *parser, struct slice input, size_t *size_needed)
{
    if (parser->at == input.len) {
        return STATUS_AGAIN;
    }
    if (input.data[parser->at] != '$') {
        return fail(parser, STATUS_PROTOCOL, expected_dollar(parser, input.data[parser->at]));
    }
    struct slice line;
    size_t next = 0;
    enum status status = take_line(parser, input, &line, &next);
    if (status == STATUS_TOO_BIG) {
        return fail(parser, status, "Protocol error: too big bulk count string");
    }
    if (status == STATUS_AGAIN) {
        return status;
    }
    int64_t len = 0;
    bool proper = status == STATUS_OK && number_parse_i64(line, &len) && len >= 0;
    if (!proper || (uint64_t)len > parser->bulk_size_max) {
        bool stranger = proper && parser->argc_max <= ARGC_STRANGER;
        return fail(parser, STATUS_PROTOCOL,
                    stranger ? "Protocol error: unauthenticated bulk length"
                             : "Protocol error: invalid bulk length");
    }
    if (input.len - next < (size_t)len + 2) {
        *size_needed = next + (size_t)len + 2;
        return STATUS_AGAIN;
    }
    const uint8_t *data = input.data + next;
    if (data[len] != '\r' || data[len + 1] != '\n') {
        return fail(parser, STATUS_PROTOCOL, "Protocol error: bulk string without CRLF");
    }
    add_arg(parser, slice_of((const uint8_t *)(uintptr_t)next, (size_t)len));
    parser->at = next + (size_t)len + 2;
    return STATUS_OK;
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static uint8_t unescape(uint8_t byte)
{
    switch (byte) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'b': return '\b';
    case 'a': return '\a';
    default: return byte;
    }
}

/* An inline line that is being cut into words. */
struct words {
    struct slice line;
    size_t at;
    uint8_t *out; /* Where the next unquoted byte goes. */
};

static bool at_end(const struct words *words)
{
    return words->at == words->line.len;
}

static bool at_space(const struct words *words)
{
    return isspace(words->line.data[words->at]) != 0 || words->line.data[words->at] == '\0';
}

/* Behind an opening '"' or '\''. False if the quotes are unbalanced, or the closing one is
 * followed by something that is no space. */
static bool take_quoted(struct words *words, uint8_t quote)
{
    const uint8_t *in = words->line.data;
    size_t len = words->line.len;
    for (; words->at < len; words->at++) {
        size_t at = words->at;
        bool escape = in[at] == '\\' && at + 1 < len;
        if (quote == '"' && escape && in[at + 1] == 'x' && at + 3 < len &&
            hex_digit(in[at + 2]) >= 0 && hex_digit(in[at + 3]) >= 0) {
            *words->out++ = (uint8_t)(hex_digit(in[at + 2]) * 16 + hex_digit(in[at + 3]));
            words->at += 3;
        } else if (quote == '"' && escape) {
            *words->out++ = unescape(in[at + 1]);
            words->at++;
        } else if (quote == '\'' && escape && in[at + 1] == '\'') {
            *words->out++ = '\'';
            words->at++;
        } else if (in[at] == quote) {
            words->at++;
            return at_end(words) || at_space(words);
        } else {
            *words->out++ = in[at];
        }
    }
    return false;
}

static bool take_word(struct words *words)
{
    while (!at_end(words) && !at_space(words)) {
        uint8_t byte = words->line.data[words->at++];
        if (byte == '"' || byte == '\'') {
            return take_quoted(words, byte);
        }
        *words->out++ = byte;
    }
    return true;
}

static enum status parse_inline(struct resp_parser *parser,
                                struct slice input,
                                struct args *args,
                                size_t *size_used)
{
    const uint8_t *end = memchr(input.data + parser->at, '\n', input.len - parser->at);
    size_t len = end == NULL ? input.len : (size_t)(end - input.data);
    if (len > RESP_INLINE_SIZE_MAX) {
        return fail(parser, STATUS_TOO_BIG, "Protocol error: too big inline request");
    }
    if (end == NULL) {
        parser->at = input.len;
        return STATUS_AGAIN;
    }
    *size_used = len + 1;
    len -= len > 0 && input.data[len - 1] == '\r' ? 1 : 0;
    if (parser->text_size < len + 1) {
        free(parser->text);
        parser->text = malloc(len + 1);
        assert(parser->text != NULL);
        parser->text_size = len + 1;
    }
    struct words words = {.line = slice_of(input.data, len), .out = parser->text};
    parser->argc = 0;
    while (true) {
        while (!at_end(&words) && isspace(words.line.data[words.at])) {
            words.at++;
        }
        if (at_end(&words) || words.line.data[words.at] == '\0') {
            break;
        }
        uint8_t *from = words.out;
        if (!take_word(&words)) {
            return fail(parser, STATUS_PROTOCOL, "Protocol error: unbalanced quotes in request");
        }
        add_arg(parser, slice_of(from, (size_t)(words.out - from)));
    }
    assert(words.out <= parser->text + parser->text_size);
    *args = (struct args){.argv = parser->argv, .argc = parser->argc};
    parser->at = 0;
    parser->argc = 0;
    return STATUS_OK;
}

/* Gives back what an unusually large request made us take. */
static void begin_request(struct resp_parser *parser)
{
    parser->argc = 0;
    if (parser->argv_size > ARGV_SIZE_KEPT) {
        free(parser->argv);
        parser->argv = NULL;
        parser->argv_size = 0;
    }
}

enum status resp_parse(struct resp_parser *parser,
                       struct slice input,
                       struct args *args,
                       size_t *size_used)
{
    assert(parser->at <= input.len);
    *size_used = input.len + 1;
    if (input.len == 0) {
        return STATUS_AGAIN;
    }
    if (parser->argc_want == 0) {
        begin_request(parser);
        if (input.data[0] != '*') {
            return parse_inline(parser, input, args, size_used);
        }
        enum status status = parse_header(parser, input);
        if (status != STATUS_OK) {
            return status;
        }
    }
    while (parser->argc < parser->argc_want) {
        enum status status = parse_bulk(parser, input, size_used);
        if (status != STATUS_OK) {
            return status;
        }
    }
    for (size_t i = 0; i < parser->argc; i++) {
        parser->argv[i].data = input.data + (uintptr_t)parser->argv[i].data;
    }
    *args = (struct args){.argv = parser->argv, .argc = parser->argc};
    *size_used = parser->at;
    parser->at = 0;
    parser->argc = 0;
    parser->argc_want = 0;
    return STATUS_OK;
}
