-- The io library on files: modes, seeking, buffering, lines, formats, errors.
local name = "test.txt"
local f = assert(io.open(name, "w"))
print(io.type(f), io.type(io.stdout), io.type(42), f:seek("cur"))
assert(f:write("line one\n", 2, " ", 3.5, "\nlast without newline") == f)
print(f:seek("cur"), f:seek("set", 5), f:seek("end"))
f:close()
print(io.type(f), pcall(f.write, f, "x"))

for l in io.lines(name) do io.write("[", l, "]") end
print()
for l in io.lines(name, "L") do io.write("[", l, "]") end
print()
for a, b in io.lines(name, 1, 2) do io.write(a, "/", tostring(b), " ") end
print()
f = io.open(name)
print(f:read("l", "n", "n", "L", "a"))
print(f:read("a"), f:read("l"), f:read(0), f:read("n"))
f:seek("set")
print(f:read(4, 0, 5))
f:close()

-- append, update, binary, truncate
f = io.open(name, "a") f:write("\nappended") f:close()
f = io.open(name, "r+") f:seek("set", 0) f:write("LINE") f:seek("set", 0) print(f:read("l")) f:close()
f = io.open(name, "rb") print(#f:read("a")) f:close()
f = io.open(name, "w+") f:write("fresh") f:seek("set") print(f:read("a")) f:close()
print(pcall(io.open, name, "rz"))
print(io.open("no/such/file"))
print(io.open(".", "w"))
print(pcall(io.lines, "no/such/file"))

-- numbers
f = io.open("numbers", "w") f:write("1 -2 0x1F 3.25e2 .5 0x.8p1 nan") f:close()
f = io.open("numbers")
local got = {}
for i = 1, 6 do got[i] = tostring(f:read("n")) end
print(table.concat(got, " "), f:read("n"), f:read("a"))
f:close()

-- buffering
f = io.open("buf", "w")
print(f:setvbuf("full", 1 << 16), f:write("abc") == f)
local r = io.open("buf")
print("before flush", r:read("a"))
f:flush()
print("after flush", r:read("a"))
f:setvbuf("no") f:write("d") print(r:read("a"))
f:setvbuf("line") f:write("e\n") print((r:read("a")))
f:close() r:close()

-- a megabyte through, byte for byte
local chunk = {}
for i = 0, 255 do chunk[#chunk + 1] = string.char(i) end
chunk = table.concat(chunk):rep(4096)
f = io.open("big", "wb") f:write(chunk) f:close()
f = io.open("big", "rb")
local back = {}
while true do local s = f:read(4093) if not s then break end back[#back + 1] = s end
f:close()
print(#back, table.concat(back) == chunk)

-- default files, tmpfile, rename, remove
io.output("out") io.write("to default") io.close() io.output(io.stdout)
io.input("out") print(io.read("a")) io.close(io.input()) io.input(io.stdin)
local t = io.tmpfile() t:write("temp") t:seek("set") print(t:read("a")) t:close()
print(os.rename("out", "renamed"), io.open("out"), os.remove("renamed"))
print(os.remove("renamed"))
print(os.rename("nothing", "else"))
local tn = os.tmpname()
print(type(tn), os.remove(tn))
-- many open at once
local many = {}
for i = 1, 200 do many[i] = assert(io.open("f" .. i, "w+")) many[i]:write(i) end
local sum = 0
for i = 1, 200 do many[i]:seek("set") sum = sum + many[i]:read("n") many[i]:close() os.remove("f" .. i) end
print(sum)
-- to-be-closed
do local h <close> = io.open("numbers") f = h end
print(io.type(f))
print(io.read("l"), io.read("a"))
