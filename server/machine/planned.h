#ifndef SERVER_MACHINE_PLANNED_H
#define SERVER_MACHINE_PLANNED_H

#include "server/machine/handlers.h"

/* A planned command, as it stands in the log, little endian:
 *   u8 format (1) | u8 db | u16 code | u32 keys | u32 arguments | arguments * (u32 length, bytes)
 * The keys are the first arguments. Logs outlive the program that wrote them: formats are added,
 * never changed. Pure. */

enum { PLANNED_FORMAT = 1, PLANNED_SIZE_MIN = 12 };

struct planned {
    const struct command *command;
    uint8_t db;
    size_t key_count;
    size_t arg_count;
    struct slice rest; /* The arguments. */
};

/* CORRUPT unless bytes is exactly one well-formed planned write command. */
MUST_USE enum status planned_decode(struct slice bytes, struct planned *planned);
/* True if bytes begin as a planned command of that kind does. */
bool planned_is(struct slice bytes, enum command_id id);
/* argv has planned->arg_count entries, which borrow from the bytes. */
void planned_args(const struct planned *planned, struct slice *argv);
/* The last argument; there is one. */
struct slice planned_last(const struct planned *planned);

/* The command in the log is id, which may be a more general one than the user named. */
void planned_begin(
    struct plan *plan, enum command_id id, uint8_t db, size_t key_count, size_t arg_count);
void planned_bytes(struct plan *plan, struct slice bytes);
void planned_u64(struct plan *plan, uint64_t value);
/* The error reply; returns BAD_ARGUMENT. */
MUST_USE enum status planned_refuse(struct plan *plan, const char *text);

/* A number written by planned_u64(); 0 if it is none. */
uint64_t planned_number(struct slice arg);

#endif
