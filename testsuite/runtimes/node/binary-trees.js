// Allocates many perfect binary trees bottom-up, walks them, and keeps one alive meanwhile.
"use strict";

class Node {
    constructor(left, right) {
        this.left = left;
        this.right = right;
    }
}
const make = (depth) => (depth === 0 ? new Node(null, null) : new Node(make(depth - 1), make(depth - 1)));
const check = (t) => (t.left === null ? 1 : 1 + check(t.left) + check(t.right));

const least = 4;
const most = Math.max(least + 2, Number(process.argv[2] || 10));
console.log(`stretch tree of depth ${most + 1}\t check: ${check(make(most + 1))}`);
const kept = make(most);
for (let depth = least; depth <= most; depth += 2) {
    const count = 2 ** (most - depth + least);
    let sum = 0;
    for (let i = 0; i < count; i++) sum += check(make(depth));
    console.log(`${count}\t trees of depth ${depth}\t check: ${sum}`);
}
console.log(`long lived tree of depth ${most}\t check: ${check(kept)}`);
