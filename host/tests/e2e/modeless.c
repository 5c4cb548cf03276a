/* A file system without permission bits: every entry has the mode of a FAT that root mounts without options. */
#define _GNU_SOURCE
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int statx(int directory, const char *path, int flags, unsigned wanted, struct statx *found) {
    int failed = syscall(SYS_statx, directory, path, flags, wanted, found);
    if (!failed)
        found->stx_mode = (found->stx_mode & S_IFMT) | 0755;
    return failed;
}
