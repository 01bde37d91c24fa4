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

enum { HRT_OP_INFO = 0, HRT_OP_PHYSICAL = 1, HRT_OP_FAULT_HANDLER = 2, HRT_OP_FUNCTION = 3, HRT_OP_UNMERGE = 4 };
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

/* The kernel functions' numbers. */
enum {
    HRT_FN_CYCLES = 0,
    HRT_FN_THREAD_CREATE, HRT_FN_THREAD_JOIN, HRT_FN_THREAD_JOIN_UNTIL, HRT_FN_THREAD_DETACH, HRT_FN_THREAD_EXIT, HRT_FN_THREAD_SELF,
    HRT_FN_THREAD_YIELD, HRT_FN_THREAD_SLEEP, HRT_FN_TIME,
    HRT_FN_MUTEX_LOCK, HRT_FN_MUTEX_TRY_LOCK, HRT_FN_MUTEX_LOCK_UNTIL, HRT_FN_MUTEX_UNLOCK,
    HRT_FN_CONDITION_WAIT, HRT_FN_CONDITION_WAIT_UNTIL, HRT_FN_CONDITION_SIGNAL, HRT_FN_CONDITION_BROADCAST,
    HRT_FN_SEMAPHORE_WAIT, HRT_FN_SEMAPHORE_TRY_WAIT, HRT_FN_SEMAPHORE_WAIT_UNTIL, HRT_FN_SEMAPHORE_POST,
    HRT_FN_EVENT_WAIT, HRT_FN_EVENT_WAIT_UNTIL, HRT_FN_EVENT_SET, HRT_FN_EVENT_RESET,
    HRT_FN_BARRIER_WAIT,
    HRT_FN_RWLOCK_READ, HRT_FN_RWLOCK_READ_UNTIL, HRT_FN_RWLOCK_WRITE, HRT_FN_RWLOCK_WRITE_UNTIL, HRT_FN_RWLOCK_UNLOCK,
    HRT_FN_ONCE, HRT_FN_KEY_CREATE, HRT_FN_KEY_DELETE, HRT_FN_KEY_SET, HRT_FN_KEY_GET,
    HRT_FN_TIMER_START, HRT_FN_TIMER_STOP,
    HRT_FN_FIBER_CREATE, HRT_FN_FIBER_SWITCH, HRT_FN_FIBER_SELF, HRT_FN_FIBER_DELETE,
    HRT_FN_THREADS_INFO, HRT_FN_THREADS_MAKER,
    HRT_FN_INVOKE, HRT_FN_INVOKE_ASYNC, HRT_FN_MERGE, HRT_FN_UNMERGE,
    HRT_FN_CALLS_POST = 62, HRT_FN_CALL_DONE, HRT_FN_CALLS_WAIT,
    HRT_FN_THREADS_PREEMPT,
    HRT_FN_COUNT
};

/* The address of the kernel function with this number; NULL without the kernel. */
static inline void *hrt_function(long number) {
    long r = hrt_call(HRT_OP_FUNCTION, number, 0, 0);
    return r < 0 && r > -4096 ? NULL : (void *)r;
}

static long hrt_absent(void) __attribute__((unused));
static long hrt_absent(void) { return HRT_ENOTSUP; }

/* The function with this number, asked for once; without the kernel one that answers HRT_ENOTSUP. */
static inline void *hrt_cached(long number) {
    static void *found[HRT_FN_COUNT];
    void *f = __atomic_load_n(&found[number], __ATOMIC_RELAXED);
    if (__builtin_expect(f != NULL, 1)) return f;
    f = hrt_function(number);
    if (!f) return (void *)hrt_absent;
    __atomic_store_n(&found[number], f, __ATOMIC_RELAXED);
    return f;
}
#define HRT_CALL_0(n) (((long (*)(void))hrt_cached(n))())
#define HRT_CALL_1(n, a) (((long (*)(long))hrt_cached(n))((long)(a)))
#define HRT_CALL_2(n, a, b) (((long (*)(long, long))hrt_cached(n))((long)(a), (long)(b)))
#define HRT_CALL_3(n, a, b, c) (((long (*)(long, long, long))hrt_cached(n))((long)(a), (long)(b), (long)(c)))
#define HRT_CALL_4(n, a, b, c, d) (((long (*)(long, long, long, long))hrt_cached(n))((long)(a), (long)(b), (long)(c), (long)(d)))
#define HRT_CALL_5(n, a, b, c, d, e) \
    (((long (*)(long, long, long, long, long))hrt_cached(n))((long)(a), (long)(b), (long)(c), (long)(d), (long)(e)))

