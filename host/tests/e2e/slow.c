/* A slow disk: setting the mode of a file, one of the last steps of writing it, takes SLOW milliseconds. */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int fchmod(int file, mode_t mode) {
    const char *slow = getenv("SLOW");
    if (slow)
        usleep(1000 * atoi(slow));
    return syscall(SYS_fchmod, file, mode);
}
