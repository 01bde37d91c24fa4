-- load, loadfile, dofile, require, string.dump, errors, environments, the debug library.
local function clean(s) return (tostring(s):gsub("%S*/", ""):gsub("0x%x+", "ADDR")) end

print(load("return 1 + ...")(41), load(function() return nil end) ~= nil, clean(select(2, load("x ="))), clean(select(2, load("goto nowhere", "=chunk"))))
local parts, i = {"return ", "'a'", " .. ", "'b'"}, 0
print(load(function() i = i + 1 return parts[i] end)())
local env = {print = print}
print(load("x = 5; return x", "c", "t", env)(), env.x, x)
print(clean(select(2, load("\27Lua", "b", "t"))), clean(select(2, load("return 1", "t", "b"))))
local dumped = string.dump(function(a, b) local function f(x) return x * 2 end return f(a) + f(b) end)
print(load(dumped, "d", "b")(3, 4), load(string.dump(load("return ..."), true), "s", "b")("stripped"))
print(pcall(load, string.dump(load("return 1")):sub(1, 20) , "truncated", "b"))

local f = io.open("mod.lua", "w")
f:write("local M = {} print('loading', (...)) function M.twice(x) return 2 * x end return M") f:close()
f = io.open("bad.lua", "w") f:write("return +") f:close()
f = io.open("fails.lua", "w") f:write("error({code = 9})") f:close()
package.path = "./?.lua"
package.cpath = "./?.so"
print(require("mod").twice(21), require("mod") == package.loaded.mod)
print(clean(select(2, pcall(require, "missing"))))
print(clean(select(2, pcall(require, "bad"))))
print(select(2, pcall(dofile, "fails.lua")).code, clean(select(2, loadfile("none.lua"))), dofile("mod.lua").twice(4))
package.preload.virtual = function(name, extra) return {name = name, extra = extra} end
print(require("virtual").name, require("virtual").extra, package.searchpath("mod", package.path), clean(select(2, package.searchpath("zz", "./?.x;./?.y"))))
print(package.loadlib("./none.so", "f") == nil, select(3, package.loadlib("./none.so", "f")))

-- errors of every kind
for _, src in ipairs {
    "local t = nil; return t.x", "return 1 + {}", "return #5", "return {} < {}", "return 1 < 'x'", "return ('x')()", "undefinedfn()",
    "local a <const> = 1; a = 2", "return 1 // 0", "return 1 % 0", "return 2^53 | 0.5", "return 'a' | 1", "return math.floor({})",
    "return ('x'):bad()", "error()", "error(nil)", "error('m', 0)", "error('m', 2)", "error(setmetatable({}, {__tostring = function() return 'obj' end}))",
    "assert(false)", "assert(nil, 'am')", "assert(false, {1})", "string.rep('x', 1e10)", "return setmetatable(1, {})", "for i = 'a', 2 do end", "break", "::a:: ::a::", "return '\\q'", "return 'open", "x = }", "--[[ open", "return 0x", "local function f() return f() end",
} do
    local chunk, err = load(src, "=src")
    if chunk then print(src, clean(select(2, pcall(chunk)))) else print(src, clean(err)) end
end
print(xpcall(function() error("deep", 0) end, function(m) return "handled " .. m end))
print(xpcall(function() error("first") end, function() error("again") end))
print(select("#", pcall(function() return nil, nil, nil end)), pcall(error))
local function overflow() return 1 + overflow() end
local ok, msg = pcall(overflow)
print(ok, msg:match("stack overflow"))
print(pcall(string.rep, "x", -1), pcall(pcall), (pcall(string.gsub, ("a"):rep(300000), ("a?"):rep(300000), "")))
-- parser limits
local nest = ("("):rep(300) .. "1" .. (")"):rep(300)
print(clean(select(2, load("return " .. nest))))
local many = {} for n = 1, 260 do many[n] = "local v" .. n .. " = 1" end
print(clean(select(2, load(table.concat(many, "\n")))))
local consts = {} for n = 1, 70000 do consts[n] = n + 0.5 end
print(#load("return {" .. table.concat(consts, ",") .. "}")())

-- debug
local function info() return debug.getinfo(1, "nSl").currentline, debug.getinfo(2, "l").currentline end
print(info())
local lines = 0
debug.sethook(function() lines = lines + 1 end, "l")
for _ = 1, 10 do local _ = 1 end
debug.sethook()
print(lines > 10)
local counted = 0
debug.sethook(function() counted = counted + 1 end, "", 100)
for _ = 1, 10000 do end
debug.sethook()
print(counted > 50)
local up = 5
local function u() return up end
print(debug.getupvalue(u, 1), debug.setupvalue(u, 1, 6), u(), debug.getlocal(1, 1) ~= nil, #debug.traceback("t", 1) > 10)
print(pcall(function() debug.sethook(function() error("timeout", 0) end, "", 1000) while true do end end))
debug.sethook()
local _ENV = {print = print, y = 3}
print(y, z)
