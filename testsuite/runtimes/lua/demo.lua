-- Something of everything: computing, collecting, files, processes.
print(_VERSION .. " speaking")

local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end
print("fib(27)", fib(27))

local words = {}
for word in ("the quick brown fox jumps over the lazy dog"):gmatch("%a+") do words[#words + 1] = word end
table.sort(words)
print("sorted", table.concat(words, " "))

local trees = {}
local function tree(depth) return depth > 0 and {tree(depth - 1), tree(depth - 1)} or {} end
for i = 1, 20 do trees[i % 4] = tree(12) end
print("collected", collectgarbage() == 0)

local file = assert(io.tmpfile())
file:write("written to a file and read again")
file:seek("set")
print("file", file:read("a"))

local child = io.popen("echo from a child process, $((6 * 7))")
print("child", child:read("l"))
print("closed", child:close())
