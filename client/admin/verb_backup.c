/* `backup`: create, verify, restore. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/admin/backup_run.h"

enum { RATE_MAX = 1 << 20, PAUSE_MS_MAX = 5000, MEGA = 1000 * 1000 };

static const struct {
    const char *word;
    enum verb_exit (*run)(struct backup_run *run);
} parts[] = {
    {"create", backup_run_create}, {"verify", backup_run_verify}, {"restore", backup_run_restore}};

/* Where rows are unpacked: a folder beside none of the user's. */
static void choose_scratch(const struct verb_call *call, struct backup_run *run)
{
    const char *folder = verb_option(call, "scratch");
    const char *environment = getenv("TMPDIR");
    if (folder == NULL) {
        folder = environment != NULL && environment[0] != '\0' ? environment : "/tmp";
    }
    (void)snprintf(run->scratch, sizeof(run->scratch), "%s/sherd-backup-%ld", folder,
                   (long)getpid());
}

enum verb_exit verb_run_backup(const struct verb_call *call)
{
    long rate = 0;
    struct backup_run run = {
        .call = call, .resume = verb_option(call, "resume"), .empty = verb_given(call, "empty")};
    if (call->operand_count != 2) {
        fprintf(stderr, "sherd-admin: say what and where: backup create|verify|restore DIR\n");
        return VERB_USAGE;
    }
    if (verb_number(call, "rate", 0, RATE_MAX, &rate) != STATUS_OK ||
        verb_number(call, "pause-max", 1, PAUSE_MS_MAX, &run.pause_ms) != STATUS_OK) {
        return VERB_USAGE;
    }
    run.folder = call->operands[1];
    if (strlen(run.folder) == 0 || strlen(run.folder) >= BACKUP_PATH_SIZE) {
        fprintf(stderr, "sherd-admin: the folder's name is empty or too long\n");
        return VERB_USAGE;
    }
    choose_scratch(call, &run);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strcmp(call->operands[0], parts[i].word) == 0) {
            backup_report_init(&run.report, parts[i].word, verb_given(call, "json"),
                               (uint64_t)rate * MEGA);
            return parts[i].run(&run);
        }
    }
    fprintf(stderr, "sherd-admin: there is no 'backup %s': create, verify, restore\n",
            call->operands[0]);
    return VERB_USAGE;
}
