//@ variants: dynamic-pie no-pie static static-pie musl
//@ args: a bb ccc
//@ env: CORPUS_VALUE=forty two
// The initial stack is what Linux made it: arguments, environment, auxiliary vector.
#include "check.h"
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

extern char **environ;
extern const char __ehdr_start[];

int main(int argc, char **argv) {
    for (int i = 0; i < argc; i++) printf("argv[%d]=%s\n", i, argv[i]);
    OK(argv[argc] == NULL);
    OK(!strcmp(getenv("CORPUS_VALUE"), "forty two"));
    OK(environ == argv + argc + 1);
    ElfW(auxv_t) *av;
    char **e = environ;
    while (*e) e++;
    int types[64] = {0};
    for (av = (void *)(e + 1); av->a_type; av++)
        if (av->a_type < 64) types[av->a_type]++;
    for (int i = 0; i < 64; i++) printf("%s%d:%d", i ? " " : "", i, types[i]);
    printf("\n");
    OK(getauxval(AT_PHDR) != 0);
    OK(getauxval(AT_RANDOM) != 0);
    OK(getauxval(AT_PAGESZ) == 4096);
    OK(getauxval(AT_PHENT) == sizeof(Elf64_Phdr));
    OK(getauxval(AT_SYSINFO_EHDR) != 0);
    OK(!strcmp((char *)getauxval(AT_EXECFN), "./prog"));
    OK(getauxval(AT_UID) == getuid());
    // AT_PHDR leads to the program's own segments, one of which holds main.
    Elf64_Phdr *ph = (void *)getauxval(AT_PHDR);
    uintptr_t bias = 0;
    for (unsigned i = getauxval(AT_PHNUM); i-- > 0;)
        if (ph[i].p_type == PT_LOAD) bias = (uintptr_t)__ehdr_start - ph[i].p_vaddr + ph[i].p_offset;
    int inside = 0, entry_inside = 0;
    uintptr_t entry = getauxval(AT_ENTRY);
    for (unsigned i = 0; i < getauxval(AT_PHNUM); i++)
        if (ph[i].p_type == PT_LOAD && (ph[i].p_flags & PF_X)) {
            uintptr_t a = bias + ph[i].p_vaddr, z = a + ph[i].p_memsz;
            inside |= (uintptr_t)main >= a && (uintptr_t)main < z;
            entry_inside |= entry >= a && entry < z;
        }
    OK(inside);
    OK(entry_inside);
    return done();
}
