#lang racket/base
;; Heavy allocation with writes of young objects into an old heap, weak boxes, wills and finalization. Under BC each first
;; write to an old page after a collection is a protection fault.
(define old (build-vector 400000 (lambda (i) (mcons i #f))))
(collect-garbage)
(collect-garbage)
(define (rnd s) (modulo (+ (* s 1103515245) 12345) 2147483648))
(define-values (sum seed)
  (for/fold ([sum 0] [s 42]) ([round (in-range 6)])
    (define next
      (for/fold ([s s]) ([i (in-range 60000)])
        (define n (rnd s))
        (define m (vector-ref old (modulo (quotient n 7) 400000)))
        (set-mcdr! m (list i round))
        n))
    (if (even? round) (collect-garbage 'minor) (collect-garbage))
    (values (for/fold ([sum sum]) ([m (in-vector old)])
              (if (mcdr m) (+ sum (car (mcdr m))) sum))
            next)))
(printf "sum ~a seed ~a\n" sum seed)

(define boxes (for/list ([i 1000]) (make-weak-box (make-string 10 #\a))))
(define kept (for/list ([i 1000]) (make-string 3 #\b)))
(define kept-boxes (map make-weak-box kept))
(collect-garbage)
(printf "weak: ~a gone, ~a kept\n"
        (if (> (for/sum ([b boxes]) (if (weak-box-value b) 0 1)) 990) "almost all" "too few")
        (for/sum ([b kept-boxes]) (if (weak-box-value b) 1 0)))
(printf "~a\n" (length kept))

(define we (make-will-executor))
(define ran 0)
(for ([i 100]) (will-register we (make-string 5 #\x) (lambda (v) (set! ran (add1 ran)))))
(collect-garbage)
(let loop () (when (will-try-execute we) (loop)))
(printf "wills ~a\n" (>= ran 98))

(define h (make-weak-hasheq))
(for ([i 10000]) (hash-set! h (mcons i i) i))
(collect-garbage)
(printf "weak hash shrank: ~a\n" (< (hash-count h) 100))

(for ([i 40]) (make-bytes (* 4 1024 1024) i))
(define big (for/list ([i 8]) (make-bytes (* 3 1024 1024) i)))
(collect-garbage)
(printf "big ~a\n" (for/sum ([b big]) (bytes-ref b (* 2 1024 1024))))
(define (deep n) (if (zero? n) 0 (add1 (deep (sub1 n)))))
(printf "deep ~a\n" (deep 2000000))
