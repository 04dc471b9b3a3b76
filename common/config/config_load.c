#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/config/config.h"
#include "common/config/config_value.h"

/* Where settings come from, and what is printed of the table. */

enum { FILE_SIZE_MAX = 1024 * 1024, ARGUMENT_NAME_SIZE = 64 };

static const char variable_prefix[] = "SHERD_";

static struct slice trim(struct slice text)
{
    while (text.len > 0 && isspace(text.data[0])) {
        text = slice_of(text.data + 1, text.len - 1);
    }
    while (text.len > 0 && isspace(text.data[text.len - 1])) {
        text.len--;
    }
    return text;
}

/* Puts "where: " in front of the error, and "bad value for 'name'" if the name was good. */
static enum status explain(enum status status, const char *where, const char *name, char *error)
{
    char copy[CONFIG_ERROR_SIZE];
    (void)snprintf(copy, sizeof(copy), "%s", error);
    if (status == STATUS_NOT_FOUND) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "%.100s: %.380s", where, copy);
    } else {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "%.100s: %.60s: %.300s", where, name, copy);
    }
    return STATUS_BAD_ARGUMENT;
}

static enum status set_line(struct config *config,
                            struct slice line,
                            const char *where,
                            char *error)
{
    size_t len = 0;
    while (len < line.len && !isspace(line.data[len])) {
        len++;
    }
    struct slice name = slice_of(line.data, len);
    struct slice value = trim(slice_of(line.data + len, line.len - len));
    if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"') {
        value = slice_of(value.data + 1, value.len - 2);
    }
    char shown[ARGUMENT_NAME_SIZE];
    (void)snprintf(shown, sizeof(shown), "%.*s", (int)(len < 60 ? len : 60),
                   (const char *)name.data);
    enum status status = config_set(config, name, value, CONFIG_FROM_FILE, error);
    return status == STATUS_OK ? STATUS_OK : explain(status, where, shown, error);
}

static enum status set_lines(struct config *config,
                             const char *path,
                             struct slice text,
                             char *error)
{
    for (unsigned number = 1; text.len > 0; number++) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        size_t len = end != NULL ? (size_t)(end - text.data) : text.len;
        struct slice line = trim(slice_of(text.data, len));
        if (line.len > 0 && line.data[0] != '#') {
            char where[128];
            (void)snprintf(where, sizeof(where), "%.100s line %u", path, number);
            enum status status = set_line(config, line, where, error);
            if (status != STATUS_OK) {
                return status;
            }
        }
        size_t used = end != NULL ? len + 1 : len;
        text = slice_of(text.data + used, text.len - used);
    }
    return STATUS_OK;
}

static enum status load_file(struct config *config, const char *path, char *error)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "cannot open the file of --config, %.200s: %s",
                       path, strerror(errno));
        return errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO;
    }
    char *text = malloc(FILE_SIZE_MAX + 1);
    assert(text != NULL);
    size_t len = fread(text, 1, FILE_SIZE_MAX + 1, file);
    bool failed = ferror(file) != 0;
    (void)fclose(file);
    enum status status;
    if (failed) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "cannot read %.200s", path);
        status = STATUS_IO;
    } else if (len > FILE_SIZE_MAX) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "%.200s is too long for a file of settings", path);
        status = STATUS_BAD_ARGUMENT;
    } else {
        status = set_lines(config, path, slice_of(text, len), error);
    }
    free(text);
    return status;
}

/* "SHERD_LOG_LEVEL" to "log-level"; false if it is no name of ours. */
static bool variable_name(const char *variable, char *name, size_t name_size)
{
    size_t prefix_len = sizeof(variable_prefix) - 1;
    size_t len = strcspn(variable, "=");
    if (variable[len] != '=' || len <= prefix_len || len - prefix_len >= name_size ||
        strncmp(variable, variable_prefix, prefix_len) != 0) {
        return false;
    }
    for (size_t i = prefix_len; i < len; i++) {
        char c = (char)tolower((unsigned char)variable[i]);
        name[i - prefix_len] = c == '_' ? '-' : c;
    }
    name[len - prefix_len] = '\0';
    return true;
}

