/* The clock of a process: it is ahead by as many seconds as the file AHEAD has bytes. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    const char *path = getenv("AHEAD");
    struct stat ahead;
    if (!failed && path && !stat(path, &ahead))
        now->tv_sec += ahead.st_size;
    return failed;
}
