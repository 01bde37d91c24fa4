-- Longer computations with known results.
local function queens(n)
    local cols, d1, d2, found = {}, {}, {}, 0
    local function place(r)
        if r > n then found = found + 1 return end
        for c = 1, n do
            if not cols[c] and not d1[r + c] and not d2[r - c + n] then
                cols[c], d1[r + c], d2[r - c + n] = true, true, true
                place(r + 1)
                cols[c], d1[r + c], d2[r - c + n] = nil, nil, nil
            end
        end
    end
    place(1)
    return found
end
print("queens", queens(9))
assert(queens(8) == 92)

local function ackermann(m, n) if m == 0 then return n + 1 elseif n == 0 then return ackermann(m - 1, 1) end return ackermann(m - 1, ackermann(m, n - 1)) end
print("ackermann", ackermann(2, 300), ackermann(3, 7))

local function sieve(n)
    local c, k = {}, 0
    for i = 2, n do if not c[i] then k = k + 1 for j = i * i, n, i do c[j] = true end end end
    return k
end
print("primes", sieve(2000000))
assert(sieve(1000000) == 78498)

local words, freq = {"alpha", "beta", "gamma", "delta"}, {}
for i = 1, 1000000 do local w = words[i % 4 + 1] .. i % 97 freq[w] = (freq[w] or 0) + 1 end
local keys = {}
for k in pairs(freq) do keys[#keys + 1] = k end
table.sort(keys)
print("words", #keys, keys[1], freq[keys[1]])

local function tree(d) if d == 0 then return {} end return {tree(d - 1), tree(d - 1)} end
local function size(t) return t[1] and 1 + size(t[1]) + size(t[2]) or 1 end
for d = 4, 16, 4 do
    local s = 0
    for _ = 1, 1 << (16 - d) do s = s + size(tree(d)) end
    print("trees", d, s)
end
local t = {}
for i = 1, 300000 do t[i] = (i * 1103515245 + 12345) % 2147483648 end
table.sort(t)
print("sort", t[1], t[150000], t[300000])
local s = 0
for i = 1, 20000 do s = s + #(("%d:%s"):format(i, ("ab"):rep(i % 50))):gsub("a", "xx") end
print("strings", s)