static enum status load_environment(struct config *config, char **environment, char *error)
{
    for (char **at = environment; at != NULL && *at != NULL; at++) {
        char name[ARGUMENT_NAME_SIZE];
        if (!variable_name(*at, name, sizeof(name))) {
            continue;
        }
        if (config_find(config, slice_str(name)) == CONFIG_COUNT) {
            log_warn("config.unknown_variable", "name=%.*s", (int)strcspn(*at, "="), *at);
            continue;
        }
        struct slice value = slice_str(strchr(*at, '=') + 1);
        enum status status =
            config_set(config, slice_str(name), value, CONFIG_FROM_ENVIRONMENT, error);
        if (status != STATUS_OK) {
            char where[ARGUMENT_NAME_SIZE + 16];
            (void)snprintf(where, sizeof(where), "environment %.*s", (int)strcspn(*at, "="), *at);
            return explain(status, where, name, error);
        }
    }
    return STATUS_OK;
}

struct flag {
    char name[ARGUMENT_NAME_SIZE];
    const char *value; /* NULL: none was given with '='. */
};

static bool parse_flag(const char *argument, struct flag *flag)
{
    if (strncmp(argument, "--", 2) != 0 || argument[2] == '\0') {
        return false;
    }
    size_t len = strcspn(argument + 2, "=");
    if (len == 0 || len >= sizeof(flag->name)) {
        return false;
    }
    memcpy(flag->name, argument + 2, len);
    flag->name[len] = '\0';
    flag->value = argument[2 + len] == '=' ? argument + 2 + len + 1 : NULL;
    return true;
}

/* What --help and --version ask for; true if the argument was one of them. */
static bool take_wish(struct config *config, const char *argument)
{
    bool help = strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
    bool version = strcmp(argument, "--version") == 0 || strcmp(argument, "-v") == 0;
    config->wants_help = config->wants_help || help;
    config->wants_version = config->wants_version || version;
    return help || version;
}

/* The flag at argv[*at] with its value; *at moves on if that is an argument of its own. */
static enum status take_flag(
    const struct config *config, int argc, char **argv, int *at, struct flag *flag, char *error)
{
    const char *argument = argv[*at];
    if (!parse_flag(argument, flag)) {
        (void)snprintf(error, CONFIG_ERROR_SIZE,
                       "'%.80s' is not a setting: they are written --name value", argument);
        return STATUS_BAD_ARGUMENT;
    }
    enum config_id id = config_find(config, slice_str(flag->name));
    if (id == CONFIG_COUNT || flag->value != NULL) {
        return STATUS_OK; /* An unknown name is config_set()'s to refuse. */
    }
    bool alone = *at + 1 == argc || strncmp(argv[*at + 1], "--", 2) == 0;
    if (!alone) {
        flag->value = argv[++*at];
        return STATUS_OK;
    }
    if (config_row(id)->type == CONFIG_BOOL) {
        flag->value = "yes";
        return STATUS_OK;
    }
    (void)snprintf(error, CONFIG_ERROR_SIZE, "--%s needs a value: --%s %s", flag->name, flag->name,
                   config_value_kind(config_row(id)));
    return STATUS_BAD_ARGUMENT;
}

/* all = false: only --config is set, but all are looked at. */
static enum status load_flags(struct config *config, int argc, char **argv, bool all, char *error)
{
    for (int i = 1; i < argc; i++) {
        if (take_wish(config, argv[i])) {
            continue;
        }
        struct flag flag;
        enum status status = take_flag(config, argc, argv, &i, &flag, error);
        if (status != STATUS_OK) {
            return status;
        }
        enum config_id id = config_find(config, slice_str(flag.name));
        if (!all && id != CONFIG_COUNT && id != CONFIG_config) {
            continue;
        }
        struct slice value = slice_str(flag.value != NULL ? flag.value : "");
        status = config_set(config, slice_str(flag.name), value, CONFIG_FROM_FLAG, error);
        if (status != STATUS_OK) {
            char where[ARGUMENT_NAME_SIZE + 4];
            (void)snprintf(where, sizeof(where), "--%s", flag.name);
            const char *place = status == STATUS_NOT_FOUND ? where : "command line";
            return explain(status, place, where, error);
        }
    }
    return STATUS_OK;
}

