-- Coroutines: generators, yields across pcall, metamethods and iterators, errors, closing, deep and many.
local function gen(n) return coroutine.wrap(function() for i = 1, n do coroutine.yield(i) end return "end" end) end
local g = gen(3)
print(g(), g(), g(), g(), pcall(g))

-- values both ways
local co = coroutine.create(function(a, b)
    local c = coroutine.yield(a + b)
    local d, e = coroutine.yield(c * 2)
    return d .. e, "last"
end)
print(coroutine.resume(co, 1, 2))
print(coroutine.resume(co, 10))
print(coroutine.status(co), coroutine.resume(co, "x", "y"))
print(coroutine.status(co), coroutine.resume(co))

-- errors inside, tracebacks, yields through pcall and xpcall
co = coroutine.create(function()
    local ok, err = pcall(function() coroutine.yield("in pcall") error({code = 5}) end)
    coroutine.yield(ok, err.code)
    local r = {xpcall(function(x) return coroutine.yield(x) + 1 end, debug.traceback, "in xpcall")}
    coroutine.yield(table.unpack(r))
    error("final")
end)
print(coroutine.resume(co))
print(coroutine.resume(co))
print(coroutine.resume(co))
print(coroutine.resume(co, 41))
local ok, err = coroutine.resume(co)
print(ok, (err:gsub("^.*/", "")), coroutine.status(co))

-- yields inside metamethods, sort comparators (refused) and iterators
local mt = {__add = function(a, b) return coroutine.yield("add") end, __index = function(_, k) return coroutine.yield("index " .. k) end,
    __lt = function() return coroutine.yield("lt") end, __call = function(_, ...) return coroutine.yield("call", ...) end}
co = coroutine.wrap(function()
    local o = setmetatable({}, mt)
    local r = {o + 1, o.field, o < o, o(1, 2)}
    for k in function() return coroutine.yield("iter") end do r[#r + 1] = k end
    return table.concat({tostring(r[1]), tostring(r[2]), tostring(r[3]), tostring(r[4]), r[5]}, ",")
end)
print(co()) print(co("sum")) print(co("value")) print(co(1)) print(co("called")) print(co("it")) print(co(nil))
print(pcall(coroutine.wrap(function() table.sort({3, 2, 1}, function() coroutine.yield() end) end)))
print(coroutine.isyieldable(), select(2, coroutine.running()), type(coroutine.running()))
print(pcall(coroutine.yield, 1))

-- closing
do
    local closed
    local c = coroutine.create(function()
        local x <close> = setmetatable({}, {__close = function() closed = true end})
        coroutine.yield()
    end)
    coroutine.resume(c)
    print(coroutine.close(c), closed, coroutine.status(c))
    c = coroutine.create(function()
        local x <close> = setmetatable({}, {__close = function() error("in close", 0) end})
        coroutine.yield()
    end)
    coroutine.resume(c)
    print(coroutine.close(c))
end

-- a pipeline of filters: primes by sieve
local function numbers() return coroutine.wrap(function() local n = 2 while true do coroutine.yield(n) n = n + 1 end end) end
local function filter(p, src) return coroutine.wrap(function() while true do local n = src() if n % p ~= 0 then coroutine.yield(n) end end end) end
local src, primes = numbers(), {}
for i = 1, 100 do local p = src() primes[i] = p src = filter(p, src) end
print(table.concat(primes, " "))

-- producer and consumer, and many at once
local threads, total = {}, 0
for i = 1, 20000 do threads[i] = coroutine.wrap(function() local s = 0 while true do s = s + coroutine.yield(s) end end) threads[i]() end
for round = 1, 3 do for i = 1, #threads do total = total + threads[i](round) end end
print(total)
-- deep recursion of resumes ends in an error that can be caught
local function deep(n) return coroutine.wrap(function() return deep(n + 1)() end) end
local ok2, msg = pcall(deep(1))
print(ok2, msg:match("C stack overflow"))
-- permutations by recursion
local function permgen(a, n)
    if n <= 1 then coroutine.yield(a) else
        for i = 1, n do a[n], a[i] = a[i], a[n] permgen(a, n - 1) a[n], a[i] = a[i], a[n] end
    end
end
local c = 0
for p in coroutine.wrap(function() permgen({1, 2, 3, 4, 5, 6, 7}, 7) end) do c = c + p[1] * p[7] end
print(c)
