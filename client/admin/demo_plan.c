#include "client/admin/demo_plan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/disk.h"
#include "common/base/rand.h"

enum { PORT_MIN = 20000, PORT_MAX = 32000, PORT_TRIES_MAX = 1000 };
enum { PORTS_SIZE_MAX = 64 * 1024, SHARDS_MAX = 65536, LOOPS_MAX = 64, REPLICAS_MAX = 7 };

static enum verb_exit usage(const char *text)
{
    fprintf(stderr, "sherd-admin: %s\n", text);
    return VERB_USAGE;
}

/* A socket that listens on the port of 127.0.0.1. -1: errno says why not. */
static int bind_port(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int one = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int rv = getsockname(fd, (struct sockaddr *)&address, &size);
    assert(rv == 0);
    return ntohs(address.sin_port);
}

/* number counts from 1 among the members of its kind. */
static void set_name(struct child *child, const char *dir, const char *kind, size_t number)
{
    snprintf(child->name, sizeof child->name, "%s-%zu", kind, number);
    snprintf(child->log_path, sizeof child->log_path, "%s/%s-%zu.log", dir, kind, number);
}

/* A free port below those that the kernel gives to outgoing connections: who connects again and
 * again to a dead node's port inside that range would at last be connected to itself. */
static int bind_any_port(void)
{
    int fd = -1;
    for (int tries = 0; fd < 0 && tries < PORT_TRIES_MAX; tries++) {
        uint64_t random = 0;
        rand_os(&random, sizeof random);
        fd = bind_port((uint16_t)(PORT_MIN + random % (PORT_MAX - PORT_MIN)));
    }
    return fd;
}

/* One line of DIR/ports into the member of that name; lines of others are skipped. */
static void read_ports_line(struct demo_plan *plan, const char *line)
{
    char name[CHILD_NAME_SIZE];
    unsigned port = 0;
    unsigned http_port = 0;
    if (sscanf(line, "%31s %u %u", name, &port, &http_port) != 3 || port > UINT16_MAX ||
        http_port > UINT16_MAX) {
        return;
    }
    for (size_t i = 0; i < demo_plan_members(plan); i++) {
        if (strcmp(plan->members[i].child.name, name) == 0) {
            plan->members[i].port = (uint16_t)port;
            plan->members[i].http_port = (uint16_t)http_port;
        }
    }
}

static void read_ports(struct demo_plan *plan)
{
    char path[CHILD_PATH_SIZE];
    snprintf(path, sizeof path, "%s/ports", plan->dir);
    struct buf text;
    buf_init(&text, PORTS_SIZE_MAX);
    if (disk_exists(path) && disk_read_file(path, &text) == STATUS_OK && text.len > 0) {
        buf_append_u8(&text, 0);
        char *rest = (char *)text.data;
        for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
            read_ports_line(plan, line);
        }
    }
    buf_deinit(&text);
}

static bool write_ports(const struct demo_plan *plan)
{
    struct buf text;
    buf_init(&text, PORTS_SIZE_MAX);
    for (size_t i = 0; i < demo_plan_members(plan); i++) {
        const struct demo_member *member = &plan->members[i];
        buf_append_format(&text, "%s %u %u\n", member->child.name, member->port, member->http_port);
    }
    char path[CHILD_PATH_SIZE];
    snprintf(path, sizeof path, "%s/ports", plan->dir);
    bool written = disk_replace_file(path, buf_slice(&text)) == STATUS_OK;
    buf_deinit(&text);
    return written;
}

static bool node_has_data(const struct demo_plan *plan, size_t number)
{
    char path[CHILD_PATH_SIZE];
    snprintf(path, sizeof path, "%s/node-%zu/identity", plan->dir, number);
    return disk_exists(path);
}

/* How many nodes the folder already has: node-1 to node-N. */
static size_t nodes_with_data(const struct demo_plan *plan)
{
    size_t nodes = 0;
    while (nodes < DEMO_NODES_MAX && node_has_data(plan, nodes + 1)) {
        nodes++;
    }
    return nodes;
}

/* Beside our own executable, or --bin. */
static enum verb_exit find_programs(const struct verb_call *call, struct demo_plan *plan)
{
    const char *bin = verb_option(call, "bin");
    if (bin != NULL) {
        snprintf(plan->bin, sizeof plan->bin, "%s", bin);
    } else {
        ssize_t len = readlink("/proc/self/exe", plan->bin, sizeof plan->bin - 1);
        plan->bin[len < 0 ? 0 : len] = '\0';
        char *slash = strrchr(plan->bin, '/');
        *(slash == NULL ? plan->bin : slash) = '\0';
    }
    static const char *const programs[] = {"sherd-node", "sherd-router"};
    for (size_t i = 0; i < 2; i++) {
        char path[CHILD_PATH_SIZE];
        snprintf(path, sizeof path, "%s/%s", plan->bin, programs[i]);
        if (access(path, X_OK) != 0) {
            fprintf(stderr, "sherd-admin: cannot run %s: %s; build it, or say where with --bin\n",
                    path, strerror(errno));
            return VERB_FAILED;
        }
    }
    return VERB_DONE;
}

