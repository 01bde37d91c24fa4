-- Tables, the table library, sorting, metatables, closures, goto, integer loops, varargs.
local t = {}
for i = 1, 1000 do t[i] = (i * 7919) % 1009 end
table.sort(t)
for i = 2, #t do assert(t[i - 1] <= t[i]) end
table.sort(t, function(a, b) return a > b end)
for i = 2, #t do assert(t[i - 1] >= t[i]) end
print(#t, t[1], t[1000], select("#", table.unpack(t, 1, 200)))
assert(not pcall(table.sort, {1, 2, 3, 4, 5, 6, 7, 8}, function() return true end) or true)

-- insert, remove, move, concat, pack
local q = {}
for i = 1, 10 do table.insert(q, 1, i) end
table.insert(q, 5, "mid")
print(table.concat(q, " "), table.remove(q, 5), table.remove(q), table.remove(q, 1), #q)
print(table.concat(table.move({1, 2, 3, 4, 5}, 2, 4, 1), ","), table.concat(table.move({1, 2, 3}, 1, 3, 3), ","), table.concat(table.move({1, 2}, 1, 2, 1, {}), ","))
local p = table.pack(nil, 2, nil)
print(p.n, p[2], pcall(table.concat, {1, {}, 3}))

-- a large table with integer, float, string, boolean and table keys; removal while traversing
local big, count = {}, 0
for i = 1, 50000 do big[i] = i; big["k" .. i] = i; big[i + 0.5] = i end
for k in pairs(big) do
    if type(k) == "string" or math.type(k) == "float" then big[k] = nil end
end
for _ in pairs(big) do count = count + 1 end
print(count, next({}), rawlen(big), #big, big[2^53], big[1.0])
print(pcall(function() big[nil] = 1 end))
print(pcall(function() big[0 / 0] = 1 end))
print(pcall(next, {}, "nokey"))

-- metatables
local V = {}
V.__index = V
function V.new(x, y) return setmetatable({x = x, y = y}, V) end
V.__add = function(a, b) return V.new(a.x + b.x, a.y + b.y) end
V.__mul = function(a, b) return type(a) == "number" and V.new(a * b.x, a * b.y) or a.x * b.x + a.y * b.y end
V.__eq = function(a, b) return a.x == b.x and a.y == b.y end
V.__lt = function(a, b) return a.x < b.x end
V.__le = function(a, b) return a.x <= b.x end
V.__len = function(a) return a.x end
V.__call = function(self, k) return self[k] end
V.__tostring = function(a) return "(" .. a.x .. "," .. a.y .. ")" end
V.__concat = function(a, b) return tostring(a) .. tostring(b) end
V.__unm = function(a) return V.new(-a.x, -a.y) end
V.__idiv, V.__band, V.__shl, V.__bnot = function() return "idiv" end, function() return "band" end, function() return "shl" end, function() return "bnot" end
V.__name = "Vector"
local a, b = V.new(1, 2), V.new(3, 4)
print(tostring(a + b), a * b, tostring(2 * a), a == V.new(1, 2), a ~= b, a < b, a <= b, a > b, #b, a("y"), a .. b, tostring(-a), a // b, a & 1, a << 1, ~a)
local log = {}
local proxy = setmetatable({}, {
    __index = function(_, k) log[#log + 1] = "get " .. k; return k .. "!" end,
    __newindex = function(_, k, v) log[#log + 1] = "set " .. k .. "=" .. tostring(v) end,
    __pairs = function() return function(_, k) k = (k or 0) + 1; if k < 4 then return k, k * k end end end,
})
proxy.a = proxy.b
for k, v in pairs(proxy) do log[#log + 1] = k .. ":" .. v end
print(table.concat(log, " "), rawget(proxy, "a"), getmetatable("").__index == string)
print(pcall(setmetatable, setmetatable({}, {__metatable = "locked"}), {}))
local deep = {}
for i = 1, 50 do deep = setmetatable({}, {__index = deep}) if i == 1 then getmetatable(deep).__index.bottom = "found" end end
print(deep.bottom)

-- closures, upvalues, to-be-closed and constant variables
local function counter() local n = 0; return function() n = n + 1; return n end, function() return n end end
local inc, get = counter()
inc() inc()
print(get(), counter() ~= counter())
local fs = {}
for i = 1, 3 do fs[i] = function() i = i + 10; return i end end
print(fs[1](), fs[1](), fs[2](), fs[3]())
do
    local order = {}
    local function closer(n) return setmetatable({}, {__close = function(_, e) order[#order + 1] = n .. ":" .. tostring(e) end}) end
    local ok, err = pcall(function()
        local x <close> = closer("x")
        local y <close> = closer("y")
        local z <const> = 3
        error("E" .. z, 0)
    end)
    print(ok, err, table.concat(order, " "))
    for i in (function(_, i) i = i + 1; if i < 3 then return i end end), nil, 0, closer("loop") do if i == 2 then break end end
    print(order[#order])
end

-- goto, nested break, numeric for at the edges
for i = 1, 3 do
    for j = 1, 3 do
        if j == 2 then goto continue end
        io.write(i, j, " ")
        ::continue::
    end
end
print()
local n = 0
for _ = math.maxinteger - 2, math.maxinteger do n = n + 1 end
for _ = math.mininteger, math.mininteger + 1 do n = n + 1 end
for _ = 1, 0 do n = n + 100 end
for x = 1.0, 2.0, 0.25 do n = n + x end
print(n, pcall(function() for _ = 1, 10, 0 do end end))
local function va(...) local x, y = ...; return select("#", ...), x, y, select(-1, ...) end
print(va(1, nil, 3))
print((va(1, 2, 3)))
print(select("#", table.unpack({}, 1, 250)), pcall(table.unpack, {}, 1, 1e7))

-- math
print(math.max(3, 7.5, -1), math.min(2, 1), math.floor(-3.5), math.ceil(-3.5), math.fmod(-7, 3), math.abs(math.mininteger), math.ult(1, -1))
print(math.sqrt(2), math.exp(1), math.log(8, 2), math.log(100, 10), math.sin(1), math.cos(1), math.tan(1), math.asin(1), math.atan(1, -1))
math.randomseed(42, 7)
local r = {}
for i = 1, 5 do r[i] = math.random(1, 1000) end
print(table.concat(r, " "), math.random() < 1, math.random(0) ~= nil, pcall(math.random, 2, 1))
