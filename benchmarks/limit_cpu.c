/* See limit_cpu.py: an LD_AUDIT library under which `cpuid` reports no more than AVX2. */

#define _GNU_SOURCE
#include <cpuid.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

enum { MOST_PLACES = 1 << 14, PAGE = 4096, TEXT = 4 * PAGE };

static const unsigned char CPUID[] = {0x0f, 0xa2}, UD2[] = {0x0f, 0x0b};
static unsigned char *places[MOST_PLACES];
static int place_count;
static struct sigaction previous;

static void give_up(const char *what, const char *file) {
    fprintf(stderr, "limit_cpu: %s %s\n", what, file);
    _exit(70);
}

static void clear_newer_than_avx2(unsigned leaf, unsigned subleaf, unsigned *a, unsigned *b,
                                  unsigned *c, unsigned *d) {
    if (leaf == 7 && subleaf == 0) {
        /* AVX512F, DQ, IFMA, PF, ER, CD, BW, VL */
        *b &= ~(1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31);
        /* VBMI, VBMI2, GFNI, VAES, VPCLMULQDQ, VNNI, BITALG, VPOPCNTDQ */
        *c &= ~(1u << 1 | 1u << 6 | 1u << 8 | 1u << 9 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 14);
        /* 4VNNIW, 4FMAPS, VP2INTERSECT, AMX-BF16, FP16, AMX-TILE, AMX-INT8 */
        *d &= ~(1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 1u << 23 | 1u << 24 | 1u << 25);
    } else if (leaf == 7 || leaf == 0x1d || leaf == 0x1e || leaf == 0x24) {
        /* AVX-VNNI, AVX512-BF16, AVX-IFMA, AMX-FP16, AVX10, APX and the like; AMX; AVX10 */
        *a = *b = *c = *d = 0;
    } else if (leaf == 0xd && subleaf == 0) {
        /* the states of AVX-512 and AMX */
        *a &= ~(7u << 5 | 3u << 17);
    }
}

static void emulate(int signal, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    unsigned char *at = (unsigned char *)registers[REG_RIP];
    int place = 0;
    (void)signal, (void)info;
    while (place < place_count && places[place] != at)
        place++;
    if (place == place_count) {
        /* Not ours: the instruction runs again and gets what it would have got. */
        sigaction(SIGILL, &previous, NULL);
        return;
    }
    unsigned leaf = registers[REG_RAX], subleaf = registers[REG_RCX], a, b, c, d;
    __cpuid_count(leaf, subleaf, a, b, c, d);
    clear_newer_than_avx2(leaf, subleaf, &a, &b, &c, &d);
    registers[REG_RAX] = a, registers[REG_RBX] = b, registers[REG_RCX] = c, registers[REG_RDX] = d;
    registers[REG_RIP] += sizeof CPUID;
}

static void replace(unsigned char *at, const char *file) {
    unsigned char *page = (unsigned char *)((unsigned long)at & ~(PAGE - 1ul));
    size_t size = at + sizeof UD2 - page;
    if (memcmp(at, CPUID, sizeof CPUID) || place_count == MOST_PLACES)
        give_up("other instructions than expected, or too many, in", file);
    places[place_count++] = at;
    if (mprotect(page, size, PROT_READ | PROT_WRITE | PROT_EXEC))
        give_up("cannot write to the code of", file);
    memcpy(at, UD2, sizeof UD2);
    mprotect(page, size, PROT_READ | PROT_EXEC);
}

/* Write the addresses of `cpuid` in a file to `list`. */
static void disassemble(const char *file, const char *list) {
    static const char SCRIPT[] =
        "{ objdump -d -w --no-show-raw-insn \"$1\" || echo failed; }"
        " | sed -n 's/:\tcpuid *$//p;/^failed$/q1' > \"$2.$$\" && mv \"$2.$$\" \"$2\"";
    int status = 1;
    pid_t child = fork();
    if (child == 0) {
        unsetenv("LD_AUDIT");
        execlp("sh", "sh", "-c", SCRIPT, "sh", file, list, NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status)
        give_up("cannot disassemble", file);
}

unsigned la_version(unsigned version) {
    struct sigaction action = {.sa_sigaction = emulate, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGILL, &action, &previous);
    return version;
}

/* Called for each library when it is mapped, before any code of it runs. */
unsigned la_objopen(struct link_map *map, Lmid_t namespace, uintptr_t *cookie) {
    const char *cache = getenv("LIMIT_CPU_CACHE"), *name = strrchr(map->l_name, '/');
    struct stat about;
    char list[TEXT];
    unsigned long address;
    (void)namespace, (void)cookie;
    if (!cache || !name || stat(map->l_name, &about))
        return 0;
    snprintf(list, sizeof list, "%s/%s.%ld.%ld", cache, name + 1, about.st_size, about.st_mtime);
    if (access(list, R_OK))
        disassemble(map->l_name, list);
    FILE *addresses = fopen(list, "r");
    if (!addresses)
        give_up("cannot read", list);
    while (fscanf(addresses, "%lx", &address) == 1)
        replace((unsigned char *)(map->l_addr + address), map->l_name);
    fclose(addresses);
    return 0;
}

/* Say if the main thread used registers of AVX-512 or AMX: the processor marks them as in use. */
__attribute__((destructor)) static void check_registers(void) {
    unsigned a, b, c, d;
    __cpuid_count(0xd, 1, a, b, c, d);
    (void)b, (void)c;
    if (!(a & 1u << 2))
        return;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(1));
    if (a & (7u << 5 | 3u << 17))
        fprintf(stderr, "limit_cpu: process %d used AVX-512 or AMX all the same\n", getpid());
}
