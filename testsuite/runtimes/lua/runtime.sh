# shellcheck shell=bash disable=SC2016  # the checks' commands are expanded where they run
# Lua 5.4.

RT_SOURCE=lua5.4
RT_UPSTREAM=5.4
RT_PACKAGES=(gcc libc6-dev make dpkg-dev)
export RT_SOURCE RT_UPSTREAM RT_PACKAGES

rt_build() {
    local src=$1 cc=$2 log=$3 kind=$4
    step "lua ($kind): make" 300 "$log" make -C "$src" linux CC="$cc -std=gnu99"
}

rt_executables() {
    printf '%s\n' src/lua src/luac
}

rt_benches() {
    printf 'heavy|"$RT/src/lua" "$RT_HOME/heavy.lua"\n'
}

rt_build_bench() {
    make -C src clean && make -C src linux CC="$CC -std=gnu99"
}

rt_checks() {
    local script name

    check version '"$RT/src/lua" -v'
    check luac '"$RT/src/luac" -o x.luac "$RT_HOME/tests/strings.lua" && "$RT/src/luac" -l -l x.luac | sed "s/0x[0-9a-f]*/ADDR/g" && "$RT/src/lua" x.luac'
    for script in "$RT_HOME"/tests/*.lua; do
        name=$(basename "$script" .lua)
        check "$name" "\"\$RT/src/lua\" \"\$RT_HOME/tests/$name.lua\" one 'two words' ''"
    done

    check stdin-script --stdin "$RT_HOME/tests/strings.lua" '"$RT/src/lua" -'
    check repl --status 4 --stdin "$RT_HOME/repl.txt" '"$RT/src/lua" -i 2>&1'
    check exit-status --status 7 '"$RT/src/lua" -e "os.exit(7)"'
    check exit-close --status 3 '"$RT/src/lua" -e "setmetatable({}, {__gc = function() print(\"closed\") end}) os.exit(3, true)"'
    check error-status --status 1 '"$RT/src/lua" -e "local function f() error({code = 2}) end f()"'
    check syntax-error --status 1 '"$RT/src/lua" -e "x ="'
    check no-script --status 1 '"$RT/src/lua" /no/such/script.lua'
    check traceback --status 1 'printf "%s\n" "local function g() local x = nil; return x.y end" "g()" >t.lua; "$RT/src/lua" t.lua'
    check closed-stdout '"$RT/src/lua" -e "print(io.write(\"x\"))" >&-'
    check full-device '"$RT/src/lua" -e "io.stdout:setvbuf(\"no\") io.stderr:write(tostring(select(2, io.write(\"x\"))), \"\n\")" >/dev/full'
    check sigpipe --killed --any-stderr '"$RT/src/lua" -e "for i = 1, 1e6 do print(i) end" | head -n 3; echo "${PIPESTATUS[0]}"'
    check sigint --killed --status 1 '"$RT/src/lua" -e "io.write(\"go\n\") io.flush() while true do end" >out & p=$!
        for _ in $(seq 500); do grep -q go out 2>/dev/null && break; sleep 0.01; done; kill -INT $p; wait $p'
    check sigterm --killed '"$RT/src/lua" -e "io.write(\"go\n\") io.flush() while true do end" >out & p=$!
        for _ in $(seq 500); do grep -q go out 2>/dev/null && break; sleep 0.01; done; kill -TERM $p; wait $p 2>/dev/null; echo $?'
    check memory-limit --status 1 'ulimit -v 300000; "$RT/src/lua" -e "local t = {} for i = 1, 1e9 do t[i] = (\"x\"):rep(1000) .. i end"'
    check stack-overflow --status 1 '"$RT/src/lua" -e "local function f() return 1 + f() end f()" 2>&1 | grep -v "^\s" ; exit "${PIPESTATUS[0]}"'
    check lua-init 'LUA_INIT="print(\"init\", ...)" "$RT/src/lua" -e "print(2)"'
    check hybrid-starts-hybrid '"$RT/src/lua" -e "local p = io.popen(arg[0] .. \" -e \\\"print(6 * 7)\\\"\") print(p:read(\"n\"), p:close())"'

    if [ "$QUICK" -eq 1 ]; then
        return
    fi
    check heavy --limit 300 '"$RT/src/lua" "$RT_HOME/heavy.lua"'
    if [ -n "${MV_LUA_TESTS:-}" ]; then
        # Lua's own test suite of the same version, where the caller has it unpacked. Its output has times and addresses.
        export MV_LUA_TESTS
        check official --limit 600 --any-stderr 'cp -r "$MV_LUA_TESTS" t && cd t && "$RT/src/lua" -e "_U=true" all.lua >log 2>&1; s=$?; grep -a "^testing\|^OK\|final OK" log; exit $s'
    else
        skip "$RT_NAME-official" "Lua's own test suite is in no Debian package; MV_LUA_TESTS=DIR names an unpacked one"
    fi
}
