#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

#include <stdbool.h>

/* What an operator reads: one line per event on standard error,
 *   2026-01-02T03:04:05.678Z info shard.leader shard=5 term=7
 * or, with log_set_json(true), one JSON object a line with the same names.
 * error: someone must act; warn: degraded; info: a state changed (never per request); debug: off
 * by default. The event is room.what; fields are "key=value key=value", values without spaces or
 * in double quotes. No secrets, no values of keys. Any thread. */
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
void log_set_json(bool json);
/* False for a name that is not error, warn, info or debug. */
bool log_parse_level(const char *name, enum log_level *level);

#define log_error(event, ...) log_write(LOG_ERROR, (event), __VA_ARGS__)
#define log_warn(event, ...) log_write(LOG_WARN, (event), __VA_ARGS__)
#define log_info(event, ...) log_write(LOG_INFO, (event), __VA_ARGS__)
#define log_debug(event, ...) log_write(LOG_DEBUG, (event), __VA_ARGS__)

void log_write(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
