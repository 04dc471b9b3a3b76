/* Any bytes at the HTTP port: what is accepted lies inside the input and is accepted no matter how
 * the bytes were cut. */

#include "common/base/assert.h"
#include "common/net/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct slice part, const uint8_t *data, size_t size)
{
    assert(part.len == 0 || (part.data >= data && part.data + part.len <= data + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request request = {0};
    size_t used = 0;
    enum status status = http_parse(slice_of(data, size), &request, &used);
    if (status != STATUS_OK) {
        assert(status == STATUS_AGAIN || status == STATUS_PROTOCOL || status == STATUS_TOO_BIG);
        return 0;
    }
    assert(used > 0 && used <= size && used <= HTTP_HEAD_SIZE_MAX);
    check_inside(request.method, data, size);
    check_inside(request.path, data, size);
    check_inside(request.query, data, size);
    for (size_t len = 0; len < used; len++) {
        struct http_request again = {0};
        size_t ignored = 0;
        assert(http_parse(slice_of(data, len), &again, &ignored) == STATUS_AGAIN);
    }
    return 0;
}
