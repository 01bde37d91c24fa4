# shellcheck shell=bash disable=SC2016  # the checks' commands are expanded where they run
# SBCL, as the distribution has it: fixed addresses, code that is written and executed, page protection as its write barrier.

RT_SOURCE=''
RT_UPSTREAM=''
RT_PACKAGES=(sbcl)
export RT_SOURCE RT_UPSTREAM RT_PACKAGES

rt_build() {
    local dir=$1
    cp "$(readlink -f "$(command -v sbcl)")" "$dir/sbcl"
    cp /usr/lib/sbcl/sbcl.core "$dir/"
    # Its own modules.
    ln -s /usr/lib/sbcl/contrib "$dir/contrib"
}

rt_executables() {
    printf '%s\n' sbcl
}

rt_benches() {
    printf 'binary-trees|"$RT/sbcl" --core "$RT/sbcl.core" --script "$RT_HOME/binary-trees.lisp" 17 >/dev/null\n'
    printf 'start|"$RT/sbcl" --core "$RT/sbcl.core" --non-interactive --no-sysinit --no-userinit --eval "(values)" >/dev/null\n'
}

rt_checks() {
    local run='export SBCL_HOME="$RT"; "$RT/sbcl" --core "$RT/sbcl.core"'
    check version "$run --version"
    check binary-trees "$run --script \"\$RT_HOME/binary-trees.lisp\" 12"
    check small-heap "$run --dynamic-space-size 64MB --script \"\$RT_HOME/binary-trees.lisp\" 12"
    # Not as a script: that ends at the first overflow of the stack.
    check system --any-stderr --status 5 "$run --noinform --no-sysinit --no-userinit --disable-debugger --load \"\$RT_HOME/system.lisp\""
    check compile "$run --noinform --no-sysinit --no-userinit --non-interactive --eval '(defun f (n) (if (< n 2) n (+ (f (- n 1)) (f (- n 2)))))' --eval '(print (f 25))'"
    check core "$run --noinform --no-sysinit --no-userinit --non-interactive --eval '(defun hello () (print 42) (exit :code 4))' --eval '(save-lisp-and-die \"a.core\" :toplevel (function hello))' >/dev/null 2>&1; \"\$RT/sbcl\" --core a.core; echo \$?"
}