/* Fills *info; 0, or HRT_ENOTSUP without the kernel. */
static inline long hrt_get_info(struct hrt_info *info) {
    long r = hrt_call(HRT_OP_INFO, (long)info, sizeof *info, 0);
    return r < 0 ? r : 0;
}

/* ---- Kernel threads ----
 *
 * Kernel threads are made, switched and synchronized by the kernel alone; Linux knows its few carriers only, one for each processor that the
 * process may use. A kernel thread may make any system call: while it waits in Linux, others execute on another carrier. All functions may be called by
 * kernel threads and by the program's other threads alike, which wait by futex(2).
 *
 * Results are 0 or a value, or a negative error number of Linux; HRT_ENOTSUP without the kernel. Times are nanoseconds; a deadline is a time of
 * hrt_time(). In a signal handler only hrt_semaphore_post and hrt_event_set may be called; others may answer -EBUSY there.
 *
 * A kernel thread has the signal mask of the carrier that executes it, and without HRT_THREAD_TLS its thread-local variables, too: what is in them
 * (errno) is good until the next call of a function of this header that may wait. Its stack is what it asked for: a stack overflow ends the process. */

typedef struct hrt_thread *hrt_thread_t;

enum {
    HRT_THREAD_DETACHED = 1, /* it is never joined */
    HRT_THREAD_FIRST = 2,    /* a kernel thread that makes it is set aside until there is time, and it executes at once */
    HRT_THREAD_TLS = 4,      /* it has thread-local variables of libc's and the program's for itself, with their destructors */
    HRT_THREAD_PREEMPT = 8   /* it uses no libc and no thread-local variable, so it may be preempted without HRT_THREAD_TLS */
};

/* The monotonic clock (CLOCK_MONOTONIC), in ns. */
static inline uint64_t hrt_time(void) { return (uint64_t)HRT_CALL_0(HRT_FN_TIME); }

/* The processor's time stamp, in cycles. */
static inline long hrt_cycles(void) { return HRT_CALL_0(HRT_FN_CYCLES); }

/* Carriers are made by clone(2), of which libc knows nothing, or by `create`, which is as pthread_create(3): so libc is ready for more than
 * one thread, and may be used in kernel threads. HRT_THREAD_TLS needs that, and `join` and `detach`, as pthread_join(3) and pthread_detach(3). To be called before
 * the first kernel thread is made. 0. -EBUSY: one has been made in another way. */
static inline long hrt_threads_maker(void *create, void *join, void *detach) { return HRT_CALL_3(HRT_FN_THREADS_MAKER, create, join, detach); }
/* The same with the functions of <pthread.h>, which is to be included. */
#define hrt_threads_by_pthread() hrt_threads_maker((void *)pthread_create, (void *)pthread_join, (void *)pthread_detach)

/* From now on a kernel thread that has computed for slice_ns, while others of its execution group could execute, gives its carrier to them; 0: for as long as it likes
 * (which is the default but for HRT_PREEMPT and [threads] preempt in multiverse.toml). This goes for threads with HRT_THREAD_TLS or HRT_THREAD_PREEMPT and those of the
 * set pthread, in code of the program's, outside of handlers. No system call fails or starts again because of it. A slice is looked at each millisecond and ends at a tick
 * of Linux's (1 to 10 ms). Signal 64 (SIGRTMAX) is the kernel's meanwhile: a program that installs a handler for it ends this. 0; -EINVAL: more than an hour; -EBUSY:
 * signal 64 is in use. */
