#ifndef SERVER_MACHINE_TAKE_H
#define SERVER_MACHINE_TAKE_H

#include "server/machine/sequence.h"

/* Taking elements off lists, with reply and events: what the commands that pop and move share.
 * Pure. */

/* The part that two indexes mean, negative ones from the end; false: nothing. */
bool take_clip(int64_t start, int64_t stop, uint64_t size, uint64_t *index, uint64_t *count);

/* Pops up to count elements off a list that has some and stores it; replies with an array of them,
 * or, alone, with the one. No reply grows over TAKE_SIZE_MAX much: then it is fewer elements. */
enum { TAKE_SIZE_MAX = 256 * 1024 * 1024 };
MUST_USE enum status take_pop(
    struct sequence *list, struct slice key, enum sequence_end end, uint64_t count, bool alone);

/* "del" too, if the list is empty. */
void take_note(struct sequence *list, const char *event, struct slice key);

/* LEFT or RIGHT. */
bool take_end(struct slice word, enum sequence_end *end);

#endif
