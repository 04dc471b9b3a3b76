/* `import`: keys of a Redis, from its RDB file or from itself. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/admin/import_run.h"
#include "common/base/clock.h"

enum { SAVE_MS = 1000 };

enum verb_exit import_run_load(struct import_run *run, const char *source)
{
    struct import_place *place = &run->place;
    enum status status =
        run->resume == NULL ? STATUS_NOT_FOUND : import_resume_load(run->resume, place);
    if (status == STATUS_BAD_ARGUMENT) {
        import_report_say(&run->report, "%s is no file of an import; choose another with --resume",
                          run->resume);
        return VERB_USAGE;
    }
    if (status == STATUS_OK && strcmp(place->source, source) != 0) {
        import_report_say(&run->report,
                          "%s is of another import (%s): remove it, or choose another file",
                          run->resume, place->source);
        return VERB_USAGE;
    }
    if (status == STATUS_OK && place->finished) {
        import_report_say(&run->report,
                          "this import is done, %s says; remove that file to repeat it",
                          run->resume);
    } else if (status == STATUS_OK) {
        import_report_say(&run->report, "going on where it was interrupted");
    } else {
        *place = (struct import_place){0};
        snprintf(place->source, sizeof(place->source), "%s", source);
    }
    return VERB_DONE;
}

enum verb_exit import_run_save(struct import_run *run)
{
    if (import_target_drain(&run->target) != STATUS_OK) {
        return VERB_CANNOT_CONNECT;
    }
    run->saved_ms = clock_now_ms();
    run->place.done = run->report.done;
    if (run->resume != NULL && import_resume_save(run->resume, &run->place) != STATUS_OK) {
        import_report_say(&run->report, "cannot write %s: %s", run->resume, strerror(errno));
        return VERB_FAILED;
    }
    return VERB_DONE;
}

bool import_run_due(const struct import_run *run)
{
    return clock_now_ms() - run->saved_ms >= SAVE_MS;
}

bool import_run_stopped(struct import_run *run)
{
    sigset_t pending;
    if (!run->report.interrupted && sigpending(&pending) == 0 &&
        (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1)) {
        run->report.interrupted = true;
    }
    return run->report.interrupted;
}

/* From here on they only make the import end in good order. */
static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

static const char *address_of(const struct verb_call *call)
{
    const char *environment = getenv("SHERD_CONNECT");
    bool named = verb_given(call, "connect") || environment == NULL || environment[0] == '\0';
    return named ? verb_option(call, "connect") : environment;
}

static enum verb_exit run_import(struct import_run *run)
{
    block_signals();
    enum verb_exit code = run->dry_run ? VERB_DONE : import_target_open(&run->target);
    if (code != VERB_DONE) {
        return code;
    }
    code = run->plan.from_server ? import_run_server(run) : import_run_file(run);
    if (run->report.interrupted && run->resume != NULL) {
        import_report_say(&run->report, "interrupted; the same command goes on from here");
    }
    return run->dry_run && code == VERB_DONE ? code : import_report_end(&run->report, code);
}

enum verb_exit verb_run_import(const struct verb_call *call)
{
    char error[IMPORT_WORD_SIZE];
    long timeout_ms = 0;
    struct import_run run = {.resume = verb_option(call, "resume"),
                             .dry_run = verb_given(call, "dry-run")};
    if (verb_option(call, "from") == NULL) {
        fprintf(stderr, "sherd-admin: say where from: --from dump.rdb or --from redis://HOST\n");
        return VERB_USAGE;
    }
    if (import_plan_parse(verb_option(call, "from"), verb_option(call, "db-map"), &run.plan,
                          error) != STATUS_OK) {
        fprintf(stderr, "sherd-admin: %s\n", error);
        return VERB_USAGE;
    }
    if (verb_number(call, "timeout", 1, 3600 * 1000, &timeout_ms) != STATUS_OK) {
        return VERB_USAGE;
    }
    run.timeout_ms = (int)timeout_ms;
    import_report_init(&run.report, verb_given(call, "json"));
    /* A walk over the keys of a server may show one of them twice. */
    bool replace = verb_given(call, "replace") || run.plan.from_server;
    import_target_init(&run.target, address_of(call), run.timeout_ms, replace, &run.report);
    enum verb_exit code = run_import(&run);
    import_target_deinit(&run.target);
    import_report_deinit(&run.report);
    return code;
}
