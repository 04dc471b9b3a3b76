#include "common/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"

enum { LINE_SIZE_MAX = 4096 };

static const char *const names[] = {"error", "warn", "info", "debug"};
static atomic_int level_max = LOG_INFO;
static atomic_bool as_json;

void log_set_level(enum log_level level)
{
    atomic_store(&level_max, (int)level);
}

void log_set_json(bool json)
{
    atomic_store(&as_json, json);
}

bool log_parse_level(const char *name, enum log_level *level)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static void append_time(struct buf *line)
{
    uint64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    char text[32] = "";
    if (gmtime_r(&seconds, &tm) != NULL) {
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    }
    buf_append_format(line, "%s.%03uZ", text, (unsigned)(now_ms % 1000));
}

static void append_json_text(struct buf *line, const char *text, size_t len)
{
    buf_append_text(line, "\"");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            buf_append_format(line, "\\%c", c);
        } else if (c < 0x20) {
            buf_append_format(line, "\\u%04x", c);
        } else {
            buf_append_u8(line, c);
        }
    }
    buf_append_text(line, "\"");
}

/* Turns `key=value key="two words"` into `,"key":"value","key":"two words"`. */
static void append_json_fields(struct buf *line, const char *fields)
{
    while (*fields != '\0') {
        size_t key_len = strcspn(fields, "= ");
        if (fields[key_len] != '=') {
            fields += key_len + (fields[key_len] != '\0');
            continue;
        }
        const char *value = fields + key_len + 1;
        bool quoted = *value == '"';
        value += quoted;
        size_t value_len = strcspn(value, quoted ? "\"" : " ");
        buf_append_text(line, ",");
        append_json_text(line, fields, key_len);
        buf_append_text(line, ":");
        append_json_text(line, value, value_len);
        fields = value + value_len;
        fields += *fields != '\0';
        fields += *fields == ' ' && quoted;
    }
}

static void append_line(struct buf *line,
                        enum log_level level,
                        const char *event,
                        const char *fields)
{
    if (!atomic_load(&as_json)) {
        append_time(line);
        buf_append_format(line, " %s %s %s\n", names[level], event, fields);
        return;
    }
    buf_append_text(line, "{\"time\":\"");
    append_time(line);
    buf_append_format(line, "\",\"level\":\"%s\",\"event\":\"%s\"", names[level], event);
    append_json_fields(line, fields);
    buf_append_text(line, "}\n");
}

void log_write(enum log_level level, const char *event, const char *format, ...)
{
    if ((int)level > atomic_load(&level_max)) {
        return;
    }
    char fields[LINE_SIZE_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(fields, sizeof(fields), format, args);
    va_end(args);
    struct buf line;
    buf_init(&line, 8 * LINE_SIZE_MAX);
    append_line(&line, level, event, fields);
    /* One write per line: lines of several threads do not mix. Nobody to tell if it fails. */
    ssize_t written = write(STDERR_FILENO, line.data, line.len);
    (void)written;
    buf_deinit(&line);
}