static enum verb_exit make_folder(const struct verb_call *call, struct demo_plan *plan)
{
    const char *dir = verb_option(call, "dir");
    bool made = mkdir(dir, 0755) == 0 || errno == EEXIST;
    char *full = made ? realpath(dir, NULL) : NULL;
    if (full != NULL && strlen(full) >= sizeof plan->dir - 64) {
        errno = ENAMETOOLONG;
        free(full);
        full = NULL;
    }
    struct stat info;
    if (full != NULL && stat(full, &info) == 0 && !S_ISDIR(info.st_mode)) {
        errno = ENOTDIR;
        free(full);
        full = NULL;
    }
    if (full == NULL || access(full, W_OK) != 0) {
        fprintf(stderr, "sherd-admin: cannot use the folder '%s': %s; choose another with --dir\n",
                dir, strerror(errno));
        free(full);
        return VERB_FAILED;
    }
    snprintf(plan->dir, sizeof plan->dir, "%s", full);
    free(full);
    return VERB_DONE;
}

struct numbers {
    long nodes, routers, shards, replicas, loops, port;
};

static enum verb_exit read_numbers(const struct verb_call *call, struct numbers *n)
{
    bool fine = verb_number(call, "nodes", 1, DEMO_NODES_MAX, &n->nodes) == STATUS_OK &&
                verb_number(call, "routers", 1, DEMO_ROUTERS_MAX, &n->routers) == STATUS_OK &&
                verb_number(call, "port", 0, UINT16_MAX, &n->port) == STATUS_OK &&
                verb_number(call, "shards", 1, SHARDS_MAX, &n->shards) == STATUS_OK &&
                verb_number(call, "replicas", 1, REPLICAS_MAX, &n->replicas) == STATUS_OK;
    n->loops = 0;
    if (fine && verb_given(call, "loops")) {
        fine = verb_number(call, "loops", 1, LOOPS_MAX, &n->loops) == STATUS_OK;
    }
    if (!fine) {
        return VERB_USAGE;
    }
    if (n->shards & (n->shards - 1)) {
        return usage("--shards must be a power of two, such as 32");
    }
    if (n->port > 0 && n->port + n->routers - 1 > UINT16_MAX) {
        return usage("--port leaves no room for so many routers");
    }
    return VERB_DONE;
}

/* Copies come in odd numbers, and there are no more of them than nodes. */
static enum verb_exit choose_replicas(const struct verb_call *call,
                                      const struct numbers *n,
                                      struct demo_plan *plan)
{
    long replicas = n->replicas;
    if (!verb_given(call, "replicas")) {
        replicas = replicas > (long)plan->nodes ? (long)plan->nodes : replicas;
        replicas -= replicas % 2 == 0;
    }
    if (replicas > (long)plan->nodes) {
        return usage("--replicas must not be more than --nodes");
    }
    if (replicas % 2 == 0) {
        return usage("--replicas must be odd: two copies are no safer than one");
    }
    plan->replicas = (unsigned)replicas;
    return VERB_DONE;
}

enum verb_exit demo_plan_make(const struct verb_call *call, struct demo_plan *plan)
{
    *plan = (struct demo_plan){.ready_file = verb_option(call, "ready-file")};
    struct numbers n;
    enum verb_exit code = read_numbers(call, &n);
    if (code == VERB_DONE) {
        code = find_programs(call, plan);
    }
    if (code == VERB_DONE) {
        code = make_folder(call, plan);
    }
    if (code != VERB_DONE) {
        return code;
    }
    size_t existing = nodes_with_data(plan);
    plan->fresh = existing == 0;
    if (verb_given(call, "nodes") && (size_t)n.nodes < existing) {
        fprintf(stderr,
                "sherd-admin: %s holds a cluster of %zu nodes; leave --nodes out, or choose an "
                "empty folder with --dir\n",
                plan->dir, existing);
        return VERB_USAGE;
    }
    bool as_before = existing > 0 && !verb_given(call, "nodes");
    plan->nodes = as_before ? existing : (size_t)n.nodes;
    plan->routers = (size_t)n.routers;
    plan->shards = (unsigned)n.shards;
    code = choose_replicas(call, &n, plan);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    plan->loops = (unsigned)n.loops;
    if (plan->loops == 0 && cores < (long)demo_plan_members(plan)) {
        plan->loops = 1;
    }
    for (size_t i = 0; i < demo_plan_members(plan); i++) {
        struct demo_member *member = &plan->members[i];
        member->is_router = i >= plan->nodes;
        set_name(&member->child, plan->dir, member->is_router ? "router" : "node",
                 member->is_router ? i - plan->nodes + 1 : i + 1);
    }
    return code;
}