static inline long hrt_threads_preempt(uint64_t slice_ns) { return HRT_CALL_1(HRT_FN_THREADS_PREEMPT, slice_ns); }

/* Makes a kernel thread that executes function(argument), on a stack of at least stack_size bytes (0: 32 KiB; 256 KiB with
 * HRT_THREAD_TLS), and stores its handle to *thread unless that is NULL. -EINVAL: unknown flags, or a stack of more than 256 MiB. -EAGAIN: no memory, or no thread of
 * Linux's. HRT_ENOTSUP: HRT_THREAD_TLS without hrt_threads_maker. */
static inline long hrt_thread_create(hrt_thread_t *thread, void *(*function)(void *), void *argument, unsigned flags, size_t stack_size) {
    return HRT_CALL_5(HRT_FN_THREAD_CREATE, thread, function, argument, flags, stack_size);
}

/* Waits for a thread's end, and stores its result to *result unless that is NULL; the handle is no more. -ESRCH, -EDEADLK: the caller itself;
 * -EINVAL: it is detached, or another thread waits for it. */
static inline long hrt_thread_join(hrt_thread_t thread, void **result) { return HRT_CALL_2(HRT_FN_THREAD_JOIN, thread, result); }

/* The same until a deadline: -ETIMEDOUT. */
static inline long hrt_thread_join_until(hrt_thread_t thread, void **result, uint64_t deadline) {
    return HRT_CALL_3(HRT_FN_THREAD_JOIN_UNTIL, thread, result, deadline);
}

/* The thread is not joined; its handle is no more. -ESRCH, -EINVAL: it is detached, or a thread waits for it. */
static inline long hrt_thread_detach(hrt_thread_t thread) { return HRT_CALL_1(HRT_FN_THREAD_DETACH, thread); }

/* Ends the calling kernel thread. -EPERM in any other thread. */
static inline long hrt_thread_exit(void *result) { return HRT_CALL_1(HRT_FN_THREAD_EXIT, result); }

/* The caller's handle, which in threads that are not kernel threads is good for comparison only. */
static inline hrt_thread_t hrt_thread_self(void) { return (hrt_thread_t)HRT_CALL_0(HRT_FN_THREAD_SELF); }

/* Lets other threads execute. 0. */
static inline long hrt_thread_yield(void) { return HRT_CALL_0(HRT_FN_THREAD_YIELD); }

/* Stops the caller for at least ns. 0. */
static inline long hrt_thread_sleep(uint64_t ns) { return HRT_CALL_1(HRT_FN_THREAD_SLEEP, ns); }

/* Fills *info. 0. */
struct hrt_threads_info {
    uint64_t created;  /* kernel threads ever made */
    uint64_t live;     /* of which so many have not ended */
    uint64_t switches; /* to a kernel thread */
    uint64_t stolen;   /* kernel threads that went to another execution group */
    uint32_t groups;   /* execution groups: one for each processor */
    uint32_t carriers; /* threads of Linux's that execute kernel threads */
    uint64_t rescues;  /* times that a group got another carrier, since its own waited in Linux or computed */
};
static inline long hrt_threads_info(struct hrt_threads_info *info) { return HRT_CALL_1(HRT_FN_THREADS_INFO, info); }

/* ---- Usage models ----
 *
 * Accelerator (mv-cc --mv-model=accelerator): the program starts as one of Linux's; hrt_init sets the kernel up, and functions of the program are
 * invoked there. Native (--mv-model=native): there is no libc and no main; the program is
 *     int hrt_main(int argc, char **argv, char **envp)
 * which executes as a kernel thread, and whose result is the exit status. */

