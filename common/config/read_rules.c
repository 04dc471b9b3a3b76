#include "common/config/read_rules.h"

#include <string.h>

#include "common/base/number.h"

static struct slice trim(struct slice text)
{
    while (text.len > 0 && text.data[0] == ' ') {
        text = slice_of(text.data + 1, text.len - 1);
    }
    while (text.len > 0 && text.data[text.len - 1] == ' ') {
        text.len--;
    }
    return text;
}

/* Cuts off what is before the mark; all of it if there is none. */
static struct slice cut(struct slice *text, char mark)
{
    const uint8_t *at = text->len == 0 ? NULL : memchr(text->data, mark, text->len);
    size_t len = at == NULL ? text->len : (size_t)(at - text->data);
    struct slice part = slice_of(text->data, len);
    size_t used = at == NULL ? len : len + 1;
    *text = slice_of(text->data + used, text->len - used);
    return part;
}

static bool parse_mode(struct slice text, struct read_rule *rule)
{
    struct slice rest = text;
    struct slice word = cut(&rest, ':');
    rule->replica = !slice_equal(text, slice_str("leader"));
    rule->bound_ms = 0;
    if (slice_equal(word, slice_str("bounded"))) {
        return number_parse_u64(rest, &rule->bound_ms) && rule->bound_ms > 0 &&
               rule->bound_ms <= READ_BOUND_MS_MAX;
    }
    return !rule->replica || slice_equal(text, slice_str("linearizable"));
}

enum status read_rules_parse(struct slice text, struct read_rules *rules, const char **reason)
{
    rules->count = 0;
    text = trim(text);
    while (text.len > 0) {
        struct slice item = trim(cut(&text, ','));
        struct read_rule rule = {.prefix = cut(&item, ' ')};
        if (rules->count == READ_RULES_MAX) {
            *reason = "there are more than 64 prefixes";
            return STATUS_BAD_ARGUMENT;
        }
        if (rule.prefix.len == 0 || !parse_mode(trim(item), &rule)) {
            *reason =
                "argument must be 'PREFIX MODE, ...', where MODE is linearizable, leader, or "
                "bounded:MILLISECONDS";
            return STATUS_BAD_ARGUMENT;
        }
        if (slice_equal(rule.prefix, slice_str("*"))) {
            rule.prefix.len = 0;
        }
        rules->rules[rules->count++] = rule;
    }
    return STATUS_OK;
}

const struct read_rule *read_rules_find(const struct read_rules *rules, struct slice key)
{
    const struct read_rule *found = NULL;
    for (size_t i = 0; i < rules->count; i++) {
        const struct read_rule *rule = &rules->rules[i];
        bool fits = rule->prefix.len <= key.len &&
                    slice_equal(rule->prefix, slice_of(key.data, rule->prefix.len));
        if (fits && (found == NULL || rule->prefix.len > found->prefix.len)) {
            found = rule;
        }
    }
    return found;
}