enum status config_load(
    struct config *config, int argc, char **argv, char **environment, char *error)
{
    /* First only to find --config; SHERD_CONFIG serves as well. */
    enum status status = load_flags(config, argc, argv, false, error);
    if (status != STATUS_OK || config->wants_help || config->wants_version) {
        return status;
    }
    bool flagged = config_source(config, CONFIG_config) == CONFIG_FROM_FLAG;
    const char *path = config_text(config, CONFIG_config);
    for (char **at = environment; !flagged && at != NULL && *at != NULL; at++) {
        if (strncmp(*at, "SHERD_CONFIG=", sizeof("SHERD_CONFIG=") - 1) == 0) {
            path = *at + sizeof("SHERD_CONFIG=") - 1;
        }
    }
    if (path[0] != '\0') {
        status = load_file(config, path, error);
    }
    if (status == STATUS_OK) {
        status = load_environment(config, environment, error);
    }
    if (status == STATUS_OK) {
        status = load_flags(config, argc, argv, true, error);
    }
    return status;
}

/* Breaks text at spaces, so that lines of --help fit into 79 columns behind `indent`. */
static void wrap(struct buf *out, const char *text, int indent)
{
    int column = indent;
    while (*text != '\0') {
        int len = (int)strcspn(text, " ");
        if (column > indent && column + 1 + len > 79) {
            buf_append_format(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            buf_append_text(out, " ");
            column++;
        }
        buf_append(out, text, (size_t)len);
        column += len;
        text += len;
        text += *text == ' ';
    }
    buf_append_text(out, "\n");
}

void config_help(const struct config *config, const char *usage, struct buf *out)
{
    buf_append_text(out, usage);
    buf_append_text(
        out,
        "\nSettings, as --name value, as a line \"name value\" in the file of --config, "
        "or as\nSHERD_NAME in the environment; the first of these that is there "
        "counts:\n\n");
    for (size_t i = 0; i < CONFIG_COUNT; i++) {
        const struct config_row *row = config_row((enum config_id)i);
        if ((row->flags & config->program) == 0 || (row->flags & CONFIG_REDIS) != 0) {
            continue;
        }
        buf_append_format(out, "  --%s %s", row->name, config_value_kind(row));
        if (row->preset[0] != '\0') {
            buf_append_format(out, "  (default %s)", row->preset);
        }
        buf_append_text(out, "\n      ");
        wrap(out, row->why, 6);
    }
    buf_append_text(out, "  --help, --version\n");
}

static void document_rows(struct buf *out, bool redis)
{
    buf_append_text(out,
                    "| name | of | default | values | changes while running | what it is for |\n"
                    "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < CONFIG_COUNT; i++) {
        const struct config_row *row = config_row((enum config_id)i);
        if (((row->flags & CONFIG_REDIS) != 0) != redis) {
            continue;
        }
        unsigned both = CONFIG_NODE | CONFIG_ROUTER;
        const char *program = (row->flags & both) == both       ? "both"
                              : (row->flags & CONFIG_NODE) != 0 ? "node"
                                                                : "router";
        buf_append_format(out, "| `%s` | %s | ", row->name, program);
        buf_append_format(out, row->preset[0] != '\0' ? "`%s` | " : "%s| ", row->preset);
        for (const char *at = config_value_kind(row); *at != '\0'; at++) {
            buf_append_format(out, *at == '|' ? " or " : "%c", *at);
        }
        if (!config_value_is_text(row->type) && row->type != CONFIG_BOOL) {
            buf_append_format(out, ", %" PRId64 " to %" PRId64, row->min, row->max);
        }
        const char *live = (row->flags & CONFIG_LIVE) != 0    ? "yes"
                           : (row->flags & CONFIG_FIXED) != 0 ? "no"
                           : redis                            ? "accepted, without effect"
                                                              : "no";
        buf_append_format(out, " | %s | %s |\n", live, row->why);
    }
}

void config_document(struct buf *out)
{
    buf_append_text(
        out,
        "# Settings\n\nWritten from `common/config/config.def` by `test_config --write`; "
        "a test fails if they differ.\n\n"
        "A setting has one name everywhere: `--name value` on the command line, "
        "`SHERD_NAME` in the environment (upper case, `_` for `-`), a line `name value` in "
        "the file of `--config` (`#` begins a comment), `CONFIG GET name` and, where it "
        "changes while running, `CONFIG SET name value`. The command line wins over the "
        "environment, the environment over the file, the file over the default. An unknown "
        "name is an error that gives the place and the nearest name.\n\n"
        "Sizes are bytes, or have a unit: `k`, `m`, `g` (1000) or `kb`, `mb`, `gb` (1024). "
        "Durations may have `ms`, `s`, `m`, `h`.\n\n");
    document_rows(out, false);
    buf_append_text(out,
                    "\n## Known to Redis clients\n\n"
                    "`CONFIG GET` answers these, so that tools which ask for them work.\n\n");
    document_rows(out, true);
}
