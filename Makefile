# make                 builds the toolchain: mv-cc, mv-c++ and mv-link
# make test            everything needed to test, in under 15 minutes; ends with the count
# make test-runtimes   the long ones: Lua, SQLite, CPython, Racket CS and BC, each built and run plain and hybrid; and OCaml,
#                      the Boehm collector, SBCL, Node and OpenJDK as the distribution has them, hybridized
# make test-posix-threads   the threads part of the Open POSIX Test Suite, plain and with the set pthread, in some five minutes
# make test-ring0      the corpus, Lua and Racket in a virtual machine that has /dev/kvm, in QEMU's software CPU: ring 0 on any
#                      machine; make test has a part of it
# make demo            a hybridized Lua from source to output; RUNTIME=racket does it for Racket
# make bench           the micro-benchmarks; make bench-runtimes times runtimes plain and hybrid, make bench-builds
#                      whole builds by cc and by mv-cc
# make install         into PREFIX (default /usr/local)
# NAMES="lua racket-cs" limits test-runtimes and bench-runtimes; MV_RELINK=1 makes the hybrids from the plain builds

SHELL := /bin/bash
PREFIX ?= /usr/local
RUNTIME ?= lua
NAMES ?= lua sqlite cpython racket-cs racket-bc ocaml boehm sbcl node java
BIN := $(or $(CARGO_TARGET_DIR),target)/release
SCRIPTS := testsuite/scripts

.PHONY: all test test-posix-threads test-ring0 test-runtimes demo bench bench-runtimes bench-builds install uninstall clean check-scripts

all:
	@$(SCRIPTS)/toolchain.sh

test:
	@$(SCRIPTS)/test.sh

test-runtimes: all
	@testsuite/runtimes/run.sh $(NAMES)

test-posix-threads: all
	@$(SCRIPTS)/posix-threads.sh

test-ring0: all
	@$(SCRIPTS)/ring0.sh --all

demo:
	@$(SCRIPTS)/demo.sh $(RUNTIME)

bench: all
	cargo bench -p testsuite

bench-runtimes: all
	@testsuite/runtimes/bench.sh $(NAMES)

bench-builds: all
	@testsuite/runtimes/bench.sh --build $(filter lua sqlite,$(NAMES))

install: all
	install -d '$(DESTDIR)$(PREFIX)/bin'
	install -m 755 '$(BIN)/mv-cc' '$(BIN)/mv-link' '$(DESTDIR)$(PREFIX)/bin/'
	ln -sf mv-cc '$(DESTDIR)$(PREFIX)/bin/mv-c++'

uninstall:
	rm -f '$(DESTDIR)$(PREFIX)/bin/mv-cc' '$(DESTDIR)$(PREFIX)/bin/mv-c++' '$(DESTDIR)$(PREFIX)/bin/mv-link'

check-scripts:
	shellcheck -x -P SCRIPTDIR .ci/run $(SCRIPTS)/*.sh testsuite/runtimes/*.sh testsuite/runtimes/*/*.sh testsuite/ring0/*.sh

clean:
	cargo clean
