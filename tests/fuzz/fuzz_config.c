/* Any text as the name and the value of a setting: refused with a reason, or kept within its
 * bounds. */

#include "common/base/assert.h"
#include "common/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_value(struct config *config, struct slice name, struct slice value)
{
    char error[CONFIG_ERROR_SIZE] = "";
    enum status status = config_set(config, name, value, CONFIG_FROM_FLAG, error);
    if (status != STATUS_OK) {
        assert(error[0] != '\0');
        return;
    }
    enum config_id id = config_find(config, name);
    assert(id < CONFIG_COUNT);
    const struct config_row *row = config_row(id);
    if (row->type <= CONFIG_SECONDS) {
        assert(config_number(config, id) >= row->min && config_number(config, id) <= row->max);
    }
    /* What is printed is taken again. */
    struct buf text;
    buf_init(&text, 1024 * 1024);
    config_print(config, id, &text);
    status = config_set(config, name, buf_slice(&text), CONFIG_FROM_FLAG, error);
    assert(status == STATUS_OK);
    buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct config config;
    config_init(&config, (data[0] & 1) != 0 ? CONFIG_NODE : CONFIG_ROUTER);
    struct slice input = slice_of(data + 1, size - 1);
    const uint8_t *space = input.len > 0 ? memchr(input.data, ' ', input.len) : NULL;
    size_t len = space != NULL ? (size_t)(space - input.data) : input.len;
    struct slice value =
        space != NULL ? slice_of(space + 1, input.len - len - 1) : slice_of(data, 0);
    try_value(&config, slice_of(input.data, len), value);
    try_value(&config, slice_str(config_row((enum config_id)(data[0] % CONFIG_COUNT))->name),
              input);
    config_deinit(&config);
    return 0;
}
