#include "common/config/config_value.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "common/base/assert.h"
#include "common/config/read_rules.h"

enum { WORD_SIZE_MAX = 64, LIST_COUNT_MAX = 64, ADDRESS_SIZE_MAX = 320 };

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit size_units[] = {
    {"", 1},           {"b", 1},
    {"k", 1000},       {"kb", 1024},
    {"m", 1000000},    {"mb", 1024 * 1024},
    {"g", 1000000000}, {"gb", 1024 * 1024 * 1024},
    {NULL, 0},
};
static const struct unit ms_units[] = {
    {"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0},
};
static const struct unit second_units[] = {
    {"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {NULL, 0},
};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

bool config_value_is_text(enum config_type type)
{
    return type == CONFIG_TEXT || type == CONFIG_ADDRESS || type == CONFIG_LIST ||
           type == CONFIG_READS || type == CONFIG_CHOICE;
}

const char *config_value_kind(const struct config_row *row)
{
    switch (row->type) {
    case CONFIG_INT: return "N";
    case CONFIG_SIZE: return "SIZE";
    case CONFIG_MS: return "MS";
    case CONFIG_SECONDS: return "SECONDS";
    case CONFIG_BOOL: return "yes|no";
    case CONFIG_CHOICE: return row->choices;
    case CONFIG_TEXT: return "TEXT";
    case CONFIG_ADDRESS: return "HOST:PORT";
    case CONFIG_LIST: return "HOST:PORT,...";
    case CONFIG_READS: return "PREFIX MODE,...";
    }
    return "";
}

static const struct unit *units_of(enum config_type type)
{
    return type == CONFIG_SIZE      ? size_units
           : type == CONFIG_MS      ? ms_units
           : type == CONFIG_SECONDS ? second_units
                                    : no_units;
}

/* Digits, perhaps after '-', then one of the units. */
static bool parse_number(struct slice text, const struct unit *units, int64_t *number)
{
    size_t at = text.len > 0 && text.data[0] == '-' ? 1 : 0;
    bool negative = at == 1;
    size_t first = at;
    int64_t value = 0;
    for (; at < text.len && text.data[at] >= '0' && text.data[at] <= '9'; at++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text.data[at] - '0', &value)) {
            return false;
        }
    }
    if (at == first) {
        return false;
    }
    struct slice unit = slice_of(text.data + at, text.len - at);
    for (const struct unit *try = units; try->name != NULL; try++) {
        if (strlen(try->name) == unit.len &&
            strncasecmp(try->name, (const char *)unit.data, unit.len) == 0) {
            return !__builtin_mul_overflow(value, negative ? -try->factor : try->factor, number);
        }
    }
    return false;
}

static enum status fail(char *error, const char *text)
{
    (void)snprintf(error, CONFIG_ERROR_SIZE, "%s", text);
    return STATUS_BAD_ARGUMENT;
}

static enum status parse_bounded(const struct config_row *row,
                                 struct slice text,
                                 int64_t *number,
                                 char *error)
{
    int64_t value = 0;
    if (!parse_number(text, units_of(row->type), &value)) {
        return fail(error, row->type == CONFIG_SIZE ? "argument must be a memory value"
                           : row->type == CONFIG_INT
                               ? "argument couldn't be parsed into an integer"
                               : "argument must be a duration, as in 250ms, 10s or 5m");
    }
    if (value < row->min || value > row->max) {
        (void)snprintf(error, CONFIG_ERROR_SIZE,
                       "argument must be between %" PRId64 " and %" PRId64 " inclusive", row->min,
                       row->max);
        return STATUS_BAD_ARGUMENT;
    }
    *number = value;
    return STATUS_OK;
}

static bool is_word(struct slice text, const char *word, size_t len)
{
    return text.len == len && strncasecmp((const char *)text.data, word, len) == 0;
}

static enum status parse_bool(struct slice text, int64_t *number, char *error)
{
    bool yes = is_word(text, "yes", 3) || is_word(text, "true", 4) || is_word(text, "1", 1);
    bool no = is_word(text, "no", 2) || is_word(text, "false", 5) || is_word(text, "0", 1);
    if (!yes && !no) {
        return fail(error, "argument must be 'yes' or 'no'");
    }
    *number = yes;
    return STATUS_OK;
}

