#lang racket/base
(require racket/list)
(printf "~s ~a\n" (vector->list (current-command-line-arguments)) (last (range 10)))
(exit 4)
