// What touches the system: workers, children, signals, files, sockets, WebAssembly's guard pages.
"use strict";
const { Worker, isMainThread, parentPort } = require("worker_threads");
const { spawnSync, fork } = require("child_process");
const fs = require("fs");
const net = require("net");

if (!isMainThread) {
    parentPort.once("message", (n) => {
        let sum = 0;
        for (let i = 0; i < 1e6; i++) sum += i % n;
        parentPort.postMessage(sum);
    });
} else if (process.argv[2] === "child") {
    process.once("message", (m) => process.send(m * 2, () => process.exit(0)));
} else {
    main();
}

async function main() {
    const sums = await Promise.all(
        [2, 3, 5, 7].map((n) => new Promise((resolve) => {
            const w = new Worker(__filename);
            w.once("message", resolve);
            w.postMessage(n);
        })));
    console.log("workers", ...sums);
    console.log("child", spawnSync(process.execPath, ["-p", "6 * 7"]).stdout.toString().trim());
    console.log("fork", await new Promise((resolve) => {
        const c = fork(__filename, ["child"]);
        c.once("message", (m) => c.once("exit", () => resolve(m)));
        c.send(21);
    }));
    await new Promise((resolve) => {
        // A handler alone does not keep the process.
        const wait = setInterval(() => 0, 1000);
        process.once("SIGUSR2", () => { console.log("signal"); clearInterval(wait); resolve(); });
        process.kill(process.pid, "SIGUSR2");
    });
    fs.writeFileSync("f", "text");
    console.log("file", (await fs.promises.readFile("f")).toString());
    console.log("socket", await new Promise((resolve) => {
        const server = net.createServer((s) => s.pipe(s)).listen(0, "127.0.0.1", () => {
            const c = net.connect(server.address().port, "127.0.0.1", () => c.end("echo"));
            let got = "";
            c.on("data", (d) => (got += d)).on("end", () => { server.close(); resolve(got); });
        });
    }));
    // (module (memory 1) (func (export "f") (param i32) (result i32) (i32.load (local.get 0))))
    const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 5, 3, 1, 0, 1, 7, 5, 1, 1, 102, 0, 0, 10, 9, 1, 7, 0, 32, 0, 40, 2, 0, 11]);
    const { f } = (await WebAssembly.instantiate(bytes)).instance.exports;
    try { f(1 << 20); } catch (e) { console.log("wasm", f(0), e.message); }
    try { (function deep() { deep(); })(); } catch (e) { console.log(e.message); }
    process.exitCode = 7;
}