/* Asks Linux: a system call (syscall(2)), with its result or negative error number. For programs without a libc. */
static inline long hrt_linux(long number, long a, long b, long c, long d, long e, long f) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* What compilers call without being asked; defined here, weakly, for sources that are compiled with HRT_NATIVE, as mv-cc --mv-model=native does. */
#ifdef HRT_NATIVE
__attribute__((weak)) void *memcpy(void *to, const void *from, size_t n) {
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
    return to;
}
__attribute__((weak)) void *memmove(void *to, const void *from, size_t n) {
    if ((uintptr_t)to - (uintptr_t)from >= n) return memcpy(to, from, n);
    char *end = (char *)to + n - 1;
    const char *last = (const char *)from + n - 1;
    __asm__ volatile("std\n\trep movsb\n\tcld" : "+D"(end), "+S"(last), "+c"(n) : : "memory");
    return to;
}
__attribute__((weak)) void *memset(void *to, int byte, size_t n) {
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(n) : "a"(byte) : "memory");
    return to;
}
__attribute__((weak)) int memcmp(const void *a, const void *b, size_t n) {
    const volatile unsigned char *x = (const volatile unsigned char *)a, *y = (const volatile unsigned char *)b;
    for (size_t i = 0; i < n; i++) if (x[i] != y[i]) return x[i] - y[i];
    return 0;
}
__attribute__((weak)) size_t strlen(const char *s) {
    const volatile char *at = (const volatile char *)s;
    size_t n = 0;
    while (at[n]) n++;
    return n;
}
#endif

/* Sets the kernel up in a program of the accelerator model: from here on the process is hybridized. 0, also if it is already. -EBUSY: there is
 * another thread. HRT_ENOTSUP: the program was not linked so, or plain Linux is all there is; HRT_PLATFORM says by name what must be there. Carriers are made by
 * pthread_create, if the program has it. */
static int hrt_libc_create(void) __attribute__((weakref("pthread_create"), unused));
static int hrt_libc_join(void) __attribute__((weakref("pthread_join"), unused));
static int hrt_libc_detach(void) __attribute__((weakref("pthread_detach"), unused));
struct hrt_late { char magic[8]; long (*init)(void); };
static inline long hrt_init(void) {
    struct hrt_info info;
    if (hrt_call(HRT_OP_INFO, (long)&info, sizeof info, 0) < 0) {
        const struct hrt_late *late = NULL;
        const char *magic = "HRTLATE\x01";
        if (hrt_linux(158 /* arch_prctl */, 0x1004 /* ARCH_GET_GS */, (long)&late, 0, 0, 0, 0) != 0 || !late) return HRT_ENOTSUP;
        for (int i = 0; i < 8; i++) if (late->magic[i] != magic[i]) return HRT_ENOTSUP;
        long r = late->init();
        if (r < 0) return r;
    }
    if (hrt_libc_create) hrt_threads_maker((void *)hrt_libc_create, (void *)hrt_libc_join, (void *)hrt_libc_detach);
    return 0;
}

/* Calls function with count arguments (integers or pointers, at most 6) as a kernel thread, waits for it, and stores its result to *result unless that
 * is NULL. -EINVAL: more arguments; as hrt_thread_create. */
static inline long hrt_invoke_n(void **result, void *function, const long *arguments, size_t count) {
    return HRT_CALL_4(HRT_FN_INVOKE, result, function, arguments, count);
}
/* The same without waiting: the handle is for hrt_thread_join. */
static inline long hrt_invoke_async_n(hrt_thread_t *thread, void *function, const long *arguments, size_t count) {
    return HRT_CALL_4(HRT_FN_INVOKE_ASYNC, thread, function, arguments, count);
}
/* In C: hrt_invoke(&result, function, a, b, ...), hrt_invoke_async(&thread, function, a, b, ...). */
#ifndef __cplusplus
#define HRT_ARGUMENTS(...) ((const long[]){0, ##__VA_ARGS__} + 1), sizeof((const long[]){0, ##__VA_ARGS__}) / sizeof(long) - 1
#define hrt_invoke(result, function, ...) hrt_invoke_n((result), (void *)(function), HRT_ARGUMENTS(__VA_ARGS__))
#define hrt_invoke_async(thread, function, ...) hrt_invoke_async_n((thread), (void *)(function), HRT_ARGUMENTS(__VA_ARGS__))
#endif

