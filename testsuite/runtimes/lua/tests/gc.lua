-- The collector: modes, weak tables, ephemerons, finalizers, resurrection, pressure.
local function count() collectgarbage() collectgarbage() return collectgarbage("count") end

local base = count()
do local junk = {} for i = 1, 200000 do junk[i] = {i} end end
print(collectgarbage("count") > base, count() < base + 200)

for _, mode in ipairs { "incremental", "generational" } do
    collectgarbage(mode)
    local live = {}
    for i = 1, 300000 do
        local node = {i, tostring(i), {i}}
        if i % 1000 == 0 then live[#live + 1] = node end
    end
    local sum = 0
    for _, n in ipairs(live) do assert(n[2] == tostring(n[1]) and n[3][1] == n[1]) sum = sum + n[1] end
    print(mode, #live, sum)
end
print(collectgarbage("incremental"), collectgarbage("isrunning"))
collectgarbage("stop")
print(collectgarbage("isrunning"))
collectgarbage("restart")
local steps = 0
repeat steps = steps + 1 until collectgarbage("step", 100)
print(steps > 0)

-- weak keys, values, both; ephemerons
local weak = setmetatable({}, {__mode = "v"})
weak[1], weak[2], weak.s = {}, "string stays", {}
local keep = weak.s
collectgarbage()
print(weak[1], weak[2], weak.s == keep)
local eph = setmetatable({}, {__mode = "k"})
do local k1, k2 = {}, {} eph[k1] = k2 eph[k2] = "chain" eph[keep] = function() return keep end end
collectgarbage()
local n = 0
for _ in pairs(eph) do n = n + 1 end
print(n, eph[keep]() == keep)

-- finalizers: order, resurrection, errors inside
local order = {}
for i = 1, 5 do setmetatable({}, {__gc = function() order[#order + 1] = i end}) end
collectgarbage()
print(table.concat(order, " "))
local saved
setmetatable({name = "phoenix"}, {__gc = function(o) saved = o end})
collectgarbage()
print(saved.name)
local again = 0
do
    local function make() setmetatable({}, {__gc = function() again = again + 1 if again < 5 then make() end end}) end
    make()
end
for _ = 1, 10 do collectgarbage() end
print(again)
warn("@on")
setmetatable({}, {__gc = function() error("in finalizer", 0) end})
collectgarbage()
warn("@off")

-- growth and shrinkage of one table, long strings, large blocks
for _ = 1, 3 do
    local t = {}
    for i = 1, 1 << 18 do t[i] = i end
    for i = 1, 1 << 18 do t[i] = nil end
    assert(next(t) == nil)
end
local blocks = {}
for i = 1, 64 do blocks[i] = ("x"):rep(1 << 20) .. i end
print(#blocks, #blocks[64])
blocks = nil
print(count() < 4096)

-- runs at the end, after the last line
setmetatable({}, {__gc = function() print("finalizer at exit") end})
