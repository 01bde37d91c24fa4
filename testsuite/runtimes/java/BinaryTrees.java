/** Allocates many perfect binary trees bottom-up, walks them, and keeps one alive meanwhile. */
public final class BinaryTrees {
    private record Node(Node left, Node right) {
        static Node make(int depth) {
            return depth == 0 ? new Node(null, null) : new Node(make(depth - 1), make(depth - 1));
        }

        int check() {
            return left == null ? 1 : 1 + left.check() + right.check();
        }
    }

    public static void main(String[] args) {
        int least = 4;
        int most = Math.max(least + 2, args.length > 0 ? Integer.parseInt(args[0]) : 10);
        System.out.printf("stretch tree of depth %d\t check: %d%n", most + 1, Node.make(most + 1).check());
        Node kept = Node.make(most);
        for (int depth = least; depth <= most; depth += 2) {
            int count = 1 << (most - depth + least);
            int sum = 0;
            for (int i = 0; i < count; i++) {
                sum += Node.make(depth).check();
            }
            System.out.printf("%d\t trees of depth %d\t check: %d%n", count, depth, sum);
        }
        System.out.printf("long lived tree of depth %d\t check: %d%n", most, kept.check());
    }
}
