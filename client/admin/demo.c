/* `demo`: a local cluster in the foreground. */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client/admin/ask.h"
#include "client/admin/demo_plan.h"
#include "common/base/assert.h"
#include "common/base/clock.h"
#include "common/base/disk.h"
#include "common/base/lockfile.h"

enum {
    READY_MS_MAX = 60 * 1000,
    ASK_MS = 500,
    BACKOFF_MS_MIN = 5,
    BACKOFF_MS_MAX = 50,
    STOP_MS = 5000,
};

struct demo {
    struct demo_plan plan;
    struct lockfile *lock;
    int signal_fd;
    bool stopping; /* Ctrl-C, SIGTERM, SIGHUP. */
    bool hurry;    /* A second one. */
    size_t dead;   /* Children that ended by themselves. */
    uint64_t started_ms;
};

/* Waits until a signal comes or timeout_ms have passed (-1: for ever). */
static void await_signal(struct demo *demo, int timeout_ms)
{
    struct pollfd pollfd = {.fd = demo->signal_fd, .events = POLLIN};
    if (poll(&pollfd, 1, timeout_ms) <= 0) {
        return;
    }
    struct signalfd_siginfo info;
    while (read(demo->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGCHLD) {
            demo->hurry = demo->stopping;
            demo->stopping = true;
        }
    }
}

/* Reaps children that have ended and says so, unless we are stopping them. */
static void reap(struct demo *demo)
{
    for (size_t i = 0; i < demo_plan_members(&demo->plan); i++) {
        struct child *child = &demo->plan.members[i].child;
        pid_t pid = child->pid;
        if (pid == 0 || !child_ended(child)) {
            continue;
        }
        if (demo->stopping) {
            continue;
        }
        demo->dead++;
        char end[128];
        char line[CHILD_LINE_SIZE];
        child_describe_end(child, end, sizeof end);
        child_last_line(child, line, sizeof line);
        fprintf(stderr, "sherd-admin: %s (process %ld) %s\n", child->name, (long)pid, end);
        fprintf(stderr, "  last line of %s: %s\n", child->log_path, line[0] == '\0' ? "-" : line);
    }
}

static size_t running(const struct demo *demo)
{
    size_t count = 0;
    for (size_t i = 0; i < demo_plan_members(&demo->plan); i++) {
        count += demo->plan.members[i].child.pid != 0;
    }
    return count;
}

static void signal_all(const struct demo *demo, int signal_number)
{
    for (size_t i = 0; i < demo_plan_members(&demo->plan); i++) {
        const struct child *child = &demo->plan.members[i].child;
        if (child->pid != 0) {
            child_signal(child, signal_number);
        }
    }
}

/* Ends all children: asks, waits, insists. */
static void stop_all(struct demo *demo)
{
    demo->stopping = true;
    demo->hurry = false;
    signal_all(demo, SIGTERM);
    uint64_t deadline_ms = clock_now_ms() + STOP_MS;
    for (;;) {
        reap(demo);
        uint64_t now_ms = clock_now_ms();
        if (running(demo) == 0 || demo->hurry || now_ms >= deadline_ms) {
            break;
        }
        await_signal(demo, (int)(deadline_ms - now_ms));
    }
    signal_all(demo, SIGKILL);
    while (running(demo) > 0) {
        await_signal(demo, BACKOFF_MS_MAX);
        reap(demo);
    }
}

static bool start_all(struct demo *demo)
{
    struct demo_plan *plan = &demo->plan;
    for (size_t i = 0; i < demo_plan_members(plan); i++) {
        struct demo_words words;
        demo_plan_words(plan, i, &words);
        enum status status = child_start(&plan->members[i].child, words.argv);
        if (status != STATUS_OK) {
            fprintf(stderr, "sherd-admin: cannot start %s: %s\n", words.argv[0], strerror(errno));
        }
        demo_plan_words_free(&words);
        if (status != STATUS_OK) {
            return false;
        }
    }
    return true;
}

/* True if the router says that all nodes are up and all shards have a leader. *status, which the
 * caller frees, is its last answer or NULL. */