static enum status parse_choice(const struct config_row *row,
                                struct slice text,
                                int64_t *number,
                                char *error)
{
    const char *at = row->choices;
    for (int64_t place = 0;; place++) {
        size_t len = strcspn(at, "|");
        if (slice_equal(text, slice_of(at, len))) {
            *number = place;
            return STATUS_OK;
        }
        if (at[len] == '\0') {
            break;
        }
        at += len + 1;
    }
    (void)snprintf(error, CONFIG_ERROR_SIZE, "argument must be one of: %s", row->choices);
    return STATUS_BAD_ARGUMENT;
}

static enum status check_address(struct slice text, char *error)
{
    size_t colon = text.len;
    while (colon > 0 && text.data[colon - 1] != ':') {
        colon--;
    }
    int64_t port = -1;
    struct slice digits = slice_of(text.data + colon, text.len - colon);
    bool good = colon > 0 && text.len < ADDRESS_SIZE_MAX && digits.len <= 5 &&
                parse_number(digits, no_units, &port) && port >= 0 && port <= UINT16_MAX;
    struct slice host = slice_of(text.data, colon > 0 ? colon - 1 : 0);
    bool bracketed = host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
    for (size_t i = 0; good && i < host.len; i++) {
        uint8_t c = host.data[i];
        good = isalnum(c) || c == '.' || c == '-' || c == '_' || c == '*' ||
               (bracketed && (c == ':' || c == '[' || c == ']' || c == '%'));
    }
    return good ? STATUS_OK
                : fail(error, "argument must be HOST:PORT, as in 127.0.0.1:6379 or [::1]:6379");
}

static enum status check_list(struct slice text, char *error)
{
    size_t count = 0;
    while (text.len > 0) {
        const uint8_t *comma = memchr(text.data, ',', text.len);
        size_t len = comma != NULL ? (size_t)(comma - text.data) : text.len;
        if (++count > LIST_COUNT_MAX) {
            return fail(error, "too many addresses");
        }
        enum status status = check_address(slice_of(text.data, len), error);
        if (status != STATUS_OK) {
            return status;
        }
        if (comma != NULL && len + 1 == text.len) {
            return fail(error, "an address is missing behind the last comma");
        }
        size_t used = comma != NULL ? len + 1 : len;
        text = slice_of(text.data + used, text.len - used);
    }
    return STATUS_OK;
}

static enum status check_text(const struct config_row *row, struct slice text, char *error)
{
    if (text.len > CONFIG_TEXT_SIZE_MAX) {
        return fail(error, "argument is too long");
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < ' ' || text.data[i] == 0x7f) {
            return fail(error, "argument contains a control character");
        }
    }
    if (text.len == 0 || row->type == CONFIG_TEXT || row->type == CONFIG_READS) {
        return STATUS_OK;
    }
    return row->type == CONFIG_LIST ? check_list(text, error) : check_address(text, error);
}

static enum status check_reads(const struct config_row *row, struct slice text, char *error)
{
    struct read_rules rules;
    const char *reason = NULL;
    enum status status = check_text(row, text, error);
    if (status == STATUS_OK && read_rules_parse(text, &rules, &reason) != STATUS_OK) {
        status = fail(error, reason);
    }
    return status;
}

enum status config_value_parse(const struct config_row *row,
                               struct slice text,
                               int64_t *number,
                               char *error)
{
    *number = 0;
    switch (row->type) {
    case CONFIG_INT:
    case CONFIG_SIZE:
    case CONFIG_MS:
    case CONFIG_SECONDS: return parse_bounded(row, text, number, error);
    case CONFIG_BOOL: return parse_bool(text, number, error);
    case CONFIG_CHOICE: return parse_choice(row, text, number, error);
    case CONFIG_TEXT:
    case CONFIG_ADDRESS:
    case CONFIG_LIST: return check_text(row, text, error);
    case CONFIG_READS: return check_reads(row, text, error);
    }
    return STATUS_BAD_ARGUMENT;
}

size_t config_value_distance(const char *a, const char *b)
{
    size_t a_len = strlen(a);
    size_t b_len = strlen(b);
    if (a_len >= WORD_SIZE_MAX || b_len >= WORD_SIZE_MAX) {
        return WORD_SIZE_MAX;
    }
    /* Levenshtein, one row at a time. */
    size_t row[WORD_SIZE_MAX];
    for (size_t j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            size_t change = corner + (same ? 0 : 1);
            size_t gap = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            corner = row[j];
            row[j] = change < gap ? change : gap;
        }
    }
    return row[b_len];
}