/* The address space is one with Linux's from hrt_init on. hrt_merge sees to it that size bytes from start have their pages, in the kernel's page tables too,
 * before a function that uses them is invoked: it then takes no page fault. hrt_unmerge lets the kernel's own page tables (on kvm) forget them until they are
 * used again; elsewhere it changes nothing. 0. -ENOMEM: not mapped, or not accessible; -EINVAL: Linux before 5.14. */
static inline long hrt_merge(const void *start, size_t size) { return HRT_CALL_2(HRT_FN_MERGE, start, size); }
static inline long hrt_unmerge(const void *start, size_t size) { return HRT_CALL_2(HRT_FN_UNMERGE, start, size); }

/* ---- Synchronization ----
 *
 * Objects are the program's memory. All zeros is a good first state of each (of a barrier: for no threads); an object must not be moved. Who waits longest
 * comes first. */

/* A mutex of a kind: HRT_MUTEX_NORMAL (a second lock by its owner waits for ever), RECURSIVE (it counts), ERRORCHECK (-EDEADLK). Memory and kinds
 * are those of glibc's pthread_mutex_t. */
enum { HRT_MUTEX_NORMAL = 0, HRT_MUTEX_RECURSIVE = 1, HRT_MUTEX_ERRORCHECK = 2 };
typedef struct { uint64_t hrt_a[2]; uint32_t hrt_kind, hrt_b; uint64_t hrt_c[2]; } hrt_mutex_t;
#define HRT_MUTEX_INIT(kind) {{0, 0}, (kind), 0, {0, 0}}

/* Locks it. -EDEADLK and -EAGAIN (too often), as its kind has it. */
static inline long hrt_mutex_lock(hrt_mutex_t *m) { return HRT_CALL_1(HRT_FN_MUTEX_LOCK, m); }
/* -EBUSY if it is locked. */
static inline long hrt_mutex_try_lock(hrt_mutex_t *m) { return HRT_CALL_1(HRT_FN_MUTEX_TRY_LOCK, m); }
/* -ETIMEDOUT. */
static inline long hrt_mutex_lock_until(hrt_mutex_t *m, uint64_t deadline) { return HRT_CALL_2(HRT_FN_MUTEX_LOCK_UNTIL, m, deadline); }
/* Unlocks it, or hands it to the thread that waits longest. -EPERM: not the owner, in the kinds that know. */
static inline long hrt_mutex_unlock(hrt_mutex_t *m) { return HRT_CALL_1(HRT_FN_MUTEX_UNLOCK, m); }

/* A condition variable. */
typedef struct { uint64_t hrt_a[3]; } hrt_condition_t;
#define HRT_CONDITION_INIT {{0, 0, 0}}

/* Unlocks m, waits for a signal, and locks m again. -EPERM: not m's owner. */
static inline long hrt_condition_wait(hrt_condition_t *c, hrt_mutex_t *m) { return HRT_CALL_2(HRT_FN_CONDITION_WAIT, c, m); }
/* -ETIMEDOUT; m is locked then, too. */
static inline long hrt_condition_wait_until(hrt_condition_t *c, hrt_mutex_t *m, uint64_t deadline) {
    return HRT_CALL_3(HRT_FN_CONDITION_WAIT_UNTIL, c, m, deadline);
}
/* Ends one thread's wait. 0. */
static inline long hrt_condition_signal(hrt_condition_t *c) { return HRT_CALL_1(HRT_FN_CONDITION_SIGNAL, c); }
/* Ends the waits of all. 0. */
static inline long hrt_condition_broadcast(hrt_condition_t *c) { return HRT_CALL_1(HRT_FN_CONDITION_BROADCAST, c); }

