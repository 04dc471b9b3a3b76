"""Values in the forms of Redis' dumps that redis-server 7 reads but does not write any more, made
from the descriptions in its sources: ziplists and zipmaps, old types. And the footer of a payload."""

import struct

STRING, LIST, SET, ZSET, HASH, ZSET_2 = range(6)
HASH_ZIPMAP, LIST_ZIPLIST, SET_INTSET, ZSET_ZIPLIST, HASH_ZIPLIST, LIST_QUICKLIST = range(9, 15)


def table():
    rows = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x95AC9329AC4BC9B5 if crc & 1 else crc >> 1
        rows.append(crc)
    return rows


TABLE = table()


def crc64(data):
    crc = 0
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


def seal(value, version=10):
    value += struct.pack("<H", version)
    return value + struct.pack("<Q", crc64(value))


def length(n):
    if n < 64:
        return bytes([n])
    if n < 16384:
        return bytes([0x40 | n >> 8, n & 0xFF])
    return b"\x80" + struct.pack(">I", n)


def string(data):
    return length(len(data)) + data


def integer(data):
    """The number that Redis would hold in place of a text, or None."""
    try:
        number = int(data)
    except ValueError:
        return None
    same = str(number).encode() == data
    return number if same and -(1 << 63) <= number < 1 << 63 else None


def ziplist_entry(data, before):
    out = bytes([before]) if before < 254 else b"\xfe" + struct.pack("<I", before)
    number = integer(data)
    if number is None:
        if len(data) < 64:
            return out + bytes([len(data)]) + data
        if len(data) < 16384:
            return out + bytes([0x40 | len(data) >> 8, len(data) & 0xFF]) + data
        return out + b"\x80" + struct.pack(">I", len(data)) + data
    if 0 <= number <= 12:
        return out + bytes([0xF1 + number])
    for code, size in ((0xFE, 1), (0xC0, 2), (0xF0, 3), (0xD0, 4), (0xE0, 8)):
        if -(1 << 8 * size - 1) <= number < 1 << 8 * size - 1:
            return out + bytes([code]) + number.to_bytes(size, "little", signed=True)
    raise AssertionError(number)


def ziplist(elements):
    body, tail, before = b"", 10, 0
    for data in elements:
        entry = ziplist_entry(data, before)
        tail, before = 10 + len(body), len(entry)
        body += entry
    size = 10 + len(body) + 1
    return struct.pack("<IIH", size, tail, min(len(elements), 65535)) + body + b"\xff"


def zipmap_length(n):
    return bytes([n]) if n < 254 else b"\xfe" + struct.pack("<I", n)


def zipmap(pairs, rng):
    out = bytes([min(len(pairs), 254)])
    for field, value in pairs:
        unused = rng.randrange(5)
        out += zipmap_length(len(field)) + field
        out += zipmap_length(len(value)) + bytes([unused]) + value + bytes(unused)
    return out + b"\xff"


def old_score(score):
    if score in (float("inf"), float("-inf")):
        return b"\xfe" if score > 0 else b"\xff"
    text = repr(score).encode()
    return bytes([len(text)]) + text
