#include "tests/sim/sim_mix.h"

#include <stdio.h>

#include "common/base/assert.h"

/* Words with numbers: %a a key of the family, %f one of many fields or members, %n a small number.
 * "..." at the end: some more of the last word that has a %f, or of the last two. */
static const char *const forms[] = {
    "hset {mix}h%a f%f v%n ...",
    "hset {mix}h%a f%f v%n ...",
    "hsetnx {mix}h%a f%f v%n",
    "hdel {mix}h%a f%f ...",
    "hincrby {mix}h%a c%n %n",
    "hincrbyfloat {mix}h%a d%n 0.5",
    "sadd {mix}s%a %f ...",
    "sadd {mix}s%a m%f ...",
    "srem {mix}s%a m%f ...",
    "spop {mix}s%a %n",
    "spop {mix}s%a",
    "smove {mix}s%a {mix}s%a %f",
    "sinterstore {mix}s%a {mix}s%a {mix}s%a",
    "sunionstore {mix}s%a {mix}s%a {mix}s%a",
    "sdiffstore {mix}s%a {mix}s%a {mix}s%a",
    "sort {mix}s%a alpha limit 0 20 store {mix}l%a",
    "copy {mix}h%a {mix}h%a",
    "rename {mix}s%a {mix}s%a",
    "del {mix}s%a",
    "del {mix}h%a",
    "pexpire {mix}h%a 3000",
};

enum { KEYS = 3, FIELDS = 400, SMALL = 40, REPEATS_MAX = 24 };

/* Appends a word of a form; true if it has a field. */
static bool add_word(struct sim_mix *mix, struct rand *rand, struct slice word)
{
    assert(mix->argc < SIM_MIX_ARGC_MAX);
    char *text = mix->texts[mix->argc];
    size_t len = 0;
    bool field = false;
    for (size_t i = 0; i < word.len; i++) {
        assert(len + 8 < SIM_MIX_TEXT_SIZE);
        if (word.data[i] != '%') {
            text[len++] = (char)word.data[i];
            continue;
        }
        char kind = (char)word.data[++i];
        uint64_t bound = kind == 'a' ? KEYS : kind == 'f' ? FIELDS : SMALL;
        field = field || kind == 'f';
        int size =
            snprintf(text + len, SIM_MIX_TEXT_SIZE - len, "%u", (unsigned)rand_below(rand, bound));
        len += (size_t)size;
    }
    mix->argv[mix->argc++] = slice_of(text, len);
    return field;
}

static struct slice next_word(const char **at)
{
    size_t len = strcspn(*at, " ");
    struct slice word = slice_of(*at, len);
    *at += len + ((*at)[len] == ' ' ? 1 : 0);
    return word;
}

void sim_mix_fill(struct sim_mix *mix, struct rand *rand)
{
    const struct slice more = slice_str("...");
    const char *at = forms[rand_below(rand, sizeof(forms) / sizeof(forms[0]))];
    const char *repeat = at;
    struct slice word = slice_of(NULL, 0);
    mix->argc = 0;
    while (*at != '\0' && !slice_equal(word, more)) {
        const char *begin = at;
        word = next_word(&at);
        bool field = !slice_equal(word, more) && add_word(mix, rand, word);
        repeat = field ? begin : repeat;
    }
    uint64_t repeats = slice_equal(word, more) ? rand_below(rand, REPEATS_MAX) : 0;
    for (uint64_t i = 0; i < repeats; i++) {
        at = repeat;
        for (word = next_word(&at); !slice_equal(word, more); word = next_word(&at)) {
            (void)add_word(mix, rand, word);
        }
    }
    assert(mix->argc >= 2);
}
