#ifndef COMMON_CONFIG_CONFIG_H
#define COMMON_CONFIG_CONFIG_H

#include <stdatomic.h>

#include "common/base/buf.h"
#include "common/base/status.h"

/* The settings of sherd-node and sherd-router, one row each in config.def. One name everywhere: a
 * line "maxclients 100" in the file of --config, SHERD_MAXCLIENTS in the environment, --maxclients
 * 100 on the command line, CONFIG GET and SET maxclients. The command line wins over the
 * environment, that over the file, that over the default.
 *
 * Thread: loading before the loops start. Afterwards any thread reads; config_set() is for one
 * thread (the front sends all changes to loop 0). Numbers are atomic; a text that is replaced stays
 * valid until config_free(), so readers need no lock. */

enum config_id {
#define CONFIG(id, ...) CONFIG_##id,
#include "common/config/config.def"
#undef CONFIG
    CONFIG_COUNT,
};

enum config_type {
    CONFIG_INT,
    CONFIG_SIZE,    /* Bytes: 512mb, 64kb, 1gb (1024) or 1k, 1m, 1g (1000). */
    CONFIG_MS,      /* A duration: 250, 250ms, 10s, 5m, 1h; read back in milliseconds. */
    CONFIG_SECONDS, /* The same, but a plain number is seconds, and so it is read back. */
    CONFIG_BOOL,    /* yes or no. */
    CONFIG_CHOICE,  /* One of some words; its number is the word's place in the row. */
    CONFIG_TEXT,
    CONFIG_ADDRESS, /* HOST:PORT, or empty. */
    CONFIG_LIST,    /* HOST:PORT[,HOST:PORT...], or empty. */
    CONFIG_READS,   /* See read_rules.h. */
};

enum config_flag {
    CONFIG_NODE = 1 << 0,
    CONFIG_ROUTER = 1 << 1,
    CONFIG_LIVE = 1 << 2,   /* CONFIG SET may change it while running. */
    CONFIG_SECRET = 1 << 3, /* Never in a log or an error. */
    CONFIG_REDIS =
        1 << 4, /* Known to Redis clients; not in --help. Without effect, unless it is LIVE. */
    CONFIG_FIXED = 1 << 5, /* With CONFIG_REDIS: any other value is refused. */
};

enum { CONFIG_TEXT_SIZE_MAX = 4096, CONFIG_CHANGES_MAX = 100000, CONFIG_ERROR_SIZE = 512 };

enum config_source {
    CONFIG_DEFAULT,
    CONFIG_FROM_FILE,
    CONFIG_FROM_ENVIRONMENT,
    CONFIG_FROM_FLAG,
    CONFIG_FROM_SET
};

struct config_row {
    const char *name; /* "proto-max-bulk-len" */
    enum config_type type;
    const char *preset; /* As text. */
    int64_t min, max;
    const char *choices; /* "lease|readindex", or NULL. */
    unsigned flags;
    const char *why;
};

struct config {
    unsigned program; /* CONFIG_NODE or CONFIG_ROUTER: which rows exist. */
    _Atomic int64_t numbers[CONFIG_COUNT];
    _Atomic(const char *) texts[CONFIG_COUNT];
    enum config_source sources[CONFIG_COUNT];
    char **kept; /* Every text that there ever was. */
    size_t kept_count;
    bool wants_help, wants_version; /* --help, --version were given. */
};

/* Defaults. */
void config_init(struct config *config, unsigned program);
void config_deinit(struct config *config);

/* Reads the file (--config FILE), then the environment ("NAME=value" strings, NULL at the end),
 * then argv[1..argc). BAD_ARGUMENT: an unknown name or a bad value; error (CONFIG_ERROR_SIZE bytes)
 * says where, what, and the nearest name. NOT_FOUND, IO: the file. An unknown SHERD_ variable is
 * only logged: it may be meant for something else. */
MUST_USE enum status config_load(
    struct config *config, int argc, char **argv, char **environment, char *error);

/* One setting from text, checked; any row of this program. source CONFIG_FROM_SET: only rows that
 * are LIVE, or REDIS and harmless. BAD_ARGUMENT, NOT_FOUND (no such name); error as above. */
MUST_USE enum status config_set(struct config *config,
                                struct slice name,
                                struct slice value,
                                enum config_source source,
                                char *error);
/* Would config_set() accept it? Changes nothing. */
MUST_USE enum status config_check(const struct config *config,
                                  struct slice name,
                                  struct slice value,
                                  enum config_source source,
                                  char *error);

/* INT, SIZE, MS, SECONDS, BOOL (0, 1), CHOICE (place of the word). */
int64_t config_number(const struct config *config, enum config_id id);
/* TEXT, ADDRESS, LIST, READS, CHOICE. Never NULL; valid until config_deinit(). */
const char *config_text(const struct config *config, enum config_id id);
/* The value as CONFIG GET shows it, of any type. */
void config_print(const struct config *config, enum config_id id, struct buf *out);
enum config_source config_source(const struct config *config, enum config_id id);

const struct config_row *config_row(enum config_id id);
/* CONFIG_COUNT if this program has no such name. Letter case does not matter. */
enum config_id config_find(const struct config *config, struct slice name);

/* Hands log-level and log-format to the log. */
void config_apply_log(const struct config *config);

/* What --help prints: usage, then every row of the program. */
void config_help(const struct config *config, const char *usage, struct buf *out);
/* docs/config.md. */
void config_document(struct buf *out);

#endif
