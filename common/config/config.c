#include "common/config/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/log.h"
#include "common/config/config_value.h"

static const struct config_row rows[CONFIG_COUNT] = {
#define CONFIG(id, name_, type_, preset_, min_, max_, choices_, flags_, why_) \
    [CONFIG_##id] = {.name = (name_),                                         \
                     .type = (type_),                                         \
                     .preset = (preset_),                                     \
                     .min = (min_),                                           \
                     .max = (max_),                                           \
                     .choices = (choices_),                                   \
                     .flags = (flags_),                                       \
                     .why = (why_)},
#include "common/config/config.def"
#undef CONFIG
};

const struct config_row *config_row(enum config_id id)
{
    assert(id < CONFIG_COUNT);
    return &rows[id];
}

static bool exists(const struct config *config, size_t id)
{
    return (rows[id].flags & config->program) != 0;
}

enum config_id config_find(const struct config *config, struct slice name)
{
    for (size_t i = 0; i < CONFIG_COUNT; i++) {
        size_t len = strlen(rows[i].name);
        if (len == name.len && exists(config, i) &&
            strncasecmp(rows[i].name, (const char *)name.data, len) == 0) {
            return (enum config_id)i;
        }
    }
    return CONFIG_COUNT;
}

/* Text that a user typed, cut and without control characters, for an error. */
static void show(struct slice text, char *out, size_t out_size)
{
    size_t len = text.len < out_size - 1 ? text.len : out_size - 1;
    for (size_t i = 0; i < len; i++) {
        bool plain = text.data[i] >= ' ' && text.data[i] <= '~';
        out[i] = plain ? (char)text.data[i] : '?';
    }
    out[len] = '\0';
}

static void say_unknown(const struct config *config, struct slice name, char *error)
{
    char shown[64];
    show(name, shown, sizeof(shown));
    size_t best = CONFIG_COUNT;
    size_t distance_min = name.len / 2 + 1;
    for (size_t i = 0; i < CONFIG_COUNT; i++) {
        if (strcmp(rows[i].name, shown) == 0) {
            (void)snprintf(error, CONFIG_ERROR_SIZE, "'%s' is a setting of %s, not of %s", shown,
                           config->program == CONFIG_NODE ? "sherd-router" : "sherd-node",
                           config->program == CONFIG_NODE ? "sherd-node" : "sherd-router");
            return;
        }
        size_t distance = config_value_distance(rows[i].name, shown);
        if (exists(config, i) && distance < distance_min) {
            distance_min = distance;
            best = i;
        }
    }
    if (best < CONFIG_COUNT) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "unknown setting '%s': did you mean '%s'?", shown,
                       rows[best].name);
        return;
    }
    (void)snprintf(error, CONFIG_ERROR_SIZE, "unknown setting '%s': --help lists all", shown);
}

static enum status check_source(const struct config *config,
                                size_t id,
                                enum config_source source,
                                char *error)
{
    const struct config_row *row = &rows[id];
    bool changeable = (row->flags & (CONFIG_LIVE | CONFIG_REDIS)) != 0;
    if (source == CONFIG_FROM_SET && !changeable) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "can't set immutable config");
        return STATUS_CONFLICT;
    }
    if (source == CONFIG_FROM_FILE && id == CONFIG_config) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "'config' cannot stand in a file itself");
        return STATUS_BAD_ARGUMENT;
    }
    if (source == CONFIG_FROM_SET && config->kept_count >= CONFIG_CHANGES_MAX) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "too many changes since the start: restart first");
        return STATUS_BUSY;
    }
    return STATUS_OK;
}

/* Parses and checks; on OK *number is the value of a row that has one. */
static enum status check_value(const struct config_row *row,
                               struct slice value,
                               int64_t *number,
                               char *error)
{
    enum status status = config_value_parse(row, value, number, error);
    if (status != STATUS_OK || (row->flags & CONFIG_FIXED) == 0) {
        return status;
    }
    bool same = false;
    if (config_value_is_text(row->type)) {
        same = slice_equal(value, slice_str(row->preset));
    } else {
        int64_t preset = 0;
        status = config_value_parse(row, slice_str(row->preset), &preset, error);
        assert(status == STATUS_OK);
        same = *number == preset;
    }
    if (!same) {
        (void)snprintf(error, CONFIG_ERROR_SIZE, "can't set immutable config");
        return STATUS_CONFLICT;
    }
    return STATUS_OK;
}