/* A counting semaphore. */
typedef struct { uint32_t hrt_value, hrt_a; uint64_t hrt_b[3]; } hrt_semaphore_t;
#define HRT_SEMAPHORE_INIT(value) {(value), 0, {0, 0, 0}}

/* Takes a unit. */
static inline long hrt_semaphore_wait(hrt_semaphore_t *s) { return HRT_CALL_1(HRT_FN_SEMAPHORE_WAIT, s); }
/* -EAGAIN: there is none. */
static inline long hrt_semaphore_try_wait(hrt_semaphore_t *s) { return HRT_CALL_1(HRT_FN_SEMAPHORE_TRY_WAIT, s); }
/* -ETIMEDOUT. */
static inline long hrt_semaphore_wait_until(hrt_semaphore_t *s, uint64_t deadline) { return HRT_CALL_2(HRT_FN_SEMAPHORE_WAIT_UNTIL, s, deadline); }
/* Adds a unit, or gives it to the thread that waits longest. -EOVERFLOW; in a signal handler -EAGAIN, if it is one of too many. */
static inline long hrt_semaphore_post(hrt_semaphore_t *s) { return HRT_CALL_1(HRT_FN_SEMAPHORE_POST, s); }

/* An event. A manual one, once set, lets all threads pass until it is reset; an automatic one lets one thread pass. */
typedef struct { uint32_t hrt_set, hrt_manual; uint64_t hrt_a[3]; } hrt_event_t;
#define HRT_EVENT_INIT(manual, set) {(set), (manual), {0, 0, 0}}

/* Waits until it is set. */
static inline long hrt_event_wait(hrt_event_t *e) { return HRT_CALL_1(HRT_FN_EVENT_WAIT, e); }
/* -ETIMEDOUT; a deadline of 0 only asks. */
static inline long hrt_event_wait_until(hrt_event_t *e, uint64_t deadline) { return HRT_CALL_2(HRT_FN_EVENT_WAIT_UNTIL, e, deadline); }
/* Sets it. 0; in a signal handler -EAGAIN, if it is one of too many. */
static inline long hrt_event_set(hrt_event_t *e) { return HRT_CALL_1(HRT_FN_EVENT_SET, e); }
/* It is not set any more. 0. */
static inline long hrt_event_reset(hrt_event_t *e) { return HRT_CALL_1(HRT_FN_EVENT_RESET, e); }

/* A barrier for so many threads, at least one. */
typedef struct { uint32_t hrt_threads, hrt_a; uint64_t hrt_b[3]; } hrt_barrier_t;
#define HRT_BARRIER_INIT(threads) {(threads), 0, {0, 0, 0}}

/* Waits until all are there; 1 in one of them, 0 in the others. -EINVAL: it is for no threads. */
static inline long hrt_barrier_wait(hrt_barrier_t *b) { return HRT_CALL_1(HRT_FN_BARRIER_WAIT, b); }

/* A lock for many readers or one writer. Readers do not wait for writers that wait. */
typedef struct { uint64_t hrt_a[5]; } hrt_rwlock_t;
#define HRT_RWLOCK_INIT {{0, 0, 0, 0, 0}}

/* Locks it to read. -EDEADLK: the caller writes. */
static inline long hrt_rwlock_read(hrt_rwlock_t *l) { return HRT_CALL_1(HRT_FN_RWLOCK_READ, l); }
/* -ETIMEDOUT; a deadline of 0 only tries. */
static inline long hrt_rwlock_read_until(hrt_rwlock_t *l, uint64_t deadline) { return HRT_CALL_2(HRT_FN_RWLOCK_READ_UNTIL, l, deadline); }
/* Locks it to write. -EDEADLK: the caller writes already. */
static inline long hrt_rwlock_write(hrt_rwlock_t *l) { return HRT_CALL_1(HRT_FN_RWLOCK_WRITE, l); }
/* -ETIMEDOUT; a deadline of 0 only tries. */
static inline long hrt_rwlock_write_until(hrt_rwlock_t *l, uint64_t deadline) { return HRT_CALL_2(HRT_FN_RWLOCK_WRITE_UNTIL, l, deadline); }
/* -EPERM: another thread writes, or none reads. */
static inline long hrt_rwlock_unlock(hrt_rwlock_t *l) { return HRT_CALL_1(HRT_FN_RWLOCK_UNLOCK, l); }

