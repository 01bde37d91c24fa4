/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * The HRT kernel's API for C. Everything is inline: a program that includes this needs no library, and also runs without
 * the kernel, where each function answers HRT_ENOTSUP.
 */
#ifndef HRT_H
#define HRT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What functions return when the platform cannot do it; never a valid result. */
#define HRT_ENOTSUP (-38L)
/* As the number of the kernel's one system call: Linux has none of that number. */
#define HRT_CALL 0x48525400L

enum { HRT_OP_INFO = 0, HRT_OP_PHYSICAL = 1, HRT_OP_FAULT_HANDLER = 2, HRT_OP_FUNCTION = 3 };
enum { HRT_PLATFORM_KVM = 1, HRT_PLATFORM_HOSTED = 2 };

struct hrt_info {
    uint32_t abi;
    uint32_t platform; /* HRT_PLATFORM_* */
    uint32_t ring;     /* of the program */
    uint32_t emulated; /* 1: ring 0 is emulated here */
};

/* What a page-fault handler gets. */
struct hrt_fault {
    uint64_t address;
    uint64_t error; /* bit 0: the page is present, 1: a write, 4: an instruction fetch */
    uint64_t rip;
    uint64_t rsp;
};

/* Page-table entries (Intel SDM 3A, 4.5). HRT_PTE_OWNED keeps the kernel from changing an entry by itself. */
#define HRT_PTE_PRESENT 1ULL
#define HRT_PTE_WRITE 2ULL
#define HRT_PTE_LARGE 0x80ULL
#define HRT_PTE_OWNED 0x200ULL
#define HRT_PTE_ADDRESS 0x000ffffffffff000ULL

static inline long hrt_call(long op, long a, long b, long c) {
    long result;
    register long r10 __asm__("r10") = c;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(HRT_CALL), "D"(op), "S"(a), "d"(b), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

/* The kernel functions' numbers; hrt_function finds one's address, NULL without the kernel. */
enum { HRT_FN_CYCLES = 0 };
static inline void *hrt_function(long number) {
    long r = hrt_call(HRT_OP_FUNCTION, number, 0, 0);
    return r < 0 && r > -4096 ? NULL : (void *)r;
}

/* Fills *info; 0, or HRT_ENOTSUP without the kernel. */
static inline long hrt_get_info(struct hrt_info *info) {
    long r = hrt_call(HRT_OP_INFO, (long)info, sizeof *info, 0);
    return r < 0 ? r : 0;
}

/* The ring that the caller executes in, from CS. */
static inline unsigned hrt_ring(void) {
    uint16_t cs;
    __asm__ volatile("mov %%cs, %0" : "=r"(cs));
    return cs & 3;
}

/* True in ring 0 of the kvm platform, where what follows can be used. */
static inline int hrt_in_ring0(void) {
    struct hrt_info info;
    return hrt_ring() == 0 && hrt_get_info(&info) == 0 && info.platform == HRT_PLATFORM_KVM;
}

/* The control register with the root of the page tables. In ring 0 only. */
static inline uint64_t hrt_read_cr3(void) {
    uint64_t v;
    __asm__ volatile("mov %%cr3, %0" : "=r"(v));
    return v;
}

/* Forgets what the processor keeps of the page at `address`. In ring 0 only. */
static inline void hrt_invalidate(const void *address) {
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

/* Where guest-physical memory can be read and written; NULL if there is none at that address. In ring 0 only. */
static inline void *hrt_physical(uint64_t physical) {
    long r = hrt_call(HRT_OP_PHYSICAL, (long)physical, 0, 0);
    return r > -4096 && r < 0 ? NULL : (void *)r;
}

/* The entry of the page at `address`, found through all four levels of the caller's own tables, and in *level the level (0: a
 * page, 1: 2 MiB) that it is of; NULL if a table is missing. In ring 0 only. */
static inline volatile uint64_t *hrt_entry(const void *address, int *level) {
    uint64_t table = hrt_read_cr3() & HRT_PTE_ADDRESS;
    for (int l = 3;; l--) {
        volatile uint64_t *entry = (volatile uint64_t *)hrt_physical(table);
        if (!entry) return NULL;
        entry += ((uint64_t)address >> (12 + 9 * l)) & 511;
        if (l == 0 || (*entry & HRT_PTE_LARGE)) {
            if (level) *level = l;
            return entry;
        }
        if (!(*entry & HRT_PTE_PRESENT)) return NULL;
        table = *entry & HRT_PTE_ADDRESS;
    }
}

/* A handler of page faults: 1 if the instruction is to be tried again, 0 if the fault is for the kernel and Linux. It runs in
 * ring 0, on a stack of its own, with the program's vector registers: so it must be declared as HRT_FAULT_HANDLER. It must not
 * fault in its own range, and not make system calls. */
#define HRT_FAULT_HANDLER __attribute__((target("general-regs-only")))
typedef int hrt_fault_handler(const struct hrt_fault *fault);

/* Sets the calling thread's handler for page faults at `start` and the `size` bytes after it; NULL: none. 0 or an error,
 * negative. In ring 0 only. */
static inline long hrt_set_fault_handler(hrt_fault_handler *handler, const void *start, size_t size) {
    return hrt_call(HRT_OP_FAULT_HANDLER, (long)handler, (long)start, (long)size);
}

#ifdef __cplusplus
}
#endif
#endif
