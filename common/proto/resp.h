#ifndef COMMON_PROTO_RESP_H
#define COMMON_PROTO_RESP_H

#include "common/base/buf.h"
#include "common/base/status.h"
#include "common/proto/command.h"

/* RESP2 and RESP3: requests in, replies out and, for clients and merging, replies in. Knows bytes,
 * not sockets. Pure. Thread: one owner. */

enum {
    RESP_ARGC_MAX = 1024 * 1024,      /* Redis' own bound on multibulk counts. */
    RESP_INLINE_SIZE_MAX = 64 * 1024, /* Also of a length line. */
    RESP_DEPTH_MAX = 32,              /* Nesting of replies that are read. */
};

/* Requests. A parser remembers how far it came, so that a request which trickles in is looked at
 * once; it borrows from the input, which may be moved between calls but must begin with the same
 * request until that is whole. */
struct resp_parser {
    size_t bulk_size_max; /* Configuration proto-max-bulk-len. */
    size_t argc_max;      /* Small before AUTH, RESP_ARGC_MAX after. */
    size_t at;            /* Parsed so far. */
    size_t argc_want;     /* 0: the header is not parsed yet. */
    size_t argc;
    size_t argv_size;
    struct slice *argv; /* Owned. While a request is incomplete: data holds offsets. */
    uint8_t *text;      /* Owned. Unquoted words of an inline request. */
    size_t text_size;
    const char *error;   /* After PROTOCOL or TOO_BIG: Redis' text, "Protocol error: ...". */
    char error_text[48]; /* For the one error that quotes a byte. */
};

void resp_parser_init(struct resp_parser *parser, size_t bulk_size_max);
void resp_parser_deinit(struct resp_parser *parser);

/* Parses one request (array of bulk strings, or an inline line with quotes as in Redis) at the
 * start of input. OK:       *args borrows from input and parser until the next call; *size_used
 * bytes were used. An empty request ("*0", an empty line) gives argc 0: skip it. AGAIN:    input
 * holds a proper beginning; call again with more. *size_used: how many bytes the request needs in
 * all as far as known (at least input.len + 1), to size a buffer. PROTOCOL, TOO_BIG: the connection
 * cannot be resynchronised; answer parser->error, close. */
MUST_USE enum status resp_parse(struct resp_parser *parser,
                                struct slice input,
                                struct args *args,
                                size_t *size_used);

/* Replies in the machine's form: RESP3, but a null array is "*-1". */
void resp_write_ok(struct buf *out);
void resp_write_simple(struct buf *out, const char *text);
/* text with its code, without '-': "ERR ...", "WRONGTYPE ...". CR and LF become spaces. */
void resp_write_error(struct buf *out, const char *text);
void resp_write_errorf(struct buf *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void resp_write_null(struct buf *out);
void resp_write_null_array(struct buf *out);
void resp_write_int(struct buf *out, int64_t value);
void resp_write_bool(struct buf *out, bool value);
void resp_write_double(struct buf *out, double value); /* ",..."; inf, -inf, nan; shortest %.17g */
void resp_write_bulk(struct buf *out, struct slice bytes);
void resp_write_text(struct buf *out, const char *text);      /* A bulk string. */
void resp_write_verbatim(struct buf *out, struct slice text); /* "=...txt:" */
void resp_write_array(struct buf *out, size_t count);
void resp_write_map(struct buf *out, size_t pairs);
void resp_write_set(struct buf *out, size_t count);
void resp_write_push(struct buf *out, size_t count);
/* So many pairs, each begun by resp_write_pair(): arrays of two in an array for RESP3, one flat
 * array for RESP2. Only in the machine's form, as types '^' and '&'. */
void resp_write_pairs(struct buf *out, size_t count);
void resp_write_pair(struct buf *out);
/* Before a key that is followed by its value. */
void resp_write_entry(struct buf *out);
/* Puts a header before what was appended from offset at on, now that the count is known. Entries
 * are a map for RESP3, an array of arrays of two for RESP2; only in the machine's form, as types
 * '<' and ';'. */
void resp_insert_array(struct buf *out, size_t at, size_t count);
void resp_insert_entries(struct buf *out, size_t at, size_t count);
/* Makes what was appended from offset at on a bulk string. */
void resp_close_bulk(struct buf *out, size_t at);

/* Requests as clients send them. */
void resp_write_request(struct buf *out, struct args args);

/* Appends a reply in the machine's form as the protocol (2 or 3) of a client has it: for 2, maps
 * are flat arrays, sets and pushes arrays, doubles and verbatims bulk strings, booleans integers,
 * null
 * "$-1"; for 3, "*-1" becomes "_". The reply is one whole value that we wrote. */
void resp_convert(struct slice reply, int protocol, struct buf *out);

/* One value at the start of input, of either protocol. OK: *size is its length in bytes. AGAIN,
 * PROTOCOL, TOO_BIG (longer than size_max, deeper than RESP_DEPTH_MAX). */
MUST_USE enum status resp_value_size(struct slice input, size_t size_max, size_t *size);

/* Takes a value apart. */
struct resp_value {
    uint8_t type; /* The byte it begins with. */
    bool null;
    int64_t number;     /* ':' and '#': value; aggregates: elements (a map's pairs count twice). */
    struct slice bytes; /* '+', '-', '$', ',', '=', '(': the text. */
    size_t size_used;   /* Header and text; the elements of an aggregate follow. */
};
MUST_USE enum status resp_value_read(struct slice input, struct resp_value *value);

#endif
