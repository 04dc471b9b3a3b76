#include "tests/sim/sim_mix.h"

#include <stdio.h>

#include "common/base/assert.h"

/* Words with numbers: %a a key of the family, %f one of many fields or members, %n a small number.
 * "..." at the end: some more of the words from the last on that has a %f; "2...": of the last two.
 */
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
    "zadd {mix}z%a %n %f 2...",
    "zadd {mix}z%a gt ch %n %f %n %f 2...",
    "zadd {mix}z%a incr 0.5 %f",
    "zincrby {mix}z%a -%n %f",
    "zrem {mix}z%a %f ...",
    "zpopmin {mix}z%a %n",
    "zpopmax {mix}z%a",
    "zmpop 2 {mix}z%a {mix}z%a min count %n",
    "zremrangebyrank {mix}z%a %n %n",
    "zremrangebyscore {mix}z%a (%n %n",
    "zremrangebylex {mix}z%a [%f [%f",
    "zrangestore {mix}z%a {mix}z%a %n +inf byscore limit %n 60",
    "zunionstore {mix}z%a 2 {mix}z%a {mix}s%a weights 2 0.5 aggregate max",
    "zinterstore {mix}z%a 2 {mix}z%a {mix}z%a",
    "zdiffstore {mix}z%a 2 {mix}z%a {mix}z%a",
    "geoadd {mix}z%a %n.5 %n.25 %f %n.125 -%n.5 m%f",
    "copy {mix}z%a {mix}z%a replace",
    "del {mix}z%a",
    "rpush {mix}l%a %f ...",
    "lpush {mix}l%a a-longer-element-%f ...",
    "lpushx {mix}l%a %f",
    "lpop {mix}l%a %n",
    "rpop {mix}l%a",
    "lset {mix}l%a -%n other%f",
    "linsert {mix}l%a before %f new%f",
    "lrem {mix}l%a -2 %f",
    "ltrim {mix}l%a %n -%n",
    "lmove {mix}l%a {mix}l%a left right",
    "lmpop 2 {mix}l%a {mix}l%a right count %n",
    "rename {mix}l%a {mix}l%a",
    "del {mix}l%a",
    "xadd {mix}y%a maxlen ~ 300 * f%f v%n ...",
    "xadd {mix}x%a 1-* f%f v%n ...",
    "xadd {mix}x%a 1-* f%f v%n ...",
    "xadd {mix}x%a nomkstream 1-* same v%n",
    "xdel {mix}x%a 1-%n 1-%f ...",
    "xtrim {mix}x%a maxlen %f",
    "xtrim {mix}x%a minid = 1-%n",
    "xgroup create {mix}x%a g%a 0 mkstream",
    "xgroup setid {mix}x%a g%a 1-%n",
    "xgroup delconsumer {mix}x%a g%a c%a",
    "xgroup destroy {mix}x%a g%a",
    "xreadgroup group g%a c%a count %n streams {mix}x%a >",
    "xreadgroup group g%a c%a count %n noack streams {mix}x%a >",
    "xack {mix}x%a g%a 1-%f ...",
    "xclaim {mix}x%a g%a c%a 0 1-%f ...",
    "xgroup create {mix}y%a g%a 0 mkstream",
    "xreadgroup group g%a c%a streams {mix}y%a >",
    "xautoclaim {mix}y%a g%a c%a 0 0 count 20",
    "xautoclaim {mix}x%a g%a c%a 0 0 count 20",
    "xsetid {mix}x%a 1-%f",
    "copy {mix}x%a {mix}x%a replace",
    "del {mix}x%a",
    "del {mix}y%a",
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

static bool is_more(struct slice word)
{
    return slice_equal(word, slice_str("...")) || slice_equal(word, slice_str("2..."));
}

void sim_mix_fill(struct sim_mix *mix, struct rand *rand)
{
    const char *at = forms[rand_below(rand, sizeof(forms) / sizeof(forms[0]))];
    const char *begins[2] = {at, at}; /* Of the last word, and of the one before. */
    const char *repeat = at;
    struct slice word = slice_of(NULL, 0);
    mix->argc = 0;
    while (*at != '\0' && !is_more(word)) {
        const char *begin = at;
        word = next_word(&at);
        if (is_more(word)) {
            repeat = word.data[0] == '2' ? begins[1] : repeat;
            continue;
        }
        repeat = add_word(mix, rand, word) ? begin : repeat;
        begins[1] = begins[0];
        begins[0] = begin;
    }
    uint64_t repeats = is_more(word) ? rand_below(rand, REPEATS_MAX) : 0;
    for (uint64_t i = 0; i < repeats; i++) {
        at = repeat;
        for (word = next_word(&at); !is_more(word); word = next_word(&at)) {
            (void)add_word(mix, rand, word);
        }
    }
    assert(mix->argc >= 2);
}
