# shellcheck shell=bash disable=SC2016  # the checks' commands are expanded where they run
# SQLite 3.40: its shell, and speedtest1 where the source has it.

RT_SOURCE=sqlite3
RT_UPSTREAM=3.40
RT_PACKAGES=(gcc libc6-dev make dpkg-dev tcl)
export RT_SOURCE RT_UPSTREAM RT_PACKAGES

rt_build() {
    local src=$1 cc=$2 log=$3 kind=$4 targets=(sqlite3)
    cd "$src" || return 1
    step "sqlite ($kind): configure" 300 "$log" ./configure CC="$cc" --disable-tcl --disable-readline || return 1
    if [ -f test/speedtest1.c ]; then
        targets+=(speedtest1)
    fi
    step "sqlite ($kind): make ${targets[*]}" 900 "$log" make "${targets[@]}"
}

rt_executables() {
    printf '%s\n' sqlite3 speedtest1
}

rt_benches() {
    printf 'speedtest1|"$RT/speedtest1" --size 40 t.db\n'
}

rt_build_bench() {
    make clean && ./configure CC="$CC" --disable-tcl --disable-readline && make sqlite3
}

rt_checks() {
    local sql name
    check version '"$RT/sqlite3" --version'
    for sql in "$RT_HOME"/tests/*.sql; do
        name=$(basename "$sql" .sql)
        check "$name" --stdin "$sql" --limit 180 '"$RT/sqlite3" -batch test.db; echo "status $?"; ls'
    done
    # The script has errors on purpose.
    check memory --status 1 --stdin "$RT_HOME/tests/queries.sql" '"$RT/sqlite3" -batch :memory:'
    check init-file '"$RT/sqlite3" -batch -init "$RT_HOME/tests/queries.sql" :memory: "select count(*) from t"'
    check error-status --status 1 '"$RT/sqlite3" -batch :memory: "select * from missing"'
    check not-a-database --status 26 'head -c 5000 /dev/zero | tr "\0" x >bad.db; "$RT/sqlite3" -batch bad.db "select 1 from sqlite_schema"'
    check csv 'seq 1 20000 | sed "s/.*/&,name &/" >in.csv; "$RT/sqlite3" -batch t.db ".mode csv" ".import in.csv t" "create table if not exists t(a,b)" "select count(*), max(\"1\"+0) from t"'
    check backup-and-dump '"$RT/sqlite3" -batch a.db <"$RT_HOME/tests/queries.sql" >/dev/null 2>&1; "$RT/sqlite3" -batch a.db ".backup b.db" && "$RT/sqlite3" -batch b.db .dump | sha256sum && "$RT/sqlite3" -batch b.db "pragma integrity_check"'
    check two-processes 'D="$RT/sqlite3"; "$D" t.db "create table t(a)"; for p in 1 2 3 4; do
        (for i in $(seq 25); do "$D" -cmd ".timeout 60000" t.db "insert into t values ($p)"; done) & done; wait; "$D" t.db "select a, count(*) from t group by a"'
    check locked --status 5 'mkfifo f; "$RT/sqlite3" t.db "create table t(a)"; ("$RT/sqlite3" t.db <f & ) ; exec 7>f; echo "begin exclusive; select 1;" >&7
        for _ in $(seq 500); do [ -e t.db-journal ] && break; "$RT/sqlite3" t.db "select 1 from t" 2>/dev/null || break; sleep 0.01; done; "$RT/sqlite3" -batch t.db "insert into t values (1)"; s=$?; exec 7>&-; exit $s'
    check killed-writer --killed --any-stderr '"$RT/sqlite3" t.db "create table t(a); insert into t values (1)"; mkfifo f; "$RT/sqlite3" t.db <f >/dev/null 2>&1 & p=$!; exec 7>f
        echo "pragma cache_size=1; begin; insert into t select value from generate_series(1, 100000);" >&7; for _ in $(seq 500); do [ -s t.db-journal ] && break; sleep 0.01; done
        kill -KILL $p; exec 7>&-; wait $p 2>/dev/null; "$RT/sqlite3" t.db "select count(*), sum(a) from t; pragma integrity_check"'
    check shell-and-system '"$RT/sqlite3" :memory: ".shell echo from the shell" ".once |tr a-z A-Z" "select '\''piped'\''"'
    if [ -x "$PLAIN/speedtest1" ]; then
        check speedtest1-quick --limit 300 '"$RT/speedtest1" --size 5 --verify t.db | sed "s/ *[0-9.]*s$//"'
        if [ "$QUICK" -eq 0 ]; then
            check speedtest1-wal --limit 300 '"$RT/speedtest1" --size 10 --journal wal --verify t.db | sed "s/ *[0-9.]*s$//"'
            check speedtest1-threads --limit 300 '"$RT/speedtest1" --size 10 --multithread --heap 40000000 64 --verify | sed "s/ *[0-9.]*s$//"'
        fi
    else
        skip "$RT_NAME-speedtest1" "not in this source"
    fi
}
