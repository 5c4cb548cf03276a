/* A plugin for QEMU that counts the instructions that the guest executes, by address.
 *
 *     qemu-system-arm -plugin count.so,out=FILE ...
 *
 * FILE is a table of counters of 64 bits, one for each 2 bytes of the guest's first 2 MiB of memory, where an emulated
 * board has its program. Bit 28 of addresses is left out: where it distinguishes secure addresses from others, as on the
 * mps2-an505, both lead to the same memory. A counter belongs to the block of instructions that begins at its address: QEMU translates code
 * in blocks, which end at branches at the latest. The file is mapped into memory, so it can be read while QEMU runs, and
 * is complete if QEMU is killed.
 *
 * The declarations are those of QEMU's interface for plugins (docs/devel/tcg-plugins.rst), whose header distributions do
 * not install. VERSION is the version of the interface, which QEMU checks.
 */

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { COUNTERS = 1 << 20 };
static const uint64_t SECURE = 1 << 28;

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*run)(unsigned, void *), int flags,
                                          void *data);

int qemu_plugin_version = VERSION;

static uint64_t *counters;

/* Runs before each execution of a block. `data` holds its counter's index, and its number of instructions in the lower
 * 16 bits. */
static void run(unsigned processor, void *data) {
    (void)processor;
    counters[(uintptr_t)data >> 16] += (uintptr_t)data & 0xffff;
}

static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    uint64_t counter = (qemu_plugin_tb_vaddr(block) & ~SECURE) / 2;
    if (counter < COUNTERS)
        qemu_plugin_register_vcpu_tb_exec_cb(block, run, 0, (void *)(counter << 16 | qemu_plugin_tb_n_insns(block)));
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0)
        return -1;
    int file = open(argv[0] + 4, O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, COUNTERS * sizeof *counters) != 0)
        return -1;
    counters = mmap(NULL, COUNTERS * sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (counters == MAP_FAILED)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
