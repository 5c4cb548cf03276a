/* A plugin for QEMU that counts the instructions that the guest executes, by address, and those of its longest steps.
 *
 *     qemu-system-arm -plugin count.so,out=FILE,step=ADDRESS,step=ADDRESS... ...
 *
 * FILE is a table of counters of 64 bits, one for each 2 bytes of the guest's first 2 MiB of memory, where an emulated
 * board has its program. Bits 28 and 31 of addresses are left out. Bit 28 distinguishes secure addresses from others on the
 * mps2-an505, and both lead to the same memory; the memory of virt begins at 80000000. A counter belongs to the block of instructions that begins at its address: QEMU translates code
 * in blocks, which end at branches at the latest. The file is mapped into memory, so it can be read while QEMU runs, and
 * is complete if QEMU is killed.
 *
 * A step begins where the guest executes the instruction at one of the ADDRESSes, in hexadecimal, and ends at the next
 * begin of a step. After the counters of addresses, FILE has the number of steps that took more than LONG instructions,
 * and then the length of each, up to STEPS of them.
 *
 * The declarations are those of QEMU's interface for plugins (docs/devel/tcg-plugins.rst), whose header distributions do
 * not install. VERSION is the version of the interface, which QEMU checks.
 */

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { COUNTERS = 1 << 20, STEPS = 1 << 10, ALL = COUNTERS + 1 + STEPS, ADDRESSES = 64, LONG = 1000000 };
static const uint64_t BASE = 1u << 31 | 1u << 28;

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*translated)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*run)(unsigned, void *), int flags,
                                          void *data);

int qemu_plugin_version = VERSION;

static uint64_t *counters;
/* Where steps begin. */
static uint64_t begins[ADDRESSES];
static int number_of_begins;
/* The instructions so far, and those before the current step. */
static uint64_t executed, executed_before;

/* Runs before each execution of a block. `data` holds its counter's index, and its number of instructions in the lower
 * 16 bits. */
static void run(unsigned processor, void *data) {
    (void)processor;
    counters[(uintptr_t)data >> 16] += (uintptr_t)data & 0xffff;
    executed += (uintptr_t)data & 0xffff;
}

/* Runs before `run` where a step begins. */
static void step(unsigned processor, void *data) {
    (void)processor, (void)data;
    uint64_t length = executed - executed_before, *steps = counters + COUNTERS;
    executed_before = executed;
    if (length > LONG && *steps < STEPS)
        steps[++*steps] = length;
}

static void translated(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    uint64_t counter = (qemu_plugin_tb_vaddr(block) & ~BASE) / 2;
    for (int i = 0; i < number_of_begins; i++)
        if (begins[i] / 2 == counter)
            qemu_plugin_register_vcpu_tb_exec_cb(block, step, 0, NULL);
    if (counter < COUNTERS)
        qemu_plugin_register_vcpu_tb_exec_cb(block, run, 0, (void *)(counter << 16 | qemu_plugin_tb_n_insns(block)));
}

int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    if (argc < 1 || argc > ADDRESSES || strncmp(argv[0], "out=", 4) != 0)
        return -1;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "step=", 5) != 0)
            return -1;
        begins[number_of_begins++] = strtoull(argv[i] + 5, NULL, 16) & ~BASE;
    }
    int file = open(argv[0] + 4, O_RDWR | O_CREAT, 0600);
    if (file < 0 || ftruncate(file, ALL * sizeof *counters) != 0)
        return -1;
    counters = mmap(NULL, ALL * sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (counters == MAP_FAILED)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