/* Calls function, if no thread has done so by *once (0 at first), or waits until it has returned. 0. */
typedef int32_t hrt_once_t;
static inline long hrt_once(hrt_once_t *once, void (*function)(void)) { return HRT_CALL_2(HRT_FN_ONCE, once, function); }

/* ---- Posted calls ----
 *
 * A thread (also a kernel thread) posts system calls and collects their results later, while another core makes them. Results are Linux's: a value or a
 * negative error number.
 *
 * The calls of a thread are made one after the other, in the order in which they were posted. A server, a thread of the kernel's, makes them while it
 * polls: that is, while calls come often and the process may use more cores than it has threads that work. Where it does not, not in time, or not at all
 * (seccomp, HRT_CHANNEL=0), the thread makes its calls when it collects them; no call is lost. The server makes calls that wait for nobody and tell nothing of the
 * thread: read, write, pread, pwrite, readv, writev and lseek of files of local file systems and of /dev/null, fstat, clocks, user and process ids, uname, getcwd, sysinfo,
 * waking a futex. Any other may be posted, too: its thread makes it when it collects it or a later one, and what was posted after it waits for that.
 * A call that goes with a signal to the thread (SIGXFSZ) is always made by the thread itself.
 *
 * A call, what its arguments point at, and descriptors that it names must stay what they are until it is collected. Only the thread that has posted it collects it. At
 * most 32 are outstanding: a post beyond that first collects the oldest. Posts of more than 64 threads at a time, of a vfork's child, and of a handler
 * that has interrupted a thread that makes its own calls, are made at once. Signals do not interrupt what the server makes.
 *
 * Before the thread ends, forks, execs, or ends the process by exit_group(2), and before it changes its identity or its rights, what it has posted is made as far as a server may
 * make it. Of the rest, a thread's end drops what is left; a fork's child gets -ECANCELED (-125) for it; and it can be collected after anything else. Under seccomp
 * nothing is made but when it is collected. */

/* A call: number and arguments, as of syscall(2), and the result once it is collected. Zeros at first. One that is aligned to 64 bytes, or an array of such, is posted fastest. */
typedef struct {
    long number;
    long arguments[6];
    long result;
    uint64_t hrt_a[2];
} hrt_call_t;

/* Posts count calls by one post. 0. -EBUSY: one is posted already. -EINVAL: one makes or ends a thread or a process, or returns from a signal. Then none is posted. */
static inline long hrt_calls_post(hrt_call_t *calls, size_t count) { return HRT_CALL_2(HRT_FN_CALLS_POST, calls, count); }

/* Posts a call. As hrt_calls_post. */
static inline long hrt_call_post(hrt_call_t *call, long number, long a, long b, long c, long d, long e, long f) {
    call->number = number;
    call->arguments[0] = a, call->arguments[1] = b, call->arguments[2] = c;
    call->arguments[3] = d, call->arguments[4] = e, call->arguments[5] = f;
    return hrt_calls_post(call, 1);
}

/* 1 if a call is made and collected; 0 if not yet; 2 if only the caller can make it, or one before it, which hrt_call_wait does. Never waits. -EINVAL: it was never posted;
 * -EPERM: another thread has posted it. */
static inline long hrt_call_done(hrt_call_t *call) { return HRT_CALL_1(HRT_FN_CALL_DONE, call); }

/* Collects count calls: waits for them, by letting other kernel threads execute or by futex(2), or makes them. 0, also for those that are collected already. -EINVAL, -EPERM
 * as for hrt_call_done; -EBUSY in a handler that has interrupted a thread that makes its own calls. */
static inline long hrt_calls_wait(hrt_call_t *calls, size_t count) { return HRT_CALL_2(HRT_FN_CALLS_WAIT, calls, count); }

