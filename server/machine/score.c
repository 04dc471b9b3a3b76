#include "server/machine/score.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/assert.h"

enum { TEXT_SIZE_MAX = 5 * 1024 }; /* As for other floats: common/base/number.h. */

static const uint64_t sign_bit = UINT64_C(1) << 63;

uint64_t score_encode(double score)
{
    assert(!isnan(score));
    uint64_t bits = 0;
    memcpy(&bits, &score, sizeof(bits));
    return (bits & sign_bit) != 0 ? ~bits : bits | sign_bit;
}

double score_decode(uint64_t bits)
{
    uint64_t plain = (bits & sign_bit) != 0 ? bits & ~sign_bit : ~bits;
    double score = 0;
    memcpy(&score, &plain, sizeof(score));
    return score;
}

bool score_valid(uint64_t bits)
{
    double score = score_decode(bits);
    return !isnan(score) && score_encode(score) == bits;
}

/* What strtod() makes of the text up to a zero byte; *end is how much of it that took. */
static bool read_double(struct slice text, double *score, size_t *end)
{
    char copy[TEXT_SIZE_MAX + 1];
    if (text.len > TEXT_SIZE_MAX) {
        return false;
    }
    if (text.len > 0) {
        memcpy(copy, text.data, text.len);
    }
    copy[text.len] = '\0';
    char *stop = NULL;
    errno = 0;
    *score = strtod(copy, &stop);
    *end = (size_t)(stop - copy);
    return !isnan(*score);
}

bool score_parse(struct slice text, double *score)
{
    size_t end = 0;
    double value = 0;
    if (text.len == 0 || isspace(text.data[0]) || !read_double(text, &value, &end) ||
        end != text.len) {
        return false;
    }
    if (errno == ERANGE && (isinf(value) || value == 0)) {
        return false;
    }
    *score = value;
    return true;
}

bool score_parse_bound(struct slice text, bool upper, uint64_t *bits)
{
    bool open = text.len > 0 && text.data[0] == '(';
    struct slice number = open ? slice_of(text.data + 1, text.len - 1) : text;
    size_t end = 0;
    double value = 0;
    if (!read_double(number, &value, &end) || (end < number.len && number.data[end] != '\0')) {
        return false;
    }
    /* The next encoded score is the next number; behind infinity there is none. Both zeros are on
     * the same side. */
    bool behind = open != upper;
    *bits = score_encode(value != 0 ? value : behind ? 0.0 : -0.0) + (behind ? 1 : 0);
    return true;
}
