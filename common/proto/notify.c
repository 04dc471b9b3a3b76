#include "common/proto/notify.h"

#include <string.h>

#include "common/base/assert.h"

/* In the order of the bits; ' ' are bits that no letter has. */
static const char letters[] = "KEg$lshzxetm dn";
/* A: all of these. */
static const char all[] = "g$lshzxetd";
/* The order in which they are shown. */
static const char shown[] = "g$lshzxetdn";
static const char shown_behind[] = "KEm";

uint32_t notify_class(char letter)
{
    const char *at = letter == ' ' || letter == '\0' ? NULL : strchr(letters, letter);
    return at == NULL ? 0 : UINT32_C(1) << (at - letters);
}

static uint32_t all_flags(void)
{
    uint32_t flags = 0;
    for (const char *letter = all; *letter != '\0'; letter++) {
        flags |= notify_class(*letter);
    }
    return flags;
}

bool notify_parse(struct slice text, uint32_t *flags)
{
    *flags = 0;
    for (size_t i = 0; i < text.len; i++) {
        char letter = (char)text.data[i];
        uint32_t bits = letter == 'A' ? all_flags() : notify_class(letter);
        if (bits == 0) {
            return false;
        }
        *flags |= bits;
    }
    return true;
}

static size_t append(uint32_t flags, const char *of, char *text, size_t len)
{
    for (; *of != '\0'; of++) {
        if ((flags & notify_class(*of)) != 0) {
            assert(len + 1 < NOTIFY_TEXT_SIZE);
            text[len++] = *of;
        }
    }
    return len;
}

void notify_format(uint32_t flags, char text[NOTIFY_TEXT_SIZE])
{
    size_t len = 0;
    if ((flags & all_flags()) == all_flags()) {
        text[len++] = 'A';
    } else {
        len = append(flags, shown, text, len);
    }
    len = append(flags, shown_behind, text, len);
    text[len] = '\0';
}
