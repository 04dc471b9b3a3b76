#include "common/base/glob.h"

/* Redis' patterns end with a NUL that some of its checks look at. */
static int8_t byte_at(struct slice pattern, size_t at)
{
    return at < pattern.len ? (int8_t)pattern.data[at] : 0;
}

/* at is behind the '['; returns the index of the ']' or, if there is none, of the last byte. */
static size_t match_class(struct slice pattern, size_t at, int8_t byte, bool *match)
{
    bool not = byte_at(pattern, at) == '^';
    at += not ? 1 : 0;
    bool found = false;
    for (;; at++) {
        size_t left = at < pattern.len ? pattern.len - at : 0;
        if (left >= 2 && byte_at(pattern, at) == '\\') {
            at++;
            found |= byte_at(pattern, at) == byte;
        } else if (left == 0) {
            at--;
            break;
        } else if (byte_at(pattern, at) == ']') {
            break;
        } else if (left >= 3 && byte_at(pattern, at + 1) == '-') {
            int8_t a = byte_at(pattern, at);
            int8_t b = byte_at(pattern, at + 2);
            int8_t low = a < b ? a : b;
            int8_t high = a < b ? b : a;
            found |= byte >= low && byte <= high;
            at += 2;
        } else {
            found |= byte_at(pattern, at) == byte;
        }
    }
    *match = found != not ;
    return at;
}

/* One element of the pattern, not a star, against one byte; returns where the next begins. */
static size_t match_one(struct slice pattern, size_t at, int8_t byte, bool *match)
{
    switch (pattern.data[at]) {
    case '?': *match = true; return at + 1;
    case '[': return match_class(pattern, at + 1, byte, match) + 1;
    case '\\':
        if (pattern.len - at >= 2) {
            at++;
        }
        break;
    default: break;
    }
    *match = byte_at(pattern, at) == byte;
    return at + 1;
}

bool glob_match(struct slice pattern, struct slice text)
{
    if (text.len == 0) {
        return pattern.len == 0;
    }
    bool starred = false;
    size_t star_at = 0; /* Behind the last star, and what it is tried on next. */
    size_t star_text = 0;
    size_t at = 0;
    size_t text_at = 0;
    for (uint32_t steps = 0; steps < GLOB_STEPS_MAX; steps++) {
        if (at < pattern.len && pattern.data[at] == '*') {
            starred = true;
            star_at = ++at;
            star_text = text_at;
            continue;
        }
        if (text_at == text.len) {
            break;
        }
        bool match = false;
        size_t next = at;
        if (at < pattern.len) {
            next = match_one(pattern, at, (int8_t)text.data[text_at], &match);
        }
        if (match) {
            at = next;
            text_at++;
        } else if (starred) {
            at = star_at;
            text_at = ++star_text;
        } else {
            return false;
        }
    }
    return at == pattern.len && text_at == text.len;
}