/* Collects a call. As hrt_calls_wait. */
static inline long hrt_call_wait(hrt_call_t *call) { return hrt_calls_wait(call, 1); }

/* ---- Values of threads ---- */

/* A key, by which each thread has a value of its own, at first NULL; at the end of a kernel thread destructor (unless NULL) is called with a value that is
 * not NULL. -EAGAIN: more than 1,024. */
static inline long hrt_key_create(void (*destructor)(void *)) { return HRT_CALL_1(HRT_FN_KEY_CREATE, destructor); }
/* Ends a key; no destructor is called. -EINVAL: there is none. */
static inline long hrt_key_delete(long key) { return HRT_CALL_1(HRT_FN_KEY_DELETE, key); }
/* Sets the caller's value. -EINVAL: no such key. -ENOMEM. */
static inline long hrt_key_set(long key, const void *value) { return HRT_CALL_2(HRT_FN_KEY_SET, key, value); }
/* The caller's value. Without the kernel (void *)HRT_ENOTSUP. */
static inline void *hrt_key_get(long key) { return (void *)HRT_CALL_1(HRT_FN_KEY_GET, key); }

/* ---- Timers ---- */

/* A timer sets an event, or lets a kernel thread of its own call a function, each time that it goes off. */
typedef struct {
    uint64_t hrt_a[8];
    hrt_event_t *event;
    void *(*function)(void *);
    void *argument;
    uint32_t count; /* how often it has gone off */
    uint32_t hrt_b;
} hrt_timer_t;
#define HRT_TIMER_SETS(event) {{0}, (event), NULL, NULL, 0, 0}
#define HRT_TIMER_CALLS(function, argument) {{0}, NULL, (function), (argument), 0, 0}

/* Lets it go off after `after` ns, and then each `period` ns (0: once). -EINVAL: it has neither event nor function, or both. */
static inline long hrt_timer_start(hrt_timer_t *t, uint64_t after, uint64_t period) { return HRT_CALL_3(HRT_FN_TIMER_START, t, after, period); }
/* It does not go off any more; 1 if it would have. */
static inline long hrt_timer_stop(hrt_timer_t *t) { return HRT_CALL_1(HRT_FN_TIMER_STOP, t); }

/* ---- Fibers ----
 *
 * A fiber is a stack that a thread switches to by name. It executes as that thread, which may be another one each time. */

typedef struct hrt_fiber *hrt_fiber_t;

/* Makes a fiber on a stack of at least stack_size bytes (0: 32 KiB). At the first switch to it function is called with the value passed; when it
 * returns, the fiber that switched to this one last goes on with what it returned. -EINVAL, -EAGAIN. */
static inline long hrt_fiber_create(hrt_fiber_t *fiber, void *(*function)(void *), size_t stack_size) {
    return HRT_CALL_3(HRT_FN_FIBER_CREATE, fiber, function, stack_size);
}
/* Goes on in a fiber, which gets value; when the caller is switched to, *value_back (unless NULL) is what that one passed. -ESRCH: no such fiber, or its
 * function has returned; -EBUSY: it executes; -EINVAL: it is another thread's own stack. */
static inline long hrt_fiber_switch(hrt_fiber_t fiber, void *value, void **value_back) {
    return HRT_CALL_3(HRT_FN_FIBER_SWITCH, fiber, value, value_back);
}
/* The fiber that calls: a thread's own stack, if no other. */
static inline hrt_fiber_t hrt_fiber_self(void) { return (hrt_fiber_t)HRT_CALL_0(HRT_FN_FIBER_SELF); }
/* Gives back a fiber that does not execute, whether its function has returned or not. -ESRCH, -EBUSY; -EINVAL: a thread's own stack. */
static inline long hrt_fiber_delete(hrt_fiber_t fiber) { return HRT_CALL_1(HRT_FN_FIBER_DELETE, fiber); }

/* ---- The machine, in ring 0 of the kvm platform ---- */

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