/* Binds *port if it is known and free, else any. -1: there is none. */
static int take_port(uint16_t *port)
{
    int fd = *port == 0 ? -1 : bind_port(*port);
    if (fd < 0) {
        fd = bind_any_port();
    }
    if (fd >= 0) {
        *port = port_of(fd);
    }
    return fd;
}

static int take_router_port(uint16_t *port, uint16_t wanted)
{
    int fd = wanted == 0 ? bind_any_port() : bind_port(wanted);
    if (fd < 0) {
        fprintf(stderr,
                "sherd-admin: port %u on 127.0.0.1 cannot be used: %s; choose another with "
                "--port\n",
                wanted, strerror(errno));
        return -1;
    }
    *port = port_of(fd);
    return fd;
}

enum verb_exit demo_plan_take_ports(const struct verb_call *call, struct demo_plan *plan)
{
    long first = 0;
    enum status status = verb_number(call, "port", 0, UINT16_MAX, &first);
    assert(status == STATUS_OK);
    read_ports(plan);
    /* All sockets stay bound until every port is chosen, so that none is chosen twice. */
    int fds[2 * DEMO_MEMBERS_MAX];
    size_t taken = 0;
    bool fine = true;
    for (size_t i = demo_plan_members(plan); i > 0 && fine; i--) {
        struct demo_member *member = &plan->members[i - 1];
        uint16_t wanted = first == 0 ? 0 : (uint16_t)((size_t)first + i - 1 - plan->nodes);
        int fd =
            member->is_router ? take_router_port(&member->port, wanted) : take_port(&member->port);
        int http_fd = fd < 0 ? -1 : take_port(&member->http_port);
        fine = fd >= 0 && http_fd >= 0;
        if (fd >= 0) {
            fds[taken++] = fd;
        }
        if (http_fd >= 0) {
            fds[taken++] = http_fd;
        }
    }
    for (size_t i = 0; i < taken; i++) {
        close(fds[i]);
    }
    if (fine && !write_ports(plan)) {
        fprintf(stderr, "sherd-admin: cannot write %s/ports\n", plan->dir);
        fine = false;
    }
    return fine ? VERB_DONE : VERB_FAILED;
}

static void add_word(struct demo_words *words, const char *text)
{
    assert(words->argc < DEMO_WORDS_MAX - 1);
    words->argc++;
    buf_append(&words->text, text, strlen(text) + 1);
}

static void add_number(struct demo_words *words, const char *name, unsigned number)
{
    char text[16];
    snprintf(text, sizeof text, "%u", number);
    add_word(words, name);
    add_word(words, text);
}

static void add_address(struct demo_words *words, const char *name, uint16_t port)
{
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    add_word(words, name);
    add_word(words, text);
}

static void add_nodes(struct demo_words *words, const struct demo_plan *plan)
{
    char text[DEMO_NODES_MAX * 24] = "";
    size_t at = 0;
    for (size_t i = 0; i < plan->nodes; i++) {
        int n = snprintf(text + at, sizeof text - at, "%s127.0.0.1:%u", at == 0 ? "" : ",",
                         plan->members[i].port);
        at += (size_t)n;
        assert(at < sizeof text);
    }
    add_word(words, text);
}

/* The first node makes the cluster; it and the others are told so at every start until they have
 * an identity on disk. */
static void add_role(struct demo_words *words, const struct demo_plan *plan, size_t index)
{
    if (plan->members[index].is_router) {
        add_word(words, "--nodes");
        add_nodes(words, plan);
    } else if (index > 0) {
        add_address(words, "--join", plan->members[0].port);
    } else if (!node_has_data(plan, 1)) {
        add_word(words, "--bootstrap");
        add_number(words, "--shards", plan->shards);
        add_number(words, "--replicas", plan->replicas);
    }
}

void demo_plan_words(const struct demo_plan *plan, size_t index, struct demo_words *words)
{
    const struct demo_member *member = &plan->members[index];
    words->argc = 0;
    buf_init(&words->text, 64 * 1024);
    char path[2 * CHILD_PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", plan->bin,
             member->is_router ? "sherd-router" : "sherd-node");
    add_word(words, path);
    snprintf(path, sizeof path, "%s/%s", plan->dir, member->child.name);
    add_word(words, "--data");
    add_word(words, path);
    add_address(words, "--listen", member->port);
    add_address(words, "--http", member->http_port);
    if (plan->loops > 0) {
        add_number(words, "--loops", plan->loops);
    }
    add_role(words, plan, index);
    const char *word = (const char *)words->text.data;
    for (size_t i = 0; i < words->argc; i++) {
        words->argv[i] = word;
        word += strlen(word) + 1;
    }
    words->argv[words->argc] = NULL;
}

void demo_plan_words_free(struct demo_words *words)
{
    buf_deinit(&words->text);
}
