-- io.popen and os.execute (fork, exec, wait, pipes), the environment, time, arguments, exit.
print(#arg, arg[1], arg[2], arg[3] == "", arg[0]:match("[^/]*$"), ...)
print(os.execute("exit 0"))
print(os.execute("exit 42"))
print(os.execute("kill -TERM $$"))
print(os.execute())
io.stdout:write("order 1\n") io.stdout:flush()
os.execute("echo order 2")
print("order 3")

local p = io.popen("echo out; echo err >&2; exit 3") -- stderr is compared too
print(p:read("a"), p:close())
p = io.popen("cat >copy", "w")
for i = 1, 10000 do p:write(i, "\n") end
print(p:close())
local n = 0
for l in io.lines("copy") do n = n + tonumber(l) end
print(n)
p = io.popen("seq 1 100000 | awk '{s += $1} END {print s}'")
print(p:read("n"), p:close())
p = io.popen("kill -9 $$")
print(p:read("a"), p:close())
print(pcall(io.popen, "true", "rw"))
local ps = {}
for i = 1, 20 do ps[i] = io.popen("echo " .. i * i) end
local s = 0
for i = 20, 1, -1 do s = s + ps[i]:read("n") assert(ps[i]:close()) end
print(s)
-- a child that outlives its reader
p = io.popen("yes 2>/dev/null") print(p:read("l")) print(p:close())

-- this interpreter as a child, in a chain of three
local lua = arg[-1]
print(lua ~= nil)
local inner = ([["%s" -e 'print(os.getenv("MARK"), 6 * 7) os.exit(5)']]):format(lua)
p = io.popen("MARK=child " .. inner)
print(p:read("a"), p:close())
p = io.popen(([["%s" -e 'local p = io.popen(arg[0] .. " -v") print(p:read("a"):match("^Lua 5%%.4") , p:close())']]):format(lua))
print(p:read("a"), p:close())

print(os.getenv("HOME") ~= nil, os.getenv("NO_SUCH_VARIABLE_HERE"))
print(os.date("!%Y-%m-%d %H:%M:%S", 86400 * 365), os.time { year = 2000, month = 1, day = 1, hour = 12 }, os.date("!*t", 0).year)
print(os.difftime(10, 5), math.type(os.time()), os.clock() >= 0, os.time() > 1.6e9)
print(os.setlocale("C"), os.setlocale("no_such_locale"), os.setlocale(nil, "numeric"))
print(pcall(os.date, "%Ez"))
print(pcall(os.time, { year = 2000 }))
local t0, c0 = os.time(), os.clock()
os.execute("sleep 0.3")
print(os.clock() - c0 < 0.25, os.time() - t0 <= 2)
os.exit(true, true)
