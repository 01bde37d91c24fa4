// POSIX shared memory, System V shared memory, semaphores and message queues between processes.
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
int main(void) {
    int id = shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600);
    OK(id >= 0);
    int *m = shmat(id, NULL, 0);
    OK(m != (void *)-1);
    int sem = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600), q = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    struct { long type; char text[16]; } msg = {5, "message"};
    pid_t p = fork();
    if (!p) {
        m[100] = 4711;
        msgsnd(q, &msg, sizeof msg.text, 0);
        struct sembuf up = {0, 1, 0};
        semop(sem, &up, 1);
        _exit(0);
    }
    struct sembuf down = {0, -1, 0};
    OK(semop(sem, &down, 1) == 0);
    OK(m[100] == 4711);
    memset(&msg, 0, sizeof msg);
    OK(msgrcv(q, &msg, sizeof msg.text, 5, 0) == sizeof msg.text && !strcmp(msg.text, "message"));
    OK(reap(p) == 0);
    OK(shmdt(m) == 0 && shmctl(id, IPC_RMID, NULL) == 0 && semctl(sem, 0, IPC_RMID) == 0 && msgctl(q, IPC_RMID, NULL) == 0);
    int fd = memfd_create("seal", MFD_ALLOW_SEALING);
    ftruncate(fd, 4096);
    OK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0 && ERR(write(fd, "x", 1), EPERM));
    return done();
}