static bool ask_router(const struct demo *demo, uint16_t port, struct sherd_reply **status)
{
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    struct sherd *sherd = sherd_open(address, ASK_MS);
    sherd_reply_free(sherd_commandv(sherd, "HELLO", "3", NULL));
    *status = sherd_commandv(sherd, "SHERD", "STATUS", NULL);
    sherd_close(sherd);
    int64_t shards = ask_number(*status, "shards");
    return shards > 0 && ask_number(*status, "shards_led") == shards &&
           ask_number(*status, "nodes_up") >= (int64_t)demo->plan.nodes;
}

static void tell_not_ready(const struct sherd_reply *status)
{
    if (status == NULL || status->type == SHERD_ERROR) {
        fprintf(stderr, "sherd-admin: the router gave no state within %d s: %s\n",
                READY_MS_MAX / 1000, status == NULL ? "no answer" : status->text);
        return;
    }
    fprintf(stderr,
            "sherd-admin: not ready within %d s: %" PRId64 " of %" PRId64
            " shards have a leader, %" PRId64 " of %" PRId64 " nodes are up\n",
            READY_MS_MAX / 1000, ask_number(status, "shards_led"), ask_number(status, "shards"),
            ask_number(status, "nodes_up"), ask_number(status, "nodes"));
}

/* Until every router can serve every key. False: a child died, a signal came, or it took too long;
 * all but the signal have been told. *shards is the number of shards. */
static bool await_ready(struct demo *demo, int64_t *shards)
{
    const struct demo_plan *plan = &demo->plan;
    uint64_t deadline_ms = clock_now_ms() + READY_MS_MAX;
    int backoff_ms = BACKOFF_MS_MIN;
    size_t router = plan->nodes;
    while (router < demo_plan_members(plan)) {
        struct sherd_reply *status = NULL;
        bool ready = ask_router(demo, plan->members[router].port, &status);
        bool late = clock_now_ms() >= deadline_ms;
        if (!ready && late) {
            tell_not_ready(status);
        }
        *shards = ask_number(status, "shards");
        sherd_reply_free(status);
        if (ready) {
            router++;
            continue;
        }
        await_signal(demo, backoff_ms);
        reap(demo);
        if (late || demo->stopping || demo->dead > 0) {
            return false;
        }
        backoff_ms = backoff_ms * 2 < BACKOFF_MS_MAX ? backoff_ms * 2 : BACKOFF_MS_MAX;
    }
    return true;
}

static void append_members(const struct demo_plan *plan, bool routers, struct buf *out)
{
    const char *gap = "";
    for (size_t i = 0; i < demo_plan_members(plan); i++) {
        const struct demo_member *member = &plan->members[i];
        if (member->is_router == routers) {
            buf_append_format(out,
                              "%s{\"name\":\"%s\",\"pid\":%ld,\"address\":\"127.0.0.1:%u\","
                              "\"http\":\"127.0.0.1:%u\"}",
                              gap, member->child.name, (long)member->child.pid, member->port,
                              member->http_port);
            gap = ",";
        }
    }
}

static void write_ready_file(const struct demo *demo)
{
    const struct demo_plan *plan = &demo->plan;
    if (plan->ready_file == NULL) {
        return;
    }
    struct buf out;
    buf_init(&out, 64 * 1024);
    buf_append_format(&out, "{\"endpoint\":\"127.0.0.1:%u\",\"pid\":%ld,\"ready_ms\":%" PRIu64 ",",
                      plan->members[plan->nodes].port, (long)getpid(),
                      clock_now_ms() - demo->started_ms);
    buf_append_text(&out, "\"nodes\":[");
    append_members(plan, false, &out);
    buf_append_text(&out, "],\"routers\":[");
    append_members(plan, true, &out);
    buf_append_text(&out, "]}\n");
    if (disk_replace_file(plan->ready_file, buf_slice(&out)) != STATUS_OK) {
        fprintf(stderr, "sherd-admin: cannot write %s\n", plan->ready_file);
    }
    buf_deinit(&out);
}

