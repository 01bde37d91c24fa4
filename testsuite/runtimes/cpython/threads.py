import queue, threading, os, signal

q, done = queue.Queue(), []
lock, local = threading.Lock(), threading.local()

def work(n):
    local.n = n
    while (job := q.get()) is not None:
        with lock:
            done.append(job * job)
        q.task_done()
    assert local.n == n

threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for t in threads:
    t.start()
for i in range(2000):
    q.put(i)
q.join()
for _ in threads:
    q.put(None)
for t in threads:
    t.join()
print(len(done), sum(done))

# A fork while threads ran before, and a signal for the child.
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    signal.signal(signal.SIGUSR1, lambda *a: os._exit(7))
    os.write(w, b"r")
    while True:
        signal.pause()
os.read(r, 1)
os.kill(pid, signal.SIGUSR1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
