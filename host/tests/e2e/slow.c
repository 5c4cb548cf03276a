/* A slow disk: each time that a file gets its mode, as the last thing before it is whole, SLOW milliseconds pass. */
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
