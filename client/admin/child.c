#include "client/admin/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/assert.h"

/* In the new process: never returns. Reports a failure through error_fd, which an exec closes. */
__attribute__((noreturn)) static void become(const char *const *argv,
                                             const char *log_path,
                                             pid_t parent,
                                             int error_fd)
{
    sigset_t none;
    sigemptyset(&none);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    bool fine = null_fd >= 0 && log_fd >= 0 && dup2(null_fd, STDIN_FILENO) >= 0 &&
                dup2(log_fd, STDOUT_FILENO) >= 0 && dup2(log_fd, STDERR_FILENO) >= 0 &&
                setpgid(0, 0) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
                sigprocmask(SIG_SETMASK, &none, NULL) == 0;
    if (getppid() != parent) {
        _exit(1); /* The parent died before the kernel knew that it matters. */
    }
    if (fine) {
        /* exec changes nothing that argv points to; its type is older than const. */
        execv(argv[0], (char *const *)(uintptr_t)argv);
    }
    int error = errno;
    ssize_t n = write(error_fd, &error, sizeof error);
    _exit(n == (ssize_t)sizeof error ? 127 : 126);
}

enum status child_start(struct child *child, const char *const *argv)
{
    assert(child->pid == 0);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return STATUS_IO;
    }
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        become(argv, child->log_path, parent, ends[1]);
    }
    int error = pid < 0 ? errno : 0;
    close(ends[1]);
    if (pid > 0) {
        ssize_t n = read(ends[0], &error, sizeof error);
        assert(n == 0 || n == (ssize_t)sizeof error);
    }
    close(ends[0]);
    if (error != 0) {
        if (pid > 0) {
            (void)waitpid(pid, NULL, 0);
        }
        errno = error;
        return STATUS_IO;
    }
    child->pid = pid;
    return STATUS_OK;
}

bool child_ended(struct child *child)
{
    assert(child->pid > 0);
    pid_t pid = waitpid(child->pid, &child->wait_status, WNOHANG);
    if (pid != child->pid) {
        return false;
    }
    child->pid = 0;
    return true;
}

void child_signal(const struct child *child, int signal_number)
{
    assert(child->pid > 0);
    (void)kill(child->pid, signal_number);
}

void child_describe_end(const struct child *child, char *text, size_t size)
{
    assert(child->pid == 0);
    if (WIFSIGNALED(child->wait_status)) {
        snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(child->wait_status),
                 strsignal(WTERMSIG(child->wait_status)));
    } else {
        snprintf(text, size, "ended with exit code %d", WEXITSTATUS(child->wait_status));
    }
}

void child_last_line(const struct child *child, char *text, size_t size)
{
    assert(size > 1);
    text[0] = '\0';
    int fd = open(child->log_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    char tail[2048];
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end > (off_t)sizeof tail ? end - (off_t)sizeof tail : 0;
    ssize_t len = pread(fd, tail, sizeof tail, from);
    close(fd);
    while (len > 0 && (tail[len - 1] == '\n' || tail[len - 1] == ' ')) {
        len--;
    }
    ssize_t start = len;
    while (start > 0 && tail[start - 1] != '\n') {
        start--;
    }
    if (len > start) {
        snprintf(text, size, "%.*s", (int)(len - start), tail + start);
    }
}
