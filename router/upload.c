#include "router/upload.h"

#include <stdlib.h>

#include "common/base/assert.h"
#include "common/proto/resp.h"
#include "router/fanout.h"

struct upload;

struct piece {
    struct core_request core;
    struct upload *upload;
    bool busy;
    struct slice argv[4];
    uint8_t ref[STAGE_REF_SIZE];
};

struct upload {
    struct core *core;
    struct core_request *whole;
    size_t value_at; /* Index of the argument. */
    struct slice value;
    size_t sent;
    uint64_t id;
    unsigned rounds; /* Begun. */
    bool missing;    /* Pieces are not where they should be. */
    size_t under_way;
    bool looking; /* go_on() is at work: it sees what changes below it. */
    struct buf error;
    struct piece pieces[UPLOAD_PIECES_MAX];
    struct core_request last;
    struct slice *last_argv;
    uint8_t last_ref[STAGE_REF_SIZE];
};

static size_t value_index(enum command_id id)
{
    if (id == CMD_set || id == CMD_setnx || id == CMD_getset) {
        return 2;
    }
    return id == CMD_setex || id == CMD_psetex ? 3 : 0;
}

bool upload_wanted(const struct core_request *request)
{
    size_t at = value_index(request->command->id);
    return at != 0 && at < request->args.argc && request->args.argv[at].len > UPLOAD_SIZE_MIN;
}

static void end(struct upload *upload, struct slice reply)
{
    struct core_request *whole = upload->whole;
    whole->on_done(whole, reply);
    buf_deinit(&upload->error);
    free(upload->last_argv);
    free(upload);
}

static bool is_missing(struct slice reply)
{
    static const char text[] = "-" STAGE_MISSING;
    size_t len = sizeof(text) - 1;
    return reply.len > len && memcmp(reply.data, text, len) == 0;
}

static void begin_round(struct upload *upload)
{
    upload->rounds++;
    upload->missing = false;
    upload->sent = 0;
    upload->id = core_number(upload->core);
    free(upload->last_argv);
    upload->last_argv = NULL;
}

static void go_on(struct upload *upload);

static void on_last(struct core_request *core, struct slice reply)
{
    struct upload *upload = (struct upload *)(void *)((char *)core - offsetof(struct upload, last));
    if (is_missing(reply) && upload->rounds < UPLOAD_ROUNDS_MAX) {
        begin_round(upload);
        go_on(upload);
        return;
    }
    end(upload, reply);
}

static void send_last(struct upload *upload)
{
    const struct core_request *whole = upload->whole;
    size_t argc = whole->args.argc;
    upload->last_argv = calloc(argc + 1, sizeof(*upload->last_argv));
    assert(upload->last_argv != NULL);
    memcpy(upload->last_argv, whole->args.argv, argc * sizeof(*upload->last_argv));
    upload->last_argv[upload->value_at] = slice_of("", 0);
    struct stage_ref ref = {.id = upload->id, .size = upload->value.len};
    stage_ref_encode(&ref, upload->last_ref);
    upload->last_argv[argc] = slice_of(upload->last_ref, sizeof(upload->last_ref));
    upload->last.command = whole->command;
    upload->last.args = (struct args){.argv = upload->last_argv, .argc = argc + 1};
    upload->last.db = whole->db;
    upload->last.flags = REQUEST_STAGED;
    upload->last.on_done = on_last;
    core_execute(upload->core, &upload->last);
}

/* That a piece may or may not have been stored changes nothing that anybody sees. */
static void keep_error(struct upload *upload, struct slice reply)
{
    if (upload->error.len > 0) {
        return;
    }
    if (reply.len > 8 && memcmp(reply.data, "-UNKNOWN", 8) == 0) {
        resp_write_error(&upload->error,
                         "TIMEOUT a piece of the value was not stored in time; "
                         "nothing was changed");
    } else {
        buf_append_slice(&upload->error, reply);
    }
}

static void on_piece(struct core_request *core, struct slice reply)
{
    struct piece *piece = (struct piece *)(void *)core;
    struct upload *upload = piece->upload;
    assert(piece->busy && upload->under_way > 0);
    piece->busy = false;
    upload->under_way--;
    if (is_missing(reply) && upload->rounds < UPLOAD_ROUNDS_MAX) {
        upload->missing = true;
    } else if (fanout_is_error(reply)) {
        keep_error(upload, reply);
    }
    if (!upload->looking) {
        go_on(upload);
    }
}

static void send_piece(struct upload *upload, struct piece *piece)
{
    size_t left = upload->value.len - upload->sent;
    size_t len = left < UPLOAD_PIECE_SIZE ? left : (size_t)UPLOAD_PIECE_SIZE;
    struct stage_ref ref = {.id = upload->id, .size = upload->value.len, .offset = upload->sent};
    stage_ref_encode(&ref, piece->ref);
    piece->argv[0] = slice_str("set");
    piece->argv[1] = upload->whole->args.argv[1];
    piece->argv[2] = slice_of(upload->value.data + upload->sent, len);
    piece->argv[3] = slice_of(piece->ref, sizeof(piece->ref));
    piece->upload = upload;
    piece->busy = true;
    piece->core.command = command_at(CMD_set);
    piece->core.args = (struct args){.argv = piece->argv, .argc = 4};
    piece->core.db = upload->whole->db;
    piece->core.flags = REQUEST_PIECE;
    piece->core.on_done = on_piece;
    upload->sent += len;
    upload->under_way++;
    core_execute(upload->core, &piece->core);
}

static struct piece *free_piece(struct upload *upload)
{
    for (size_t i = 0; i < UPLOAD_PIECES_MAX; i++) {
        if (!upload->pieces[i].busy) {
            return &upload->pieces[i];
        }
    }
    return NULL;
}

static void go_on(struct upload *upload)
{
    upload->looking = true;
    struct piece *piece = NULL;
    while (upload->error.len == 0) {
        if (upload->missing && upload->under_way == 0) {
            begin_round(upload);
        }
        bool more = !upload->missing && upload->sent < upload->value.len;
        piece = more ? free_piece(upload) : NULL;
        if (piece == NULL) {
            break;
        }
        send_piece(upload, piece);
    }
    upload->looking = false;
    if (upload->under_way > 0) {
        return;
    }
    if (upload->error.len > 0) {
        end(upload, buf_slice(&upload->error));
    } else {
        send_last(upload);
    }
}

void upload_execute(struct core *core, struct core_request *request)
{
    assert(upload_wanted(request));
    struct upload *upload = calloc(1, sizeof(*upload));
    assert(upload != NULL);
    upload->core = core;
    upload->whole = request;
    upload->value_at = value_index(request->command->id);
    upload->value = request->args.argv[upload->value_at];
    buf_init(&upload->error, FRAME_BODY_SIZE_MAX);
    begin_round(upload);
    go_on(upload);
}