static void tell_ready(const struct demo *demo, int64_t shards)
{
    const struct demo_plan *plan = &demo->plan;
    const struct demo_member *router = &plan->members[plan->nodes];
    char connect[64] = "";
    if (router->port != 6379) {
        snprintf(connect, sizeof connect, " --connect 127.0.0.1:%u", router->port);
    }
    printf("Started %zu node%s and %zu router%s, %" PRId64 " shards, in %.2f s (%s)\n\n",
           plan->nodes, plan->nodes == 1 ? "" : "s", plan->routers, plan->routers == 1 ? "" : "s",
           shards, (double)(clock_now_ms() - demo->started_ms) / 1000,
           plan->fresh ? "new cluster" : "with the data that was there");
    for (size_t i = plan->nodes; i < demo_plan_members(plan); i++) {
        printf("  Redis    127.0.0.1:%u\n", plan->members[i].port);
    }
    printf("  Metrics  http://127.0.0.1:%u/metrics\n", router->http_port);
    printf("  Data     %s (logs too)\n\n", plan->dir);
    printf("Try, in another terminal:\n");
    printf("  redis-cli -p %u set user:1 kim\n", router->port);
    printf("  %s%s explain user:1\n", program_invocation_name, connect);
    printf("  kill -9 %ld    # %s: reads and writes go on after a short pause\n\n",
           (long)plan->members[plan->nodes > 1 ? 1 : 0].child.pid,
           plan->nodes > 1 ? "node-2" : "the only node");
    printf("Ctrl-C stops it; the same command starts it again with its data.\n");
    printf("ready 127.0.0.1:%u\n", router->port);
    fflush(stdout);
    write_ready_file(demo);
}

static enum verb_exit lock_folder(struct demo *demo)
{
    char path[CHILD_PATH_SIZE];
    snprintf(path, sizeof path, "%s/lock", demo->plan.dir);
    enum status status = lockfile_open(path, &demo->lock);
    if (status == STATUS_CONFLICT) {
        fprintf(stderr, "sherd-admin: another demo runs in %s; choose another with --dir\n",
                demo->plan.dir);
    } else if (status != STATUS_OK) {
        fprintf(stderr, "sherd-admin: cannot lock %s: %s\n", path, strerror(errno));
    }
    return status == STATUS_OK ? VERB_DONE : VERB_FAILED;
}

static void watch_signals(struct demo *demo)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    int rv = sigprocmask(SIG_BLOCK, &set, NULL);
    assert(rv == 0);
    demo->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    assert(demo->signal_fd >= 0);
}

/* The cluster's whole life, with the folder locked. */
static enum verb_exit run(struct demo *demo)
{
    demo->started_ms = clock_now_ms();
    int64_t shards = 0;
    bool ready = start_all(demo) && await_ready(demo, &shards);
    enum verb_exit code = ready || demo->stopping ? VERB_DONE : VERB_FAILED;
    if (ready) {
        tell_ready(demo, shards);
    }
    while (ready && !demo->stopping && running(demo) > 0) {
        await_signal(demo, -1);
        reap(demo);
    }
    if (ready && !demo->stopping) {
        fprintf(stderr, "sherd-admin: all processes have ended\n");
        code = VERB_FAILED;
    }
    stop_all(demo);
    if (demo->plan.ready_file != NULL) {
        (void)unlink(demo->plan.ready_file);
    }
    return code;
}

enum verb_exit verb_run_demo(const struct verb_call *call)
{
    struct demo *demo = calloc(1, sizeof *demo);
    assert(demo != NULL);
    enum verb_exit code = demo_plan_make(call, &demo->plan);
    if (code == VERB_DONE) {
        code = lock_folder(demo);
    }
    if (code == VERB_DONE) {
        code = demo_plan_take_ports(call, &demo->plan);
    }
    if (code == VERB_DONE) {
        watch_signals(demo);
        code = run(demo);
        close(demo->signal_fd);
    }
    if (demo->lock != NULL) {
        lockfile_close(demo->lock);
    }
    free(demo);
    return code;
}
