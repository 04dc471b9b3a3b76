/* Plays commands to the machine of one shard, without network and replication.
 *
 *   runner SCRIPT [WRITES]      a script: `at MS` sets the clock, `db N` the database, `resp 3` the
 *                               protocol of replies (2), `reopen` flushes and opens the store
 *                               again, `do WORDS` runs a command (quotes as in an inline request)
 *                               and the next line is the reply, with \r \n and other bytes
 *                               escaped; others are comments. WRITES: how many writes there are
 *                               to a commit (1).
 *   runner --pipe [WRITES]      RESP requests from standard input, replies to standard output;
 *                               requests #at, #db and #reopen have no reply. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/proto/resp.h"
#include "tests/support/player.h"

enum { INPUT_STEP = 1 << 16, INPUT_SIZE_MAX = 1 << 30, PATH_SIZE_MAX = 64 };

struct runner {
    struct player player;
    char path[PATH_SIZE_MAX];
};

static uint64_t number(struct slice text)
{
    char copy[32] = {0};
    assert(text.len < sizeof(copy));
    memcpy(copy, text.data, text.len);
    return strtoull(copy, NULL, 10);
}

static bool control(struct runner *runner, struct args args)
{
    if (command_word(args.argv[0], "#at")) {
        runner->player.now_ms = number(args.argv[1]);
    } else if (command_word(args.argv[0], "#db")) {
        runner->player.db = (uint8_t)number(args.argv[1]);
    } else if (command_word(args.argv[0], "#reopen")) {
        player_reopen(&runner->player, runner->path);
    } else {
        return false;
    }
    return true;
}

static void flush_out(struct buf *out)
{
    size_t written = fwrite(out->data, 1, out->len, stdout);
    assert(written == out->len);
    fflush(stdout);
    buf_clear(out);
}

static int play_pipe(struct runner *runner)
{
    struct resp_parser parser;
    resp_parser_init(&parser, INPUT_SIZE_MAX);
    struct buf in;
    struct buf out;
    buf_init(&in, INPUT_SIZE_MAX);
    buf_init(&out, INPUT_SIZE_MAX);
    while (true) {
        ssize_t n = read(STDIN_FILENO, buf_reserve(&in, INPUT_STEP), INPUT_STEP);
        if (n <= 0) {
            break;
        }
        in.len += (size_t)n;
        size_t at = 0;
        struct args args;
        size_t used = 0;
        while (resp_parse(&parser, slice_of(in.data + at, in.len - at), &args, &used) ==
               STATUS_OK) {
            if (args.argc > 0 && !control(runner, args)) {
                player_run(&runner->player, args, &out);
            }
            at += used;
        }
        assert(parser.error == NULL);
        buf_consume(&in, at);
        if (out.len > 0) {
            flush_out(&out);
        }
    }
    resp_parser_deinit(&parser);
    buf_deinit(&in);
    buf_deinit(&out);
    return 0;
}

static void escape(struct slice bytes, struct buf *out)
{
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t byte = bytes.data[i];
        if (byte == '\r' || byte == '\n') {
            buf_append_text(out, byte == '\r' ? "\\r" : "\\n");
        } else if (byte < ' ' || byte > '~') {
            buf_append_format(out, "\\x%02x", byte);
        } else {
            buf_append_u8(out, byte);
        }
    }
}

/* Runs what stands behind `do ` and compares with the line that follows in the script. */
static bool check_command(struct runner *runner, char *line, FILE *script, int *line_number)
{
    struct resp_parser parser;
    resp_parser_init(&parser, INPUT_SIZE_MAX);
    struct args args;
    size_t used = 0;
    struct buf reply;
    struct buf text;
    buf_init(&reply, INPUT_SIZE_MAX);
    buf_init(&text, INPUT_SIZE_MAX);
    enum status status = resp_parse(&parser, slice_str(line), &args, &used);
    assert(status == STATUS_OK && args.argc > 0);
    player_run(&runner->player, args, &reply);
    escape(buf_slice(&reply), &text);
    buf_append_u8(&text, '\n');
    char *want = NULL;
    size_t size = 0;
    ssize_t len = getline(&want, &size, script);
    ++*line_number;
    bool alike = len >= 0 && slice_equal(buf_slice(&text), slice_of(want, (size_t)len));
    if (!alike) {
        fprintf(stderr, "line %d: %swant %sgot  %.*s", *line_number, line, want, (int)text.len,
                (const char *)text.data);
    }
    free(want);
    buf_deinit(&reply);
    buf_deinit(&text);
    resp_parser_deinit(&parser);
    return alike;
}

static int play_script(struct runner *runner, const char *path)
{
    FILE *script = fopen(path, "r");
    assert(script != NULL);
    char *line = NULL;
    size_t size = 0;
    int line_number = 0;
    int failed = 0;
    int checked = 0;
    while (getline(&line, &size, script) >= 0) {
        line_number++;
        if (strncmp(line, "at ", 3) == 0) {
            runner->player.now_ms = strtoull(line + 3, NULL, 10);
        } else if (strncmp(line, "db ", 3) == 0) {
            runner->player.db = (uint8_t)strtoull(line + 3, NULL, 10);
        } else if (strncmp(line, "resp ", 5) == 0) {
            runner->player.protocol = (int)strtol(line + 5, NULL, 10);
        } else if (strncmp(line, "reopen", 6) == 0) {
            player_reopen(&runner->player, runner->path);
        } else if (strncmp(line, "do ", 3) == 0) {
            failed += check_command(runner, line + 3, script, &line_number) ? 0 : 1;
            checked++;
        }
    }
    free(line);
    fclose(script);
    printf("%s: %d commands, %d answered otherwise\n", path, checked, failed);
    return failed == 0 && checked > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: runner SCRIPT|--pipe [WRITES]\n");
        return 2;
    }
    unsigned commit_every = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
    /* In the folder it is started in; kept for a look after a failure. */
    struct runner runner = {.path = "machine-XXXXXX"};
    char *folder = mkdtemp(runner.path);
    assert(folder != NULL);
    player_open(&runner.player, runner.path, commit_every);
    bool pipe = strcmp(argv[1], "--pipe") == 0;
    int result = pipe ? play_pipe(&runner) : play_script(&runner, argv[1]);
    player_close(&runner.player);
    return result;
}
