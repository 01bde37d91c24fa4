#lang racket/base
;; Allocates many perfect binary trees bottom-up, walks them, and keeps one alive meanwhile.
(require racket/cmdline)

(struct node (left right) #:authentic)

(define (make depth)
  (if (zero? depth)
      (node #f #f)
      (node (make (sub1 depth)) (make (sub1 depth)))))

(define (check t)
  (define l (node-left t))
  (if l
      (+ 1 (check l) (check (node-right t)))
      1))

(define (report what depth total)
  (printf "~a of depth ~a\t check: ~a\n" what depth total))

(define n (command-line #:args ([n "10"]) (string->number n)))
(define min-depth 4)
(define max-depth (max (+ min-depth 2) n))

(report "stretch tree" (add1 max-depth) (check (make (add1 max-depth))))
(define kept (make max-depth))
(for ([d (in-range min-depth (add1 max-depth) 2)])
  (define count (expt 2 (+ (- max-depth d) min-depth)))
  (report (format "~a\t trees" count) d
          (for/fold ([sum 0]) ([_ (in-range count)])
            (+ sum (check (make d))))))
(report "long lived tree" max-depth (check kept))
