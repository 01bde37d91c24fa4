import java.net.ServerSocket;
import java.net.Socket;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;

/** What touches the system: threads, faults that become exceptions, children, sockets, the end. */
public final class Sys {
    private static int deep(int n) {
        return n == 0 ? 0 : 1 + deep(n - 1);
    }

    private static int length(String s) {
        return s.length();
    }

    public static void main(String[] args) throws Exception {
        var sum = new AtomicLong();
        var pool = Executors.newFixedThreadPool(8);
        for (int i = 0; i < 1000; i++) {
            int n = i;
            pool.execute(() -> sum.addAndGet(n * n));
        }
        pool.shutdown();
        while (!pool.isTerminated()) {
            Thread.sleep(1);
        }
        System.out.println("threads " + sum);
        // Null is found by a fault once the code is compiled.
        int nulls = 0;
        for (int i = 0; i < 200_000; i++) {
            try {
                length(i % 100 == 99 ? null : "text");
            } catch (NullPointerException e) {
                nulls++;
            }
        }
        System.out.println("nulls " + nulls);
        try {
            System.out.println(deep(Integer.MAX_VALUE));
        } catch (StackOverflowError e) {
            System.out.println("stack overflow");
        }
        var child = new ProcessBuilder("echo", "child").start();
        System.out.print(new String(child.getInputStream().readAllBytes()));
        System.out.println(child.waitFor());
        try (var server = new ServerSocket(0)) {
            var echo = new Thread(() -> {
                try (var s = server.accept()) {
                    s.getInputStream().transferTo(s.getOutputStream());
                } catch (java.io.IOException e) {
                    System.out.println(e);
                }
            });
            echo.start();
            try (var s = new Socket("127.0.0.1", server.getLocalPort())) {
                s.getOutputStream().write("echo".getBytes());
                s.shutdownOutput();
                System.out.println(new String(s.getInputStream().readAllBytes()));
            }
            echo.join();
        }
        System.gc();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
        System.exit(6);
    }
}