enum status config_check(const struct config *config,
                         struct slice name,
                         struct slice value,
                         enum config_source source,
                         char *error)
{
    enum config_id id = config_find(config, name);
    if (id == CONFIG_COUNT) {
        say_unknown(config, name, error);
        return STATUS_NOT_FOUND;
    }
    int64_t number = 0;
    enum status status = check_value(&rows[id], value, &number, error);
    return status != STATUS_OK ? status : check_source(config, id, source, error);
}

static void keep_text(struct config *config, size_t id, struct slice value)
{
    const char *old = atomic_load(&config->texts[id]);
    if (old != NULL && slice_equal(slice_str(old), value)) {
        return;
    }
    char *text = malloc(value.len + 1);
    assert(text != NULL);
    if (value.len > 0) {
        memcpy(text, value.data, value.len);
    }
    text[value.len] = '\0';
    /* Doubles at every power of two. */
    if ((config->kept_count & (config->kept_count - 1)) == 0) {
        size_t size = config->kept_count == 0 ? 1 : 2 * config->kept_count;
        config->kept = realloc(config->kept, size * sizeof(char *));
        assert(config->kept != NULL);
    }
    config->kept[config->kept_count++] = text;
    atomic_store_explicit(&config->texts[id], text, memory_order_release);
}

static void store(struct config *config, size_t id, int64_t number, struct slice value)
{
    atomic_store_explicit(&config->numbers[id], number, memory_order_relaxed);
    if (config_value_is_text(rows[id].type)) {
        keep_text(config, id, value);
    }
}

enum status config_set(struct config *config,
                       struct slice name,
                       struct slice value,
                       enum config_source source,
                       char *error)
{
    enum status status = config_check(config, name, value, source, error);
    if (status != STATUS_OK) {
        return status;
    }
    enum config_id id = config_find(config, name);
    int64_t number = 0;
    status = check_value(&rows[id], value, &number, error);
    assert(status == STATUS_OK);
    store(config, id, number, value);
    config->sources[id] = source;
    return STATUS_OK;
}

void config_init(struct config *config, unsigned program)
{
    assert(program == CONFIG_NODE || program == CONFIG_ROUTER);
    *config = (struct config){.program = program};
    for (size_t i = 0; i < CONFIG_COUNT; i++) {
        char error[CONFIG_ERROR_SIZE];
        int64_t number = 0;
        struct slice preset = slice_str(rows[i].preset);
        enum status status = config_value_parse(&rows[i], preset, &number, error);
        assert(status == STATUS_OK);
        store(config, i, number, preset);
    }
}

void config_deinit(struct config *config)
{
    for (size_t i = 0; i < config->kept_count; i++) {
        free(config->kept[i]);
    }
    free(config->kept);
    *config = (struct config){0};
}

int64_t config_number(const struct config *config, enum config_id id)
{
    assert(id < CONFIG_COUNT);
    return atomic_load_explicit(&config->numbers[id], memory_order_relaxed);
}

const char *config_text(const struct config *config, enum config_id id)
{
    assert(id < CONFIG_COUNT && config_value_is_text(rows[id].type));
    return atomic_load_explicit(&config->texts[id], memory_order_acquire);
}

enum config_source config_source(const struct config *config, enum config_id id)
{
    assert(id < CONFIG_COUNT);
    return config->sources[id];
}

void config_print(const struct config *config, enum config_id id, struct buf *out)
{
    assert(id < CONFIG_COUNT);
    if (config_value_is_text(rows[id].type)) {
        buf_append_text(out, config_text(config, id));
    } else if (rows[id].type == CONFIG_BOOL) {
        buf_append_text(out, config_number(config, id) != 0 ? "yes" : "no");
    } else {
        buf_append_format(out, "%" PRId64, config_number(config, id));
    }
}

void config_apply_log(const struct config *config)
{
    enum log_level level = LOG_INFO;
    if (log_parse_level(config_text(config, CONFIG_log_level), &level)) {
        log_set_level(level);
    }
    log_set_json(strcmp(config_text(config, CONFIG_log_format), "json") == 0);
}
