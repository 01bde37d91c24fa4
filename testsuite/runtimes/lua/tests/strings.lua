-- The string and utf8 libraries: searching, patterns, formatting, packing.
local function show(...)
    local t = table.pack(...)
    for i = 1, t.n do t[i] = tostring(t[i]) end
    print(table.concat(t, " | "))
end

-- find, match, gmatch, gsub
show(("hello world"):find("o w"), ("hello"):find("l", 1, true), tostring(("a.b"):find(".", 2, true)))
show(("key = value"):match("^(%w+)%s*=%s*(%w+)$"))
for k, v in ("a=1, b=22, c=333"):gmatch("(%w+)=(%w+)") do io.write(k, ":", v, ";") end
print()
show(("hello world"):gsub("o", "0"), ("abc"):gsub("%w", "%0%0"), ("$name is $age"):gsub("%$(%w+)", {name = "Ada", age = 36}))
show(("THE (quick) fox"):find("%((%a+)%)"), ("x[[y]]z"):match("%b[]"), ("THE END"):gsub("%f[%a]%a+", string.lower))
show(("one;two;;four"):gsub(";;", ";nil;"), ("abc"):gsub("", "-"), ("  trim me  "):match("^%s*(.-)%s*$") .. "|")
assert(("\0a\0"):find("\0", 2) == 3 and #("\0a\0") == 3)
assert(not pcall(string.rep, "x", -1) == false and ("x"):rep(0) == "" and ("ab"):rep(3, "-") == "ab-ab-ab")
assert(not pcall(string.find, "a", "[a"))
assert(not pcall(string.gsub, "a", "a", "%2"))

-- format
show(("%5d|%-5d|%05d|%+d|%x|%X|%#x|%o"):format(42, 42, 42, 42, 255, 255, 255, 8))
show(("%.3f|%10.2f|%-10.2f|%e|%g|%g|%a"):format(math.pi, math.pi, math.pi, 12345.678, 1e20, 0.1, 0.5))
show(("%s|%10s|%-10s|%.2s|%q|%c%c"):format("s", "right", "left", "cut", 'q"\n\0\r', 76, 117))
show(("%q %q %q"):format(1 / 3, math.mininteger, 1e100), ("%i"):format(3.0), tostring(pcall(string.format, "%d", 3.5)))
show(tostring(1e15), tostring(1e100), tostring(-0.0), tostring(2^53), 10 // 3, 10.0 // 3, -7 // 2, -7 % 3, 7 % -3, 2^10, 7 / 2)
show(tostring(1 / 0), tostring(-1 / 0), tostring(0 / 0):gsub("-", ""), math.type(1), math.type(1.0), tostring(math.type("1")))
show("10" + 5, "0x10" + 0, "1e1" * 1, 10 .. 20, tonumber("  12  "), tostring(tonumber("12a")), tonumber("zz", 36), tonumber("1010", 2))
show(math.maxinteger + 1 == math.mininteger, math.maxinteger * 2.0, math.tointeger(3.0), tostring(math.tointeger(3.5)), 1 << 62, 1 << 64, -1 >> 1, ~0, 5 & 3, 5 | 3, 5 ~ 3)

-- byte, char, reverse, case, comparison
show(table.concat({("ABC"):byte(1, -1)}, ","), string.char(72, 105), ("abc"):reverse(), ("MiXed"):upper(), ("MiXed"):lower())
assert("a" < "b" and "a" < "aa" and "Z" < "a" and not ("a\0b" == "a\0c"))
assert(("x"):sub(-3, -1) == "x" and ("hello"):sub(2, -2) == "ell" and ("hello"):sub(10) == "")

-- pack and unpack, every size and order
for _, f in ipairs { "<i1", "<i2", ">i2", "<i4", ">i4", "<i8", ">i8", "<i3", ">i7", "<I5", ">I6", "=j", "<l", "<h" } do
    for _, v in ipairs { 0, 1, 100 } do
        local p = f:pack(v)
        assert(f:unpack(p) == v and f:packsize() == #p, f)
    end
end
local blob = ("<i4 z s2 B d n xx f !8 Xi8 i8"):pack(-2, "zero", "counted", 200, 1.5, -0.25, 2.5, 99)
show(#blob, (blob:gsub(".", function(c) return ("%02x"):format(c:byte()) end)))
show(("<i4 z s2 B d n xx f !8 Xi8 i8"):unpack(blob))
show(tostring(pcall(string.pack, "i1", 200)), tostring(pcall(string.unpack, "<i4", "abc")), tostring(pcall(string.pack, "i17", 1)))

-- utf8
local s = "häßlich 日本語 🎉"
show(#s, utf8.len(s), utf8.char(228, 26085, 127881), utf8.codepoint("日", 1), utf8.offset(s, 5))
for p, c in utf8.codes(s) do io.write(p, "=", ("%x"):format(c), " ") end
print()
show(utf8.len("\xff"), utf8.len("abc\xe4"), tostring(pcall(utf8.codepoint, "\xff")), s:match(utf8.charpattern, 2))
for _, c in ipairs { 0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF } do
    assert(utf8.codepoint(utf8.char(c)) == c)
end

-- long strings and concatenation
local parts = {}
for i = 1, 20000 do parts[i] = i end
local long = table.concat(parts, ",")
show(#long, #(long .. long), select(2, long:gsub("9", "")), long:sub(-11))
local sum = 0
for n in long:gmatch("%d+") do sum = sum + n end
show(sum)
