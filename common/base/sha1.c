#include "common/base/sha1.h"

enum { BLOCK_SIZE = 64, LENGTH_SIZE = 8 };

static uint32_t rotated(uint32_t value, unsigned bits)
{
    return value << bits | value >> (32 - bits);
}

static void mix_block(uint32_t state[5], const uint8_t *block)
{
    uint32_t words[80];
    for (size_t i = 0; i < 16; i++) {
        const uint8_t *at = block + 4 * i;
        words[i] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
    for (size_t i = 16; i < 80; i++) {
        words[i] = rotated(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (size_t i = 0; i < 80; i++) {
        uint32_t f = b ^ c ^ d;
        uint32_t k = i < 40 ? 0x6ed9eba1 : 0xca62c1d6;
        if (i < 20) {
            f = (b & c) | (~b & d);
            k = 0x5a827999;
        } else if (i >= 40 && i < 60) {
            f = (b & c) | (b & d) | (c & d);
            k = 0x8f1bbcdc;
        }
        uint32_t next = rotated(a, 5) + f + e + k + words[i];
        e = d;
        d = c;
        c = rotated(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void sha1_bytes(struct slice bytes, uint8_t out[SHA1_SIZE])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    size_t whole = bytes.len / BLOCK_SIZE * BLOCK_SIZE;
    for (size_t at = 0; at < whole; at += BLOCK_SIZE) {
        mix_block(state, bytes.data + at);
    }
    uint8_t tail[2 * BLOCK_SIZE] = {0};
    size_t rest = bytes.len - whole;
    if (rest > 0) {
        memcpy(tail, bytes.data + whole, rest);
    }
    tail[rest] = 0x80;
    size_t size = rest + 1 + LENGTH_SIZE <= BLOCK_SIZE ? BLOCK_SIZE : 2 * BLOCK_SIZE;
    uint64_t bits = (uint64_t)bytes.len * 8;
    for (size_t i = 0; i < LENGTH_SIZE; i++) {
        tail[size - 1 - i] = (uint8_t)(bits >> (8 * i));
    }
    for (size_t at = 0; at < size; at += BLOCK_SIZE) {
        mix_block(state, tail + at);
    }
    for (size_t i = 0; i < SHA1_SIZE; i++) {
        out[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
    }
}

void sha1_hex(struct slice bytes, char out[SHA1_HEX_SIZE + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t sum[SHA1_SIZE];
    sha1_bytes(bytes, sum);
    for (size_t i = 0; i < SHA1_SIZE; i++) {
        out[2 * i] = digits[sum[i] >> 4];
        out[2 * i + 1] = digits[sum[i] & 15];
    }
    out[SHA1_HEX_SIZE] = '\0';
}

static int digit_of(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

bool sha1_parse(struct slice hex, uint8_t out[SHA1_SIZE])
{
    if (hex.len != SHA1_HEX_SIZE) {
        return false;
    }
    for (size_t i = 0; i < SHA1_SIZE; i++) {
        int high = digit_of(hex.data[2 * i]);
        int low = digit_of(hex.data[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
